// A link made of the request's own URL. TRUST: trust proxy; HOST: by req.host, which believes it.
import express from 'express'

const app = express()
if (process.env.TRUST) app.set('trust proxy', true)
app.get('/', (request, response) => {
  const host = process.env.HOST_OF === 'proxy' ? request.host : request.get('host')
  response.type('html').send(`<!doctype html><a href="${request.protocol}://${host}/left">left</a>`)
})
app.listen(Number(process.env.PORT), 'localhost')
