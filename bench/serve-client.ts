/**
 * Clients of bench/serve.ts, in a process of their own: for each line of stdin, a number of seconds, they send `POST /predict` with one
 * image as fast as answers come, over connections that stay open, and print a ServeSample. Arguments: URL, connections.
 */
import { createInterface } from 'node:readline'
import autocannon from 'autocannon'

export interface ServeSample {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Requests that were not answered with 200. */
  readonly failed: number
}

const [url, connections] = process.argv.slice(2)
const PIXELS = 784
const body = JSON.stringify({ image: Array.from({ length: PIXELS }, (_, i) => (i % 3 ? 0 : (i * 7) % 256)) })

for await (const seconds of createInterface({ input: process.stdin })) {
  const { requests, latency, errors, timeouts, non2xx } = await autocannon({
    ...{ url, body, method: 'POST', headers: { 'content-type': 'application/json' } },
    ...{ connections: Number(connections), duration: Number(seconds) },
  })
  const sample: ServeSample = {
    requestsPerSecond: requests.average,
    p50Ms: latency.p50,
    p99Ms: latency.p99,
    failed: errors + timeouts + non2xx,
  }
  process.stdout.write(`${JSON.stringify(sample)}\n`)
}
