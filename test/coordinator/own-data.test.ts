/** A table of the user's own from the file to the answer: bits, checkpoints, scores, classes by name. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { encodeRows } from '../../src/data/table/encode.js'
import { chunkOfRows, rowByOrder } from '../../src/data/table/rows.js'
import { exportWeights } from '../../src/export/export.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { Predictor } from '../../src/inference/predictor.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'
import { philox } from '../../src/tensor/random.js'
import { tableFeeds } from '../export/table-feeds.js'

const dir = t.testdir()
const path = join(dir, 'points.csv')

/** Points of three kinds on a plane, and two columns that say nothing, one of them constant. */
function writePoints(): void {
  const words = new Uint32Array(4)
  const kinds = ['left', 'right', 'above']
  const lines = Array.from({ length: 300 }, (_, i) => {
    philox(words, i, 0, 0, 0, 5, 0)
    const [a, b, c] = [...words].map(word => word / 2 ** 32 - 0.5)
    const kind = i % 3
    const [x, y] = [
      [-900, 0],
      [900, 0],
      [0, 0.02],
    ][kind]
    return `${(x + 700 * a).toFixed(2)},${(y + 0.02 * b).toFixed(6)},${c.toFixed(3)},5,${kinds[kind]}`
  })
  writeFileSync(path, `x,y,nothing,same,kind\n${lines.join('\n')}\n`)
}
writePoints()

const experiment = (more: Partial<ExperimentInput> = {}): ExperimentInput => ({
  data: { dataset: 'table', path, validation: 0.2 },
  model: { hidden: [16], dropout: 0 },
  train: { epochs: 12, batchSize: 16, l2: 0 },
  optimizer: { learningRate: 0.01 },
  compute: { backend: 'wasm', workers: 2 },
  ...more,
})
const run = join(dir, 'run')
const summary = await train(resolveExperiment(experiment()), { runDir: run })

t.test('features of any scale are learned; classes are named in manifest and checkpoint', async t => {
  t.ok(summary.test!.accuracy! > 0.95, `accuracy ${summary.test!.accuracy}`)
  const manifest = JSON.parse(readFileSync(join(run, 'manifest.json'), 'utf8'))
  t.same(manifest.data.classNames, ['above', 'left', 'right'])
  const { input } = await readCheckpoint(join(run, summary.checkpoint!))
  t.match(input, { height: 1, width: 3, dtype: 'float32', classNames: ['above', 'left', 'right'] })
  const { columns, unused } = input!.table!
  t.equal(unused[0].reason, 'the same value in every row')
  const [x] = columns
  t.ok(x.kind === 'number' && Math.abs(x.factor * 750 - 1) < 0.2, '1 / deviation of x')
  t.same((await evaluate(run)).accuracy, summary.test!.accuracy)
})

t.test('any number of workers and shards, stopped and resumed: the same bits; another backend: close', async t => {
  const digest = async (compute: ExperimentInput['compute']) =>
    (await train(resolveExperiment(experiment({ compute: { backend: 'wasm', ...compute } })), { runDir: null }))
      .weightsSha256
  t.equal(await digest({ workers: 1 }), summary.weightsSha256)
  t.equal(await digest({ workers: 3, shardRows: 5 }), summary.weightsSha256)
  const stopped = join(dir, 'stopped')
  await train(resolveExperiment(experiment({ train: { epochs: 5, batchSize: 16, l2: 0 } })), { runDir: stopped })
  const { summary: resumed } = await resume(stopped, { overrides: ['train.epochs=12'] })
  t.equal(resumed.weightsSha256, summary.weightsSha256)
  t.match(await reproduce(run), { identical: true })
  const slow = await train(resolveExperiment(experiment({ compute: { backend: 'reference', workers: 2 } })), {
    runDir: null,
  })
  t.ok(Math.abs(slow.test!.loss - summary.test!.loss) < 1e-3, `loss ${slow.test!.loss} beside ${summary.test!.loss}`)
})

t.test('a model predicts without its table as it was scored', async t => {
  const model = join(dir, 'model.safetensors')
  await exportWeights(run, model)
  const away = `${path}.away`
  renameSync(path, away)
  try {
    const predictor = await Predictor.open(model)
    const { table } = predictor.source.input
    const rows = [
      [-900, 0, 0.1],
      [900, 0, -0.2],
      [0, 0.02, 0],
    ]
    const points = new Float32Array(9)
    const chunk = chunkOfRows(
      table!,
      rows.map(row => rowByOrder(table!, row)),
    )
    encodeRows(table!, chunk, points)
    t.same(
      predictor.predictClasses(rows).map(({ className }) => className),
      ['left', 'right', 'above'],
    )
    const onnx = join(dir, 'model.onnx')
    await exportWeights(run, onnx)
    ort.env.wasm.numThreads = 1
    const session = await ort.InferenceSession.create(readFileSync(onnx))
    const { probabilities } = await session.run(tableFeeds(table!, chunk))
    const want = predictor.predict(points).data
    const worst = want.reduce((most, p, i) => Math.max(most, Math.abs(p - (probabilities.data as Float32Array)[i])), 0)
    t.ok(worst < 1e-5, `ONNX: largest difference ${worst}`)
    await session.release()
    t.throws(() => predictor.predictClasses(new Uint8Array(4)), { message: /are Uint8Array, expected float32/ })
  } finally {
    renameSync(away, path)
  }
})

t.test('augmentation of numbers is refused, and so are other data', async t => {
  const shifted = train(resolveExperiment(experiment({ augment: { shift: 1 } })), { runDir: null })
  await t.rejects(shifted, {
    name: 'ConfigError',
    message: /augment has settings, expected none with table, whose features are not images/,
  })
  writeFileSync(path, readFileSync(path, 'utf8').replace('left', 'right'))
  await t.rejects(reproduce(run), { name: 'DataError', message: /the run was trained on other data/ })
})

t.test('bytes can be standardised too', async t => {
  const digits = (normalise: 'unit' | 'standardise') =>
    train(
      resolveExperiment({
        data: { dataset: 'digits', normalise },
        model: { hidden: [24], dropout: 0 },
        train: { epochs: 1, batchSize: 64, l2: 0 },
        compute: { backend: 'wasm', workers: 2 },
      }),
      { runDir: null },
    )
  const [unit, standard] = [await digits('unit'), await digits('standardise')]
  t.ok(standard.test!.accuracy! > 0.8, `accuracy ${standard.test!.accuracy}`)
  t.not(standard.weightsSha256, unit.weightsSha256)
})
