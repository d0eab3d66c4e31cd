/**
 * Bits of runs over several ranks: one digest for one process and for 2, 3 and 4 ranks of 1 and 2 workers, Open MPI and MPICH, one host and two
 * (network namespaces, as root), backends, settings that change how a step is divided, and both forms in which gradients come together; and
 * for runs that are resumed by another number of ranks under the other MPI.
 *
 *     node scripts/machine-bits.mjs [--ranks 2,3] [--mpi openmpi] [--backend wasm] [--only TEXT] [--no-hosts] [--jobs 2]
 *
 * Prints a line for each run that differs, one for each case, and the counts. Exit code 1: a digest differs, or a run has failed. About 20
 * minutes on two cores. Needs what test/helpers/mpi.ts names, and `npm run build`.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    ranks: { type: 'string', default: '2,3,4' },
    workers: { type: 'string', default: '1,2' },
    mpi: { type: 'string', default: 'openmpi,mpich' },
    backend: { type: 'string', default: 'wasm,onednn' },
    only: { type: 'string', default: '' },
    'no-hosts': { type: 'boolean', default: false },
    jobs: { type: 'string', default: '1' },
  },
})
const MAIN = resolve('dist/src/cli/main.js')
const dir = mkdtempSync(join(tmpdir(), 'gradloom-machine-bits-'))
const [{ writeTinyData }, { TwoHosts }, { launcherOf }] = await Promise.all(
  ['tiny-data', 'hosts', 'mpi'].map(name => import(resolve(`dist/test/helpers/${name}.js`))),
)
const file = join(dir, 'tiny.json')
const base = {
  data: { dataset: 'idx', path: writeTinyData(join(dir, 'data')) },
  model: { hidden: [24, 17] },
  train: { epochs: 2, batchSize: 100, l2: 0.05 },
  compute: { workers: 1, shardRows: 16 },
}
writeFileSync(file, JSON.stringify(base))

const convolutions = 'model.convolutions=[{"filters":5,"size":3,"pool":{"size":2}},{"filters":6,"size":3}]'
/** Layers whose weights travel in several waves. */
const wide = ['model.hidden=[800,700]', 'compute.gradientGroups=4', 'train.batchSize=64']
const CASES = [
  ['plain', []],
  ['dropout', ['model.dropout=0.2']],
  [
    'batch norm, clipping, accumulation, gelu',
    ['model.norm="batch"', 'train.clipNorm=0.5', 'train.accumulateSteps=2', 'model.activation="gelu"'],
  ],
  [
    'layer norm, limit of the weights, partial last batch',
    ['model.norm="layer"', 'train.maxNorm=1', 'train.batchSize=77'],
  ],
  ['batch smaller than the ranks, averages', ['train.batchSize=2', 'data.validation=0.9', 'train.ema.decay=0.9']],
  ['groups', ['compute.gradientGroups=4']],
  [
    'groups, dropout, clipping, partial last batch',
    ['compute.gradientGroups=5', 'model.dropout=0.2', 'train.clipNorm=0.5', 'train.batchSize=77'],
  ],
  [
    'groups, batch norm, accumulation',
    ['compute.gradientGroups=8', 'model.norm="batch"', 'train.accumulateSteps=2', 'model.activation="gelu"'],
  ],
  [
    'groups, layer norm, averages',
    ['compute.gradientGroups=3', 'model.norm="layer"', 'train.ema.decay=0.9', 'train.maxNorm=1'],
  ],
  ['groups, batch smaller than the ranks', ['compute.gradientGroups=2', 'train.batchSize=2', 'data.validation=0.9']],
  ['groups, rows and sums', wide],
  [
    'weights by need, in waves, a short last batch',
    ['model.hidden=[1400,1200]', 'train.batchSize=50', 'train.clipNorm=1'],
  ],
  ['convolutions', [convolutions]],
  [
    'convolutions, batch norm, dropout, clipping',
    [convolutions.replace('"filters":5', '"filters":5,"norm":"batch","dropout":0.2'), 'train.clipNorm=0.5'],
  ],
  [
    'convolutions, groups, accumulation',
    [convolutions, 'compute.gradientGroups=4', 'train.accumulateSteps=2', 'train.batchSize=77'],
  ],
]

