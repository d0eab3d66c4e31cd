/**
 * Measures the cost of `train --live`: trains an experiment with it and without in turn, while the live run's events are read as a page
 * reads them. Prints samples/s of each run and the median of what the pairs lost; exit code 1 at 2 % or more.
 *
 *     npm run build && node scripts/live.mjs --pairs 8
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { pairs: { type: 'string', default: '8' }, epochs: { type: 'string', default: '3' } },
})
const MOST_LOST = 0.02
const [experiment = 'configs/mnist-fast.json'] = positionals
const cli = new URL('../dist/src/cli/main.js', import.meta.url).pathname

/** Samples a second of one run. */
async function throughput(live) {
  const folder = await mkdtemp(join(tmpdir(), 'gradloom-live-'))
  const options = [
    '--run-dir',
    join(folder, 'run'),
    '--json',
    '--epochs',
    values.epochs,
    ...(live ? ['--live', '--port', '0'] : []),
  ]
  const run = spawn(process.execPath, [cli, 'train', experiment, ...options])
  let events = 0
  let said = ''
  createInterface(run.stderr).on('line', line => {
    said += `${line}\n`
    const url = /^live +(http:\/\/[\d.:]+)/.exec(line)?.[1]
    if (url) void read(`${url}/events`)
  })
  const read = async url => {
    for await (const chunk of (await fetch(url)).body) events += chunk.length
  }
  let json = ''
  run.stdout.on('data', chunk => {
    json += chunk
  })
  const [code] = await once(run, 'close')
  await rm(folder, { recursive: true })
  if (code !== 0 || (live && events === 0))
    throw new Error(`train ended with ${code} after ${events} bytes of events:\n${said}`)
  return JSON.parse(json).samplesPerSecond
}

const lost = []
await throughput(false) // warm: files in memory, the library's verdict known
for (let pair = 0; pair < Number(values.pairs); pair++) {
  const order = pair % 2 === 0 ? [false, true] : [true, false]
  const rates = new Map()
  for (const live of order) rates.set(live, await throughput(live))
  lost.push(1 - rates.get(true) / rates.get(false))
  console.log(
    `without ${rates.get(false).toFixed(0)}/s, with ${rates.get(true).toFixed(0)}/s: ${(100 * lost.at(-1)).toFixed(2)} %`,
  )
}
lost.sort((a, b) => a - b)
const median = (lost[Math.floor((lost.length - 1) / 2)] + lost[Math.ceil((lost.length - 1) / 2)]) / 2
console.log(`median ${(100 * median).toFixed(2)} %`)
if (median >= MOST_LOST) process.exitCode = 1
