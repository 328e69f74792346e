import { redirect } from '@sveltejs/kit'

const names = []

export function load({ url }) {
  return { names, origin: url.origin }
}

export const actions = {
  remember: async ({ request }) => {
    names.push((await request.formData()).get('name'))
    return { remembered: true }
  },
  // Some apps build absolute redirects, and take their own origin from the request.
  leave: async ({ url }) => redirect(303, new URL('/left', url.origin).href),
}
