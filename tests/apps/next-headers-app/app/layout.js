import { headers } from 'next/headers'

// The page's own URL, as apps make it for canonical links and previews.
export default async function Layout({ children }) {
  const asked = await headers()
  const origin = `${asked.get('x-forwarded-proto') ?? 'http'}://${asked.get('host')}`
  return (
    <html lang="en">
      <body>
        <a id="own" href={`${origin}/left`}>{origin}</a>
        {children}
      </body>
    </html>
  )
}
