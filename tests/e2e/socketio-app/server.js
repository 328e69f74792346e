// Socket.IO as its guide shows it: it starts with polling and upgrades to WebSocket.
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { Server } from 'socket.io'

const http = createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html')
  response.end(readFileSync(new URL('index.html', import.meta.url)))
})
const io = new Server(http)

io.on('connection', (socket) => {
  socket.emit('transport', socket.conn.transport.name)
  socket.conn.on('upgrade', (transport) => socket.emit('transport', transport.name))
  socket.on('echo', (text, bytes) => socket.emit('echoed', text, bytes))
})

http.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => console.log(`listens on http://localhost:${http.address().port}/`))
