/** Runs over two hosts, network namespaces with file systems of their own: the bits of one process, and what happens when the link goes. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import { loadExperiment } from '../../src/index.js'
import { TwoHosts } from '../helpers/hosts.js'
import { hasMpi, type MpiName } from '../helpers/mpi.js'
import { writeTinyData } from '../helpers/tiny-data.js'
import { CEILING_MS, until } from '../helpers/until.js'

const MAIN = resolve('dist/src/cli/main.js')

/** Hosts of a test; undefined after having failed (CI) or skipped (elsewhere) it. */
function hostsOf(t: Test, hidden: string): TwoHosts | undefined {
  try {
    const hosts = new TwoHosts({ hidden })
    t.teardown(() => hosts.close())
    return hosts
  } catch (error) {
    const message = `two hosts need root, iproute2 and util-linux: ${(error as Error).message}`
    if (process.env.CI) t.fail(message)
    else t.pass(message, { skip: message })
    return undefined
  }
}

function folderOf(t: Test, settings: object): { hidden: string; file: string } {
  const hidden = join(t.testdir({}), 'hidden')
  mkdirSync(hidden)
  const file = join(hidden, 'tiny.json')
  const experiment = {
    data: { dataset: 'idx', path: writeTinyData(join(hidden, 'data')), from: 'rank0' },
    model: { hidden: [24, 17], dropout: 0.2 },
    train: { epochs: 2, batchSize: 100 },
    ...settings,
  }
  writeFileSync(file, JSON.stringify(experiment))
  return { hidden, file }
}

interface Ended {
  readonly code: number | null
  readonly output: string
}

function gradloomOn(hosts: TwoHosts, mpi: MpiName, ranks: number, args: readonly string[]): Promise<Ended> {
  const { FORCE_COLOR: _, NODE_OPTIONS: __, ...env } = process.env
  const [command, ...all] = [...hosts.launch(mpi, ranks), process.execPath, MAIN, ...args]
  const child = spawn(command, all, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const timer = setTimeout(() => child.kill('SIGKILL'), CEILING_MS)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (output += text))
  return new Promise((resolve, reject) => {
    // The daemon of a host that was cut off keeps the pipes open.
    child.on('error', reject).on('exit', code => {
      clearTimeout(timer)
      setTimeout(() => resolve({ code, output }), 100)
    })
  })
}

const summaryOf = (run: string) => JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8'))

for (const [mpi, ranks] of [
  ['openmpi', 3],
  ['mpich', 2],
] as const) {
  t.test(`${mpi}: ${ranks} ranks on two hosts, one of which has the data: one digest`, async t => {
    const { hidden, file } = folderOf(t, { compute: { workers: 1, backend: 'wasm' } })
    if (!hasMpi(t, mpi)) return
    const hosts = hostsOf(t, hidden)
    if (!hosts) return
    const alone = await train(await loadExperiment(file), { runDir: null })
    const run = join(hidden, 'run')
    const { output } = await gradloomOn(hosts, mpi, ranks, ['train', file, '--run-dir', run, '--quiet'])
    // Not the exit code of the launcher: MPI_Finalize of MPICH over UCX and TCP may not return.
    t.match(existsSync(join(run, 'summary.json')) && summaryOf(run), { status: 'completed' }, output)
    t.equal(summaryOf(run).weightsSha256, alone.weightsSha256)
    const { ranks: recorded } = JSON.parse(readFileSync(join(run, 'manifest.json'), 'utf8'))
    t.equal(recorded.memory, 'own', 'namespaces of this machine count as hosts')
    t.equal(new Set(recorded.hosts.map(({ host }: { host: string }) => host)).size, 2)
  })
}

t.test('the link between the hosts is cut: both end, with the reason, and the run can be resumed', async t => {
  if (!hasMpi(t, 'mpich')) return
  const { hidden, file } = folderOf(t, {
    train: { epochs: 2000, batchSize: 100 },
    compute: { workers: 1, backend: 'wasm', machinesTimeout: 2 },
    checkpoint: { everyEpochs: null, everySteps: 10 },
  })
  const hosts = hostsOf(t, hidden)
  if (!hosts) return
  const run = join(hidden, 'run')
  const ended = gradloomOn(hosts, 'mpich', 2, ['train', file, '--run-dir', run, '--quiet'])
  await until('a checkpoint', () => existsSync(join(run, 'checkpoints', 'latest')))
  hosts.cut()
  const { code, output } = await ended
  t.not(code, 0)
  t.match(output, /machines: rank 1 \(.*\): has given no sign of life for 2 s/)
  await until('no process is left', () => spawnSync('pgrep', ['-f', `main.js train ${file}`]).status !== 0)
  const { summary } = await resume(run, { overrides: ['train.stopAfterSeconds=0.01'] })
  t.ok(summary.steps >= 10)
})
