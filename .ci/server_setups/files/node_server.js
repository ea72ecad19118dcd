// PORT BUSY_MS: answers at once; with BUSY_MS, the event loop is busy that long in each 20 ms.
const http = require('http')
const [port, busy] = process.argv.slice(2).map(Number)
http.createServer((request, response) => response.end('ok')).listen(port, '127.0.0.1')
if (busy) {
  setInterval(() => {
    const until = performance.now() + busy
    while (performance.now() < until) {}
  }, 20)
}
