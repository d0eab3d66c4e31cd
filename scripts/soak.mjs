/**
 * Trains for a while with a checkpoint every few seconds, and watches the process from outside: resident size, open
 * files, threads. Linux, for it reads /proc.
 *
 *     node scripts/soak.mjs [--minutes 20] [--every 10] [--backend wasm]
 *
 * Ends with exit code 1 if the resident size or the number of open files has grown by more than 5 % after the first
 * quarter, or the run failed. Needs `npm run build`.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    every: { type: 'string', default: '10' },
    backend: { type: 'string', default: 'wasm' },
  },
})
const MOST_GROWTH = 0.05
const root = mkdtempSync(join(tmpdir(), 'gradloom-soak-'))
const experiment = join(root, 'experiment.json')
writeFileSync(
  experiment,
  JSON.stringify({
    data: { dataset: 'digits', validation: 0.1 },
    model: { hidden: [1000, 500], dropout: 0.3 },
    train: { epochs: 1_000_000, batchSize: 128 },
    compute: { backend: values.backend, workers: 2 },
    checkpoint: { everyEpochs: null, everySeconds: Number(values.every) },
  }),
)
const runDir = join(root, 'run')
const child = spawn(process.execPath, ['bin/gradloom.js', 'train', experiment, '--run-dir', runDir, '--quiet'], {
  stdio: ['ignore', 'ignore', 'inherit'],
})
const ended = new Promise(resolve => child.on('close', resolve))

const sample = () => {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  const number = key => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)[1])
  return {
    residentMb: number('VmRSS') / 1024,
    peakMb: number('VmHWM') / 1024,
    threads: number('Threads'),
    files: readdirSync(`/proc/${child.pid}/fd`).length,
  }
}

const samples = []
const end = Date.now() + Number(values.minutes) * 60_000
while (Date.now() < end && child.exitCode === null) {
  await delay(2000)
  samples.push(sample())
}
child.kill('SIGINT')
const code = await ended
const saved = readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').match(/"type":"checkpoint"/g)?.length ?? 0
const { steps } = JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8'))

const most = (of, key) => Math.max(...of.map(one => one[key]))
const early = samples.slice(0, Math.ceil(samples.length / 4))
const growth = key => most(samples, key) / most(early, key) - 1
const keys = ['peakMb', 'residentMb', 'files', 'threads']
for (const key of keys) {
  const text = value => value.toFixed(key.endsWith('Mb') ? 1 : 0)
  process.stdout.write(
    `${key.padEnd(10)} first quarter ${text(most(early, key))}, all ${text(most(samples, key))}: ${(100 * growth(key)).toFixed(1)} %\n`,
  )
}
process.stdout.write(`${values.minutes} minutes, ${steps} steps, ${saved} checkpoints, exit code ${code}\n`)
rmSync(root, { recursive: true })
process.exitCode = code === 130 && keys.every(key => growth(key) <= MOST_GROWTH) ? 0 : 1
