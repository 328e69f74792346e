'use client'

import { useState } from 'react'
import { greeting } from './greeting'

export default function Counter() {
  const [count, setCount] = useState(0)
  return (
    <>
      <h1>{greeting}</h1>
      <button id="count" onClick={() => setCount(count + 1)}>
        {count}
      </button>
    </>
  )
}
