/**
 * How much `gradloom serve` answers: trains 784-128-10 for a moment, then asks POST /predict for one image a request over
 * 64 connections, after a warm-up. Prints one JSON object; exit code 1 below 2,000 requests/s, at a p99 of 20 ms or more,
 * or where a request was not answered with 200.
 *
 *     npm run build && node scripts/load.mjs --seconds 15
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import autocannon from 'autocannon'
import { resolveExperiment, train } from '../dist/src/index.js'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '10' }, connections: { type: 'string', default: '64' } },
})
const WARMUP_SECONDS = 3
const BAR = { requestsPerSecond: 2000, p99Ms: 20 }

const folder = await mkdtemp(join(tmpdir(), 'gradloom-load-'))
const run = join(folder, 'run')
try {
  const model = { hidden: [128], dropout: 0 }
  await train(resolveExperiment({ data: { dataset: 'digits' }, model, train: { epochs: 1 } }), { runDir: run })
  const cli = new URL('../dist/src/cli/main.js', import.meta.url).pathname
  const server = spawn(process.execPath, [cli, 'serve', run, '--port', '0', '--rate', '1000000'])
  const exit = once(server, 'exit')
  const [said] = await once(server.stdout, 'data')
  const url = `${/http:\/\/[\d.:]+/.exec(String(said))[0]}/predict`
  const body = JSON.stringify({ image: Array.from({ length: 784 }, (_, i) => (i % 3 ? 0 : (i * 7) % 256)) })
  const ask = seconds =>
    autocannon({
      ...{ url, body, method: 'POST', headers: { 'content-type': 'application/json' } },
      ...{ connections: Number(values.connections), duration: seconds },
    })
  await ask(WARMUP_SECONDS)
  const { requests, latency, errors, timeouts, non2xx } = await ask(Number(values.seconds))
  server.kill('SIGINT')
  const [code] = await exit
  const got = { requestsPerSecond: requests.average, p50Ms: latency.p50, p99Ms: latency.p99, maxMs: latency.max }
  const failures = { errors, timeouts, non2xx, exitCode: code }
  console.log(JSON.stringify({ ...got, ...failures, loadAverage: loadavg()[0] }))
  const good = got.requestsPerSecond >= BAR.requestsPerSecond && got.p99Ms < BAR.p99Ms
  if (!good || Object.values(failures).some(count => count !== 0)) process.exitCode = 1
} finally {
  await rm(folder, { recursive: true })
}
