/** Failures of runs over several ranks: none hangs, each ends with its reason, and what was saved goes on to the same bits. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { train } from '../../src/coordinator/new-run.js'
import { resume as resumeRun } from '../../src/coordinator/resume.js'
import { loadExperiment } from '../../src/index.js'
import { gradloom } from '../cli/run-cli.js'
import { gradloomRanks, hasMpi, type MpiName, pidOfRank } from '../helpers/mpi.js'
import { writeTinyData } from '../helpers/tiny-data.js'
import { until } from '../helpers/until.js'

/** More than any test waits for. */
const EPOCHS = 2000
const STEPS_PER_EPOCH = 6

function writeExperiment(t: Test): { dir: string; file: string } {
  const dir = t.testdir({})
  const file = join(dir, 'tiny.json')
  const experiment = {
    data: { dataset: 'idx', path: writeTinyData(join(dir, 'data')) },
    model: { hidden: [24, 17] },
    train: { epochs: EPOCHS, batchSize: 100 },
    compute: { workers: 1, backend: 'wasm', machinesTimeout: 2 },
    checkpoint: { everyEpochs: null, everySteps: 10 },
  }
  writeFileSync(file, JSON.stringify(experiment))
  return { dir, file }
}

/** Trains over two ranks and sends a signal to one of them once there is a checkpoint. */
async function withSignal(t: Test, mpi: MpiName, signal: NodeJS.Signals, rank: number) {
  const { dir, file } = writeExperiment(t)
  const run = join(dir, 'run')
  const ended = gradloomRanks(mpi, 2, ['train', file, '--run-dir', run, '--quiet'])
  await until('a checkpoint', () => existsSync(join(run, 'checkpoints', 'latest')))
  const pid = pidOfRank(rank, run)
  t.ok(pid, `process of rank ${rank}`)
  process.kill(pid!, signal)
  const result = await ended
  await until('no process is left', () => !isThere(pid!) && [0, 1].every(of => pidOfRank(of, run) === undefined))
  return { run, file, ...result }
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Steps until the run ends. */
const MORE_STEPS = 5

/** Goes on for a few steps from the last checkpoint, and compares with a run that never stopped. */
async function sameBits(t: Test, run: string, file: string): Promise<void> {
  const saved = readdirSync(join(run, 'checkpoints')).map(name => Number(/^step-(\d+)/.exec(name)?.[1] ?? 0))
  const epochs = Math.ceil((Math.max(...saved) + MORE_STEPS) / STEPS_PER_EPOCH)
  const { summary } = await resumeRun(run, { overrides: [`train.epochs=${epochs}`] })
  const whole = await train(await loadExperiment(file, [`train.epochs=${epochs}`]), { runDir: null })
  t.equal(summary.weightsSha256, whole.weightsSha256)
}

for (const [mpi, rank] of [
  ['openmpi', 1],
  ['mpich', 0],
] as const) {
  t.test(`${mpi}: rank ${rank} stands still: the run ends, names it, and can be resumed`, async t => {
    if (!hasMpi(t, mpi)) return
    const { code, stderr, run, file } = await withSignal(t, mpi, 'SIGSTOP', rank)
    t.not(code, 0)
    t.match(stderr, new RegExp(`machines: rank ${rank} \\(.*\\): has given no sign of life for 2 s`))
    if (rank === 1) t.match(stderr, `npx gradloom resume ${run}`)
    await sameBits(t, run, file)
  })

  t.test(`${mpi}: a rank is killed: the run ends, and can be resumed`, async t => {
    if (!hasMpi(t, mpi)) return
    const { code, run, file } = await withSignal(t, mpi, 'SIGKILL', 1 - rank)
    t.not(code, 0)
    await sameBits(t, run, file)
  })
}

t.test('SIGTERM of another rank than 0 stops the run after a step, saved', async t => {
  if (!hasMpi(t, 'mpich')) return
  const { code, run, file, stderr } = await withSignal(t, 'mpich', 'SIGTERM', 1)
  t.equal(code, 130, stderr)
  const summary = JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8'))
  t.equal(summary.status, 'interrupted')
  t.match(summary.checkpoint, `step-${summary.steps}`)
  await sameBits(t, run, file)
})

t.test('a rank that cannot open the run ends it with its reason', async t => {
  if (!hasMpi(t, 'openmpi')) return
  const { dir, file } = writeExperiment(t)
  const run = join(dir, 'run')
  // Rank 1 sees an empty folder in the place of the data.
  const limited = '[ "$OMPI_COMM_WORLD_RANK" = 0 ] || mount -t tmpfs none "$DATA" 2>/dev/null; exec "$@"'
  const command = ['unshare', '-m', 'sh', '-c', limited, 'sh', process.execPath, 'dist/src/cli/main.js']
  const env = { DATA: join(dir, 'data') }
  const { code, stderr } = await gradloomRanks('openmpi', 2, ['train', file, '--run-dir', run, '--quiet'], {
    command,
    env,
  })
  if (/unshare|Operation not permitted/.test(stderr)) return t.pass('', { skip: 'mounts need root' })
  t.not(code, 0)
  t.match(stderr, /machines: rank 1 \(.*\): data.path: the idx files were not found/)
  t.notOk(existsSync(join(run, 'checkpoints', 'latest')))
})

/** Starts MPI as gradloom does, but gives up sooner. */
const START = `
  const [{ Machines }, { launchedBy }] = await Promise.all(
    ['machines/machines.js', 'ffi/mpi/launcher.js'].map(name => import('${pathToFileURL(resolve('dist/src')).href}/' + name)),
  )
  await Machines.join(launchedBy(process.env), 1500)`

for (const mpi of ['openmpi', 'mpich'] as const) {
  t.test(`${mpi}: a rank that ends before it has started MPI does not keep the others waiting`, async t => {
    if (!hasMpi(t, mpi)) return
    const start = [process.execPath, '--input-type=module', '-e', START]
    const command = ['sh', '-c', '[ "$OMPI_COMM_WORLD_RANK$PMI_RANK" = 1 ] || exec "$@"', 'sh', ...start]
    const { code, stderr } = await gradloomRanks(mpi, 2, [], { command })
    t.not(code, 0)
    t.match(stderr, 'machines: rank 0: MPI has not started after 1.5 s')
  })
}

for (const [mpi, rank] of [
  ['openmpi', 0],
  ['mpich', 1],
] as const) {
  t.test(`${mpi}: rank ${rank} fails before it has started MPI: the others end at once`, async t => {
    if (!hasMpi(t, mpi)) return
    const start = START.replace('1500', '600_000')
    // It throws as soon as it watches its start, while a thread loads the library for it.
    const fail = `if ((process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK) === '${rank}') {
      const before = process.listenerCount('exit')
      setInterval(() => {
        if (process.listenerCount('exit') > before) throw new Error('thrown early')
      }, 1)
    }`
    const command = [process.execPath, '--input-type=module', '-e', `${fail}\n${start}`]
    const { code, signal, stderr } = await gradloomRanks(mpi, 2, [], { command })
    t.equal(signal, null, 'nobody had to end it')
    t.not(code, 0)
    t.match(stderr, 'thrown early')
  })
}

t.test('mpich: ranks whose launcher on their host has ended end by themselves', async t => {
  if (!hasMpi(t, 'mpich')) return
  const { dir, file } = writeExperiment(t)
  const run = join(dir, 'run')
  const ended = gradloomRanks('mpich', 2, ['train', file, '--run-dir', run, '--quiet'])
  await until('a checkpoint', () => existsSync(join(run, 'checkpoints', 'latest')))
  const pids = [0, 1].map(rank => pidOfRank(rank, run)!)
  const parent = Number(readFileSync(`/proc/${pids[0]}/stat`, 'utf8').split(') ')[1].split(' ')[1])
  process.kill(parent, 'SIGKILL')
  await until('the ranks have ended', () => !pids.some(isThere))
  await ended
  t.match(JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8')), {
    status: 'failed',
    error: /mpirun of MPICH, which started this process, has ended/,
  })
  await sameBits(t, run, file)
})

