/** Runs over ranks of which rank 0 alone sees the data, the experiment and the run directory: real MPI, mounts of their own. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from 'fast-png'
import t, { type Test } from 'tap'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import { loadExperiment } from '../../src/index.js'
import { gradloomRanks, hasMpi, type MpiName, seenByRank0 } from '../helpers/mpi.js'
import { npzOf } from '../helpers/npy.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const digestOf = (run: string) => JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8')).weightsSha256

function write(folder: string, experiment: Partial<ExperimentInput> & Pick<ExperimentInput, 'data'>): string {
  const file = join(folder, 'experiment.json')
  const all = {
    ...{ model: { hidden: [12] }, train: { epochs: 2, batchSize: 32 } },
    ...{ compute: { backend: 'wasm', workers: 1 }, ...experiment },
    data: { ...experiment.data, from: 'rank0' },
  }
  writeFileSync(file, JSON.stringify(all))
  return file
}

/** A table with categories, missing values, weights, sorted by class. */
function writeTable(folder: string): string {
  const rows = Array.from({ length: 400 }, (_, i) => {
    const colour = i % 11 === 0 ? '' : ['red', 'blue', 'green'][i % 3]
    return `${(i * 37) % 101},${colour},${1 + (i % 4)},${i < 200 ? 'low' : 'high'}`
  })
  writeFileSync(join(folder, 'rows.csv'), `x,colour,weight,level\n${rows.join('\n')}\n`)
  return 'rows.csv'
}

function writePictures(folder: string): string {
  for (const [c, name] of ['cat', 'dog'].entries()) {
    mkdirSync(join(folder, 'pictures', name), { recursive: true })
    for (let i = 0; i < 20; i++) {
      const data = Uint8Array.from({ length: 6 * 5 * 3 }, (_, p) => (p * 31 + i * 17 + c * 90) % 256)
      writeFileSync(join(folder, 'pictures', name, `${i}.png`), encode({ width: 6, height: 5, channels: 3, data }))
    }
  }
  return 'pictures'
}

function writeArrays(folder: string): string {
  const x = Float32Array.from({ length: 120 * 3 }, (_, i) => ((i * 53) % 97) / 50)
  const y = Float32Array.from({ length: 120 }, (_, i) => 3 * x[3 * i] - x[3 * i + 1])
  writeFileSync(join(folder, 'arrays.npz'), npzOf({ x_train: [[120, 3], x], y_train: [[120], y] }))
  return 'arrays.npz'
}

type Kind = readonly [name: string, MpiName, ranks: number, (folder: string) => Parameters<typeof write>[1]]
const table = { dataset: 'table', target: 'level', weight: 'weight', validation: 0.1 } as const
const KINDS: readonly Kind[] = [
  [
    'IDX files, standardised, augmented',
    ...(['mpich', 2] as const),
    folder => ({
      data: { dataset: 'idx', path: writeTinyData(join(folder, 'idx')), normalise: 'standardise' },
      augment: { shift: 1 },
    }),
  ],
  [
    'pictures in colour',
    ...(['openmpi', 2] as const),
    folder => ({ data: { dataset: 'images', path: writePictures(folder), channels: 3, imageSize: [5, 6] } }),
  ],
  [
    'arrays with targets',
    ...(['mpich', 3] as const),
    folder => ({ data: { dataset: 'npz', path: writeArrays(folder), task: 'regression' } }),
  ],
  [
    'a table that is streamed',
    ...(['openmpi', 2] as const),
    folder => ({ data: { ...table, path: writeTable(folder), stream: 'always', windowRows: 100 } }),
  ],
]

function folderOf(t: Test): string {
  const folder = join(t.testdir({}), 'hidden')
  mkdirSync(folder)
  return folder
}

for (const [name, mpi, ranks, experimentIn] of KINDS) {
  t.test(`rank 0 alone reads ${name}: one digest`, async t => {
    const folder = folderOf(t)
    const seen = seenByRank0(t, folder)
    if (!seen || !hasMpi(t, mpi)) return
    const file = write(folder, experimentIn(folder))
    const alone = await train(await loadExperiment(file), { runDir: null })
    const run = join(folder, 'run')
    const { code, stderr } = await gradloomRanks(mpi, ranks, ['train', file, '--run-dir', run, '--quiet'], seen)
    t.equal(code, 0, stderr)
    t.equal(digestOf(run), alone.weightsSha256)
  })
}

t.test(
  'a table with embeddings: begun with the weights of a run, resumed, from a place where it has moved',
  async t => {
    const folder = folderOf(t)
    const seen = seenByRank0(t, folder)
    if (!seen || !hasMpi(t, 'openmpi') || !hasMpi(t, 'mpich')) return
    const categories = { categories: { max: 2, above: 'embed' } } as const
    const file = write(folder, { data: { ...table, ...categories, path: writeTable(folder) } })
    const start = join(folder, 'start')
    await train(await loadExperiment(file, ['seed=2']), { runDir: start })
    const whole = await train(await loadExperiment(file, ['train.epochs=4']), { runDir: null, from: start })
    const run = join(folder, 'run')
    const begun = await gradloomRanks('mpich', 2, ['train', file, '--from', start, '--run-dir', run, '--quiet'], seen)
    t.equal(begun.code, 0, begun.stderr)
    const moved = join(folder, 'moved.csv')
    writeFileSync(moved, readFileSync(join(folder, 'rows.csv')))
    writeFileSync(join(folder, 'rows.csv'), '')
    const args = ['resume', run, '--data', moved, '--set', 'train.epochs=4', '--quiet']
    const resumed = await gradloomRanks('openmpi', 3, args, seen)
    t.equal(resumed.code, 0, resumed.stderr)
    t.equal(digestOf(run), whole.weightsSha256)
    const { trained } = await resume(run, { dataPath: moved })
    t.notOk(trained)
  },
)

t.test('data that cannot be read end all ranks with the reason, once', async t => {
  const folder = folderOf(t)
  const seen = seenByRank0(t, folder)
  if (!seen || !hasMpi(t, 'mpich')) return
  const path = writeTinyData(join(folder, 'idx'))
  const file = write(folder, { data: { dataset: 'idx', path } })
  const images = join(path, 't10k-images-idx3-ubyte')
  // Its header is right, so that it is opened: what is missing is noticed when it is loaded.
  writeFileSync(images, readFileSync(images).subarray(0, 1000))
  const { code, stderr } = await gradloomRanks(
    'mpich',
    3,
    ['train', file, '--quiet', '--run-dir', join(folder, 'run')],
    seen,
  )
  t.equal(code, 1, stderr)
  t.equal(stderr.match(/t10k-images-idx3-ubyte/g)?.length, 1, stderr)
})
