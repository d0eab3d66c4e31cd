/** Runs over several ranks have the bits of one process: real MPI, several processes on this machine. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import { loadExperiment } from '../../src/index.js'
import { gradloomRanks, hasMpi, type MpiName } from '../helpers/mpi.js'
import { nativeLibrary, ownCache } from '../helpers/native-library.js'
import { writeTinyData } from '../helpers/tiny-data.js'

process.env.GRADLOOM_TRIAL = '0'

function writeExperiment(t: Test): { dir: string; file: string } {
  const dir = t.testdir({})
  const file = join(dir, 'tiny.json')
  const experiment = {
    data: { dataset: 'idx', path: writeTinyData(join(dir, 'data')) },
    model: { hidden: [24, 17], dropout: 0.2 },
    train: { epochs: 2, batchSize: 100, l2: 0.05 },
    compute: { workers: 1, backend: 'wasm', shardRows: 16 },
  }
  writeFileSync(file, JSON.stringify(experiment))
  return { dir, file }
}

const summaryOf = (run: string) => JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8'))
const settings = (overrides: readonly string[]) => overrides.flatMap(text => ['--set', text])

interface Case {
  readonly name: string
  readonly overrides: readonly string[]
  readonly mpi: MpiName
  readonly ranks: number
  readonly workers: number
}

const CASES: readonly Case[] = [
  { name: 'shards', overrides: [], mpi: 'openmpi', ranks: 2, workers: 1 },
  {
    name: 'layer by layer, since there are more workers than shards; validation, early stopping, averages',
    overrides: ['train.batchSize=32', 'data.validation=0.2', 'train.ema.decay=0.9', 'train.earlyStopping.patience=1'],
    ...{ mpi: 'mpich', ranks: 2, workers: 2 },
  },
  {
    name: 'batch normalisation, limit of the norm, accumulation, gelu',
    overrides: ['model.norm="batch"', 'train.clipNorm=0.5', 'train.accumulateSteps=2', 'model.activation="gelu"'],
    ...{ mpi: 'mpich', ranks: 3, workers: 1 },
  },
  {
    name: 'layers of several blocks, of whose weights each rank gets a part; a short last batch, saved and scored on the way',
    overrides: [
      ...['model.hidden=[800,700]', 'model.norm="layer"', 'train.batchSize=50', 'data.validation=0.2'],
      ...['train.accumulateSteps=2', 'checkpoint.everySteps=1'],
    ],
    ...{ mpi: 'openmpi', ranks: 3, workers: 1 },
  },
  {
    name: 'a mini-batch of fewer rows than ranks, limit of the weights, layer normalisation',
    overrides: ['train.batchSize=2', 'data.validation=0.9', 'train.maxNorm=1', 'model.norm="layer"'],
    ...{ mpi: 'openmpi', ranks: 4, workers: 1 },
  },
]

/** Layers of which one exchanges rows, the others sums of gradients. */
const GROUPS = ['model.hidden=[800,700]', 'compute.gradientGroups=5', 'train.batchSize=77']
const CONVOLUTIONS = [
  { filters: 5, size: 3, pool: { size: 2 }, norm: 'batch', dropout: 0.2 },
  { filters: 6, size: 3 },
]

const GROUPED: readonly Case[] = [
  {
    name: 'sums by groups of rows, limit of the norm, accumulation, a partial last batch',
    overrides: [...GROUPS, 'train.clipNorm=0.5', 'train.accumulateSteps=2'],
    ...{ mpi: 'openmpi', ranks: 3, workers: 1 },
  },
  {
    name: 'convolutions, batch normalisation and dropout of maps, groups',
    overrides: [
      `model.convolutions=${JSON.stringify(CONVOLUTIONS)}`,
      'compute.gradientGroups=4',
      'train.ema.decay=0.9',
    ],
    ...{ mpi: 'mpich', ranks: 2, workers: 2 },
  },
]

/** With memory that all ranks of this host have together, and with messages alone, as between hosts. */
const FORMS = [
  { form: 'memory', env: {} },
  { form: 'messages', env: { GRADLOOM_HOST_MEMORY: '0' } },
]

