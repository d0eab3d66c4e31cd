/**
 * Clients of bench/serve.ts, in a process of their own: for each line of stdin, a number of seconds, they send `POST /predict` with one
 * image as fast as answers come, over connections that stay open, and print a ServeSample. Arguments: URL, connections.
 *
 * Plain sockets, and of a response no more is read than its status and where it ends: a client of HTTP takes longer for a request than
 * the server, so that it would be the client that is measured.
 */
import { connect, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'

export interface ServeSample {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Requests that were not answered with 200. */
  readonly failed: number
}

const PIXELS = 784
const [address, connections] = process.argv.slice(2)
const { host, hostname, port, pathname } = new URL(address)
const body = JSON.stringify({ image: Array.from({ length: PIXELS }, (_, i) => (i % 3 ? 0 : (i * 7) % 256)) })
const head = `POST ${pathname} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
const request = Buffer.from(head + body)
const END_OF_HEAD = '\r\n\r\n'

/** One connection: a request at a time. */
class Client {
  readonly #socket: Socket
  #received = Buffer.alloc(0)
  #answered: (status: string) => void = () => {}
  #lost: (cause: Error) => void = () => {}

  constructor() {
    this.#socket = connect(Number(port), hostname).setNoDelay(true)
    this.#socket.on('data', data => {
      this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data])
      this.#takeAnswer()
    })
    this.#socket.on('error', cause => this.#lost(cause))
    this.#socket.on('close', () => this.#lost(new Error('the server has closed a connection')))
  }

  /** Status of the answer. */
  ask(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve
      this.#lost = reject
      this.#socket.write(request)
    })
  }

  #takeAnswer(): void {
    const end = this.#received.indexOf(END_OF_HEAD)
    if (end < 0) return
    const text = this.#received.toString('latin1', 0, end)
    const length = /content-length: (\d+)/i.exec(text)
    if (!length) throw new Error(`serve: the answer has no Content-Length: ${text}`)
    if (this.#received.length < end + END_OF_HEAD.length + Number(length[1])) return
    this.#received = Buffer.alloc(0)
    this.#answered(text.slice(9, 12))
  }
}

const clients = Array.from({ length: Number(connections) }, () => new Client())

/** Sends requests over all connections for some seconds. */
async function sample(seconds: number): Promise<ServeSample> {
  const latencies: number[] = []
  let failed = 0
  const started = performance.now()
  const end = started + 1000 * seconds
  await Promise.all(
    clients.map(async client => {
      for (let before = performance.now(); before < end; before = performance.now()) {
        if ((await client.ask()) !== '200') failed++
        latencies.push(performance.now() - before)
      }
    }),
  )
  const elapsed = (performance.now() - started) / 1000
  latencies.sort((a, b) => a - b)
  const at = (share: number) => latencies[Math.floor(share * (latencies.length - 1))]
  return { requestsPerSecond: latencies.length / elapsed, p50Ms: at(0.5), p99Ms: at(0.99), failed }
}

for await (const seconds of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await sample(Number(seconds)))}\n`)
}
process.exit()
