'use server'

import { revalidatePath } from 'next/cache'
import { redirect } from 'next/navigation'

const remembered = []

export async function names() {
  return remembered
}

export async function remember(form) {
  remembered.push(form.get('name'))
  revalidatePath('/')
}

export async function rememberAndLeave(form) {
  remembered.push(form.get('name'))
  redirect('/left')
}