for (const { name, overrides, mpi, ranks, workers, form, env } of [...CASES, ...GROUPED].flatMap(of =>
  FORMS.map(form => ({ ...of, ...form })),
)) {
  t.test(`${mpi}, ${ranks} ranks of ${workers} workers, by ${form}, one digest: ${name}`, async t => {
    if (!hasMpi(t, mpi)) return
    const { dir, file } = writeExperiment(t)
    const alone = await train(await loadExperiment(file, overrides), { runDir: null })
    const run = join(dir, 'run')
    const args = ['train', file, '--run-dir', run, '--quiet', '--workers', String(workers), ...settings(overrides)]
    const { code, stderr } = await gradloomRanks(mpi, ranks, args, { env })
    t.equal(code, 0, stderr)
    const summary = summaryOf(run)
    t.equal(summary.weightsSha256, alone.weightsSha256)
    t.same(summary.test, alone.test)
    t.same(summary.validation, alone.validation)
    const manifest = JSON.parse(readFileSync(join(run, 'manifest.json'), 'utf8'))
    t.equal(manifest.ranks.hosts.length, ranks)
    t.equal(manifest.ranks.memory, form === 'memory' ? 'one' : 'own')
    const steps = readFileSync(join(run, 'metrics.jsonl'), 'utf8')
      .split('\n')
      .filter(line => line.includes('"type":"steps"'))
      .map(line => JSON.parse(line))
    t.equal(summary.exchangeShares.length, ranks)
    t.ok(steps.length > 0 && steps.every(event => event.ranks.length === ranks && event.ranks[0].exchangeMs > 0))
  })
}

t.test('onednn: two ranks of two workers, one digest', async t => {
  ownCache(t)
  if (!hasMpi(t, 'openmpi') || !(await nativeLibrary(t, 'onednn'))) return
  const { dir, file } = writeExperiment(t)
  const overrides = ['compute.backend="onednn"', 'train.batchSize=77']
  const alone = await train(await loadExperiment(file, overrides), { runDir: null })
  const run = join(dir, 'run')
  const args = ['train', file, '--run-dir', run, '--quiet', '--workers', '2', ...settings(overrides)]
  const { code, stderr } = await gradloomRanks('openmpi', 2, args)
  t.equal(code, 0, stderr)
  t.equal(summaryOf(run).weightsSha256, alone.weightsSha256)
})

t.test('stopped on three ranks, resumed on two, then alone: the bits of a run that never stopped', async t => {
  if (!hasMpi(t, 'mpich') || !hasMpi(t, 'openmpi')) return
  const { dir, file } = writeExperiment(t)
  const overrides = ['train.ema.decay=0.9', 'data.validation=0.1']
  const whole = await train(await loadExperiment(file, [...overrides, 'train.epochs=6']), { runDir: null })
  const run = join(dir, 'run')
  const args = ['train', file, '--run-dir', run, '--quiet', ...settings(overrides)]
  const first = await gradloomRanks('mpich', 3, args)
  t.equal(first.code, 0, first.stderr)
  const second = await gradloomRanks('openmpi', 2, ['resume', run, '--quiet', '--set', 'train.epochs=4'])
  t.equal(second.code, 0, second.stderr)
  const { summary } = await resume(run, { overrides: ['train.epochs=6'] })
  t.equal(summary.weightsSha256, whole.weightsSha256)
  t.equal(summary.epochs, 6)
})

/** Rows of a table, two of whose columns have more categories than are made columns of. */
function writeTable(t: Test): string {
  const dir = t.testdir({})
  const path = join(dir, 'sales.csv')
  const rows = Array.from({ length: 600 }, (_, i) => {
    const shop = (i * i * 7 + i) % 61
    return `shop ${shop},zip ${(i * 31) % 90},${(i * 37) % 1000},${(shop * 37) % 5 < 2 ? 'good' : 'bad'}`
  })
  writeFileSync(path, `shop,zip,size,kind\n${rows.join('\n')}\n`)
  const file = join(dir, 'x.json')
  const experiment = {
    data: { dataset: 'table', path, categories: { max: 8, above: 'embed' } },
    model: { hidden: [24, 12] },
    train: { epochs: 3, batchSize: 150 },
    compute: { workers: 1, backend: 'wasm', shardRows: 16 },
  }
  writeFileSync(file, JSON.stringify(experiment))
  return file
}

for (const overrides of [[], ['compute.gradientGroups=4']]) {
  t.test(`embedded categories over 3 ranks by messages, one digest: ${overrides}`, async t => {
    if (!hasMpi(t, 'openmpi')) return
    const file = writeTable(t)
    const run = join(t.testdirName, 'run')
    const alone = await train(await loadExperiment(file, overrides), { runDir: null })
    const args = ['train', file, '--run-dir', run, '--quiet', ...settings(overrides)]
    const { code, stderr } = await gradloomRanks('openmpi', 3, args, { env: { GRADLOOM_HOST_MEMORY: '0' } })
    t.equal(code, 0, stderr)
    t.equal(summaryOf(run).weightsSha256, alone.weightsSha256)
  })
}
