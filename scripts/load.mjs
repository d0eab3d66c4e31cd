/**
 * Measures the throughput of `gradloom serve`: sends POST /predict to a model that comes with it for one image a request over 64
 * connections, after a warm-up, as fast as answers come; with --rate, so many a second, which autocannon sends in bursts. Prints one JSON
 * object; exit code 1 below 2,000 requests/s, at a p99 of 20 ms or more, or where a request was not answered with 200.
 *
 *     npm run build && node scripts/load.mjs --seconds 15
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import autocannon from 'autocannon'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'mnist' },
    seconds: { type: 'string', default: '10' },
    connections: { type: 'string', default: '64' },
    rate: { type: 'string' },
  },
})
const WARMUP_SECONDS = 3
const BAR = { requestsPerSecond: 2000, p99Ms: 20 }

const cli = new URL('../dist/src/cli/main.js', import.meta.url).pathname
const server = spawn(process.execPath, [cli, 'serve', values.model, '--port', '0', '--rate', '1000000'])
const exit = once(server, 'exit')
const [said] = await once(server.stdout, 'data')
const url = `${/http:\/\/[\d.:]+/.exec(String(said))[0]}/predict`
const body = JSON.stringify({ image: Array.from({ length: 784 }, (_, i) => (i % 3 ? 0 : (i * 7) % 256)) })

const ask = async (duration, overallRate) => {
  const { requests, latency, errors, timeouts, non2xx } = await autocannon({
    ...{ url, body, method: 'POST', headers: { 'content-type': 'application/json' } },
    ...{ connections: Number(values.connections), duration, ...(overallRate && { overallRate }) },
  })
  const got = { requestsPerSecond: requests.average, p50Ms: latency.p50, p99Ms: latency.p99, maxMs: latency.max }
  return { ...got, errors, timeouts, non2xx, loadAverage: loadavg()[0] }
}
await ask(WARMUP_SECONDS)
const got = await ask(Number(values.seconds), values.rate && Number(values.rate))
console.log(JSON.stringify(got))
const good = got.requestsPerSecond >= BAR.requestsPerSecond && got.p99Ms < BAR.p99Ms
if (!good || got.errors + got.timeouts + got.non2xx > 0) process.exitCode = 1
server.kill('SIGINT')
const [code] = await exit
if (code !== 0) throw new Error(`the server ended with ${code}, expected 0`)
