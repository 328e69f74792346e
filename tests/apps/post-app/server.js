// Node's http as it stands: idle connections are closed after 5 s.
const http = require('node:http');

const server = http.createServer((request, response) => {
  let size = 0;
  request.on('data', (data) => { size += data.length; });
  request.on('end', () => {
    const said = `${request.method} ${size}`;
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': said.length });
    response.end(said);
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
