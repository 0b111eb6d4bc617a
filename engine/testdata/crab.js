// A client as net-socket-connector 1.x users write them: a plain socket of Node, and nothing of kassa's.
//
// Standard input: {"connect": …, "cases": [{"writes": [base64, …], "bytes": n}, …]}. Each case has a connection of its
// own: its writes go out as packets of their own, and it lasts until n bytes have come back, or until the server closes
// it. Standard output: [{"received": base64, "closed": bool}, …].
'use strict'
const net = require('net')

function run({ connect, cases }) {
  return Promise.all(cases.map(c => new Promise(resolve => {
    const received = []
    let length = 0
    const socket = net.connect(connect)
    const done = closed => {
      socket.destroy()
      resolve({ received: Buffer.concat(received).toString('base64'), closed })
    }
    socket.setNoDelay(true)
    socket.on('connect', () => write(0))
    socket.on('data', data => {
      received.push(data)
      length += data.length
      if (length >= c.bytes) done(false)
    })
    socket.on('error', err => {
      received.push(Buffer.from(String(err)))
      done(true)
    })
    socket.on('close', () => done(true))
    // The next packet goes when the one before has left, and others have had a turn.
    const write = i => {
      if (i < c.writes.length) {
        socket.write(Buffer.from(c.writes[i], 'base64'), () => setImmediate(() => setImmediate(write, i + 1)))
      }
    }
  })))
}

let input = ''
process.stdin.on('data', data => { input += data })
process.stdin.on('end', async () => {
  process.stdout.write(JSON.stringify(await run(JSON.parse(input))))
})
