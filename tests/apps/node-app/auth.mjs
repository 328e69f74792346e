// Sign-ups whose Origin is compared with a URL of the settings (PIN), or with the app's own.
import express from 'express'
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'

const port = process.env.PORT
const auth = betterAuth({
  ...(process.env.PIN ? { baseURL: `http://localhost:${port}` } : {}),
  secret: 'nobody needs to know, and it is long',
  database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
})
const app = express()
app.set('trust proxy', true)
app.all('/api/auth/*splat', toNodeHandler(auth))
app.get('/', (request, response) => {
  const url = `${request.protocol}://${request.get('host')}`
  response.type('html').send(`<!doctype html><a href="${url}/left">left</a>`)
})
app.listen(Number(port), 'localhost')
