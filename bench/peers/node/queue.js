// The server that kassa replaces, at its best honest setting: Node's net, an array as queue, one worker a type.
//
//   node queue.js [--work=sleep|cpu]
//
// It is one thread, since one queue for all is the point: processes of node:cluster would have a queue each. The first line
// it prints is "listening HOST:PORT". It ends on SIGTERM.
'use strict'

const crypto = require('node:crypto')
const net = require('node:net')

const types = 4 // t0 to t3
const lineLengthMax = 1 << 20
const listenBacklog = 4096

const [work] = process.argv.slice(2).map((arg) => arg.match(/^--work=(sleep|cpu)$/)?.[1] ?? usage())

function usage () {
  console.error('usage: node queue.js [--work=sleep|cpu]')
  process.exit(2)
}

// crypto.hash takes less than an object does, where Node has it (20.12 and later).
const sha256 = crypto.hash
  ? (block) => crypto.hash('sha256', block, 'buffer')
  : (block) => crypto.createHash('sha256').update(block).digest()

// Worker serves the requests of one type, one at a time.
class Worker {
  constructor () {
    this.waiting = []
    this.served = 0 // of those waiting
    this.busy = false
    this.block = Buffer.alloc(16 << 10)
  }

  take (job) {
    if (this.busy) {
      this.waiting.push(job)
    } else {
      this.serve(job)
    }
  }

  serve (job) {
    if (work === 'sleep') {
      this.busy = true
      setTimeout(() => this.done(job), 1)
      return
    }
    if (work === 'cpu') {
      sha256(this.block).copy(this.block)
    }
    reply(job)
  }

  done (job) {
    this.busy = false
    reply(job)
    if (this.served < this.waiting.length) {
      this.serve(this.waiting[this.served++])
    } else {
      this.waiting = []
      this.served = 0
    }
    flush()
  }
}

const workers = new Map(Array.from({ length: types }, (_, i) => [`t${i}`, new Worker()]))

const queue = []
const answered = [] // connections with replies that are not written yet

// parse makes a job of a line; undefined: it is no request.
function parse (line, connection) {
  try {
    const request = JSON.parse(line)
    const worker = workers.get(request.type)
    if (worker) {
      return { worker, connection, request }
    }
    console.error('request: no such type:', request.type)
  } catch (err) {
    console.error('request:', err.message)
  }
}

// drain takes all requests off the queue.
function drain () {
  while (queue.length > 0) {
    const job = queue.shift()
    job.worker.take(job)
  }
  flush()
}

function reply ({ connection, request }) {
  if (connection.out === '') {
    answered.push(connection)
  }
  connection.out += JSON.stringify({ type: request.type, queryIndex: request.queryIndex, resultJob: request.payload }) + '\n'
}

// flush writes each connection's replies at once.
function flush () {
  for (const connection of answered) {
    connection.socket.write(connection.out)
    connection.out = ''
  }
  answered.length = 0
}

const server = net.createServer({ noDelay: true }, (socket) => {
  const connection = { socket, out: '' }
  let rest = '' // the beginning of a line
  socket.setEncoding('utf8')
  socket.on('data', (text) => {
    rest += text
    let from = 0
    for (let end; (end = rest.indexOf('\n', from)) >= 0; from = end + 1) {
      const job = parse(rest.slice(from, end), connection)
      if (!job) {
        socket.destroy()
        return
      }
      queue.push(job)
    }
    rest = rest.slice(from)
    drain()
  })
  socket.on('error', () => {}) // a client that is gone
})

process.on('SIGTERM', () => process.exit(0))
server.listen({ host: '127.0.0.1', port: 0, backlog: listenBacklog }, () => {
  const { address, port } = server.address()
  console.log(`listening ${address}:${port}`)
})
