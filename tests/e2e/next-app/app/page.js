import Counter from './counter'
import { names, remember, rememberAndLeave } from './actions'

export const dynamic = 'force-dynamic'

export default async function Page() {
  return (
    <main>
      <Counter />
      <form action={remember}>
        <input name="name" />
        <button id="remember">Remember</button>
      </form>
      <form action={rememberAndLeave}>
        <input type="hidden" name="name" value="left" />
        <button id="leave">Remember and leave</button>
      </form>
      <p id="names">{(await names()).join(', ')}</p>
    </main>
  )
}
