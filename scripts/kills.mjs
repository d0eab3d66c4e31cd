/**
 * Kills training with SIGKILL, at random moments and inside the writing of checkpoints, resumes it with another number of workers, and
 * compares the final weights with those of an uninterrupted run.
 *
 *     node scripts/kills.mjs [--kills 50] [--backend wasm] [--model dense|convolutions] [--seed 1]
 *
 * Ends with exit code 1 if any digest differs or any checkpoint cannot be read. Needs `npm run build`.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readCheckpoint } from '../dist/src/run/checkpoint-file.js'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    backend: { type: 'string', default: 'wasm' },
    model: { type: 'string', default: 'dense' },
    seed: { type: 'string', default: '1' },
  },
})
const wanted = Number(values.kills)
const root = mkdtempSync(join(tmpdir(), 'gradloom-kills-'))
const experiment = join(root, 'experiment.json')
const MODELS = {
  dense: { hidden: [400, 200], dropout: 0.3 },
  convolutions: {
    convolutions: [
      { filters: 6, size: 5, stride: 3, norm: 'batch' },
      { filters: 8, pool: { size: 2 }, dropout: 0.2 },
    ],
    hidden: [32],
  },
}
writeFileSync(
  experiment,
  JSON.stringify({
    data: { dataset: 'digits', validation: 0.1 },
    model: MODELS[values.model],
    train: { epochs: values.model === 'dense' ? 6 : 3, batchSize: 100 },
    optimizer: { type: 'momentum' },
    compute: { backend: values.backend },
    checkpoint: { everySteps: 11 },
  }),
)

/** Park and Miller 1988: the same kills for the same seed, as far as the machine's pace allows. */
let state = Number(values.seed)
function random() {
  state = (state * 48271) % 2147483647
  return state / 2147483647
}

/** Runs gradloom; `kill(child)` may arrange its end. Resolves with the exit code, null where it was killed. */
function gradloom(args, kill = () => {}) {
  return new Promise(resolve => {
    const child = spawn(process.execPath, ['bin/gradloom.js', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    child.stdout.on('data', data => (text += data))
    child.stderr.on('data', data => (text += data))
    const cleanUp = kill(child)
    child.on('close', code => {
      cleanUp?.()
      resolve({ code, text })
    })
  })
}

/** At a random time of a run, which takes `typicalMs`. */
const afterAWhile = typicalMs => child => {
  const timer = setTimeout(() => child.kill('SIGKILL'), random() * typicalMs)
  return () => clearTimeout(timer)
}

/** While a checkpoint is being written: some time after its temporary file has appeared. */
const insideAWrite = folder => child => {
  const skip = Math.floor(random() * 12)
  let seen = 0
  let watcher
  const timer = setInterval(() => {
    try {
      watcher ??= watch(folder, (_event, name) => {
        if (name?.endsWith('.tmp') && seen++ === skip) setTimeout(() => child.kill('SIGKILL'), random() * 8)
      })
    } catch {
      // The folder is not there yet.
    }
  }, 5)
  return () => {
    clearInterval(timer)
    watcher?.close()
  }
}

const started = Date.now()
const undisturbed = join(root, 'undisturbed')
const first = await gradloom(['train', experiment, '--run-dir', undisturbed, '--quiet', '--workers', '2'])
if (first.code !== 0) throw new Error(`the undisturbed run failed: ${first.text}`)
const typicalMs = Date.now() - started
const digestOf = dir => JSON.parse(readFileSync(join(dir, 'summary.json'), 'utf8')).weightsSha256
const expected = digestOf(undisturbed)

let kills = 0
let differences = 0
let unreadable = 0
let runs = 0
while (kills < wanted) {
  const dir = join(root, `run-${runs++}`)
  for (let attempt = 0; ; attempt++) {
    const workers = String(1 + Math.floor(random() * 4))
    const args =
      attempt === 0
        ? ['train', experiment, '--run-dir', dir, '--workers', workers]
        : ['resume', dir, '--workers', workers]
    // A run that is killed too early leaves no directory to resume.
    const kill =
      kills >= wanted ? undefined : kills % 2 === 0 ? afterAWhile(typicalMs) : insideAWrite(join(dir, 'checkpoints'))
    const { code, text } = await gradloom([...args, '--quiet'], kill)
    const names = (() => {
      try {
        return readdirSync(join(dir, 'checkpoints')).filter(name => !name.endsWith('.tmp'))
      } catch {
        return null
      }
    })()
    for (const name of names ?? []) {
      await readCheckpoint(join(dir, 'checkpoints', name)).catch(error => {
        unreadable++
        process.stdout.write(`UNREADABLE ${error.message}\n`)
      })
    }
    if (code === 0) break
    if (code !== null) throw new Error(`${args.join(' ')} ended with ${code}: ${text}`)
    kills++
    if (names === null || !readdirSync(dir).includes('resolved.json')) {
      rmSync(dir, { recursive: true, force: true })
      attempt = -1
    }
  }
  if (digestOf(dir) !== expected) {
    differences++
    process.stdout.write(`DIFFERENT ${dir}\n`)
  }
  process.stdout.write(`${runs} runs, ${kills} kills, ${differences} differences, ${unreadable} unreadable\n`)
}
process.stdout.write(
  `${values.backend}: ${kills} kills in ${runs} runs: ${differences} differences, ${unreadable} unreadable checkpoints\n`,
)
if (differences + unreadable > 0) process.exitCode = 1
else rmSync(root, { recursive: true, force: true })