t.test('a library of another launcher is refused', async t => {
  if (!hasMpi(t, 'openmpi')) return
  const { file } = writeExperiment(t)
  // What mpirun says, without mpirun: the library then starts as a program of size 1.
  const env = { OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '2' }
  const { code, stderr } = await gradloom(['train', file, '--quiet'], {
    env: { ...env, OMPI_MCA_plm: 'isolated', OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
  })
  t.not(code, 0)
  t.match(stderr, 'started 2 ranks, but Open MPI')
})

t.test('what cannot be trained over ranks is refused, without a launcher or with', async t => {
  const { file } = writeExperiment(t)
  const alone = await gradloom(['train', file, '--set', 'compute.machines="mpi"'])
  t.equal(alone.code, 2)
  t.match(alone.stderr, 'compute.machines is "mpi"')
  const lost = await gradloom(['train', file], { env: { PMI_RANK: '0', PMI_SIZE: '2', PMI_FD: '99' } })
  t.equal(lost.code, 2)
  t.match(lost.stderr, 'PMI_FD is 99')
  if (!hasMpi(t, 'mpich')) return
  const { code, stderr } = await gradloomRanks('mpich', 2, ['train', file, '--set', 'compute.allReduce="buffers"'])
  t.equal(code, 2, stderr)
  t.match(stderr, 'compute.allReduce is "buffers"')
})