const settings = overrides => overrides.flatMap(text => ['--set', text])
const list = text => text.split(',').filter(Boolean)
const hosts = values['no-hosts'] ? undefined : new TwoHosts()
/** Ranks on two hosts: MPICH over UCX and TCP is not stable with several of them on each. */
const ON_HOSTS = hosts
  ? [
      ['openmpi', 2],
      ['openmpi', 3],
      ['mpich', 2],
    ]
  : []

/** Trains the case in a run of its own. `launcher`: command and options before the program; none: one process. */
let runs = 0
function train(launcher, overrides, args = []) {
  const run = join(dir, `run${++runs}`)
  return finish(
    [...launcher, process.execPath, MAIN, 'train', file, '--run-dir', run, ...settings(overrides), ...args],
    run,
  )
}

/** Runs a command to its end; resolves with the digest of the run, or what went wrong in its place. */
function finish([program, ...args], run) {
  const { FORCE_COLOR: _, ...env } = process.env
  return new Promise(done => {
    const child = spawn(program, [...args, '--quiet'], {
      env: { ...env, GRADLOOM_TRIAL: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 600_000,
    })
    let text = ''
    child.stderr.on('data', data => (text += data))
    child.on('exit', (code, signal) => {
      // A daemon of a host may keep the pipe open; and MPICH over UCX and TCP may end with another code than 0 after the run.
      setTimeout(() => {
        const { status, weightsSha256 } = summaryOf(run)
        const isWhole = status === 'completed' && (code === 0 || program === 'ip')
        const problem = `exit code ${signal ?? code}: ${text.trim().split('\n').slice(0, 3).join(' / ')}`
        done({ run, digest: isWhole ? weightsSha256 : problem })
      }, 100)
    })
  })
}

function summaryOf(run) {
  try {
    return JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8'))
  } catch {
    return {}
  }
}

let [bad, good] = [0, 0]
async function runCase(backend, [name, overrides]) {
  const all = [...overrides, `compute.backend="${backend}"`]
  const { digest: expected } = await train([], all)
  let [count, wrong] = [0, 0]
  const compare = (what, digest, wanted = expected) => {
    count++
    if (digest === wanted && !/exit/.test(wanted)) return
    wrong++
    console.log(`${backend}, ${name}, ${what}: ${digest}, expected ${wanted}`)
  }
  for (const workers of list(values.workers)) {
    for (const mpi of list(values.mpi)) {
      for (const ranks of list(values.ranks)) {
        const { digest } = await train(launcherOf(mpi, ranks), all, ['--workers', workers])
        compare(`${mpi}, ${ranks} ranks of ${workers} workers`, digest)
      }
    }
  }
  for (const [mpi, ranks] of ON_HOSTS) {
    const { digest } = await train(hosts.launch(mpi, ranks), all)
    compare(`${mpi}, ${ranks} ranks on two hosts`, digest)
  }
  // Stopped after two epochs on three ranks, resumed on two, then by one process.
  const { digest: longer } = await train([], [...all, 'train.epochs=4'])
  const { run } = await train(launcherOf('mpich', 3), [...all, 'train.epochs=2'])
  const resume = epochs => [process.execPath, MAIN, 'resume', run, '--set', `train.epochs=${epochs}`]
  await finish([...launcherOf('openmpi', 2), ...resume(3)], run)
  compare('resumed', (await finish(resume(4), run)).digest, longer)
  console.log(
    `${backend}, ${name}: ${count - wrong} of ${count} as one process, ${expected.slice(0, 16)}; load ${loadavg()[0].toFixed(1)}`,
  )
  bad += wrong
  good += count - wrong
}

const queue = list(values.backend).flatMap(backend =>
  CASES.filter(([name]) => name.includes(values.only)).map(of => [backend, of]),
)
const cases = queue.length
try {
  await Promise.all(
    Array.from({ length: Number(values.jobs) }, async () => {
      for (let next = queue.shift(); next; next = queue.shift()) await runCase(...next)
    }),
  )
} finally {
  hosts?.close()
}
console.log(`${cases} cases: ${good} of ${good + bad} runs over ranks have the digest of one process`)
rmSync(dir, { recursive: true, force: true })
process.exit(bad > 0 ? 1 : 0)
