/**
 * Kills a rank of a sweep over three, twice, under both MPIs, and lets a third call end it: each run has one result, none is run twice, and all
 * have the weights of a sweep by one process.
 *
 *     node scripts/machine-sweep.mjs [--runs 12] [--kills 2] [--ranks 3]
 *
 * Exit code 1 where that is not so. Needs `npm run build`, Linux, and both MPIs (test/helpers/mpi.ts).
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { launcherOf } from '../dist/test/helpers/mpi.js'
import { processesWhere } from '../dist/test/helpers/processes.js'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '12' },
    kills: { type: 'string', default: '2' },
    ranks: { type: 'string', default: '3' },
  },
})
const [count, kills, ranks] = [values.runs, values.kills, values.ranks].map(Number)
const MAIN = resolve('dist/src/cli/main.js')
const LAUNCHERS = ['mpich', 'openmpi']
const root = mkdtempSync(join(tmpdir(), 'gradloom-machine-sweep-'))
const [experiment, sweep] = [join(root, 'experiment.json'), join(root, 'sweep.json')]
writeFileSync(
  experiment,
  JSON.stringify({
    data: { dataset: 'digits', validation: 0.1 },
    model: { hidden: [60, 40], dropout: 0.3 },
    train: { epochs: 4, batchSize: 50 },
    compute: { backend: 'wasm', workers: 1, machinesTimeout: 5 },
    checkpoint: { everySteps: 20 },
  }),
)
const rates = Array.from({ length: count }, (_, i) => (i + 1) / 1000)
writeFileSync(sweep, JSON.stringify({ experiment, grid: { 'optimizer.learningRate': rates } }))

/** Runs a sweep into a folder; resolves with the exit code and all output. */
function run(launcher, dir) {
  const [program, ...args] = [...launcher, process.execPath, MAIN, 'sweep', sweep, '--run-dir', dir, '--quiet']
  const child = spawn(program, args)
  let text = ''
  child.stdout.on('data', data => (text += data))
  child.stderr.on('data', data => (text += data))
  return new Promise(done => child.on('close', code => done({ code, text })))
}

const runDirOf = (dir, index) => join(dir, `run-${String(index + 1).padStart(3, '0')}`)

function summaryOf(dir, index) {
  try {
    return JSON.parse(readFileSync(join(runDirOf(dir, index), 'summary.json'), 'utf8'))
  } catch {
    return {}
  }
}
const indices = rates.map((_, index) => index)
const doneIn = dir => indices.filter(index => summaryOf(dir, index).status === 'completed')

/** Processes of ranks, launchers excluded. */
const processesIn = dir => processesWhere(args => args.includes(dir) && !args.startsWith('mpirun'))

/** Steps that lines of metrics tell of, by number; a run that is run twice has some more than once. */
function stepsOf(dir, index) {
  const file = join(runDirOf(dir, index), 'metrics.jsonl')
  if (!existsSync(file)) return []
  const events = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  return events.map(line => JSON.parse(line)).filter(({ type }) => type === 'steps')
}

const problems = []
const expect = (holds, problem) => void (holds || problems.push(problem))
const dir = join(root, 'runs')
const finishedBefore = new Map()
for (let call = 0; call <= kills; call++) {
  const before = doneIn(dir).length
  const mpi = LAUNCHERS[call % LAUNCHERS.length]
  const ended = run(launcherOf(mpi, ranks), dir)
  let isOver = false
  const result = ended.then(value => {
    isOver = true
    return value
  })
  if (call < kills) {
    // A quarter of what is left is done, the rest under way or to come.
    const enough = before + Math.max(1, Math.floor((count - before) / 4))
    while (!isOver && doneIn(dir).length < enough) await delay(10)
    const pids = processesIn(dir)
    const pid = pids[call % pids.length]
    if (pid !== undefined) process.kill(Number(pid), 'SIGKILL')
    const struck = Date.now()
    await result
    while (processesIn(dir).length > 0 && Date.now() - struck < 60_000) await delay(20)
    const seconds = ((Date.now() - struck) / 1000).toFixed(1)
    process.stdout.write(
      `call ${call + 1}, mpirun.${mpi}: killed 1 of ${pids.length} ranks, all ended ${seconds} s later; ` +
        `${doneIn(dir).length} of ${count} runs done; load ${loadavg()[0].toFixed(1)}\n`,
    )
    expect(pids.length === ranks, `call ${call + 1}: ${pids.length} processes, expected ${ranks}`)
  } else {
    const { code, text } = await result
    expect(code === 0, `the last call ended with ${code}: ${text}`)
  }
  for (const [index, mtimeMs] of finishedBefore) {
    expect(statSync(join(runDirOf(dir, index), 'summary.json')).mtimeMs === mtimeMs, `run ${index + 1} ran again`)
  }
  for (const index of doneIn(dir)) {
    finishedBefore.set(index, statSync(join(runDirOf(dir, index), 'summary.json')).mtimeMs)
  }
}
const alone = join(root, 'alone')
const { code, text } = await run([], alone)
expect(code === 0, `the sweep by one process ended with ${code}: ${text}`)
let same = 0
for (const index of indices) {
  const steps = stepsOf(dir, index)
  for (let i = 1; i < steps.length; i++) {
    expect(steps[i].from >= steps[i - 1].step, `run ${index + 1}: steps from ${steps[i].from} on are there twice`)
  }
  if (summaryOf(dir, index).weightsSha256 === summaryOf(alone, index).weightsSha256) same++
}
expect(same === count, `${count - same} runs have other weights than in one process`)
const extra = readdirSync(dir).filter(name => name.startsWith('run-')).length - count
expect(extra === 0, `${extra} more folders of runs than ${count}`)
process.stdout.write(
  `${count} runs over ${ranks} ranks, killed ${kills} times: ${doneIn(dir).length} results, ${same} with the weights of one process, ` +
    `${problems.filter(text => /again|twice/.test(text)).length} run twice\n`,
)
for (const problem of problems) process.stdout.write(`PROBLEM ${problem}\n`)
if (problems.length > 0) process.exitCode = 1
else rmSync(root, { recursive: true, force: true })
