/** Exported safetensors as models: every command opens them, small ones in bf16, and they can be made again. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { train } from '../../src/coordinator/new-run.js'
import { exportWeights } from '../../src/export/export.js'
import { reproduceModel } from '../../src/export/reproduce-model.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { loadTestSamples } from '../../src/inference/examples.js'
import { Predictor } from '../../src/inference/predictor.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'
import { packagedModel } from '../../src/run/packaged.js'
import { roundToBf16, widenBf16 } from '../../src/tensor/bf16.js'

const dir = t.testdir()
const run = join(dir, 'run')
/** Averages, batch norm and augmentation: what is scored is not what `weightsSha256` is of. */
const summary = await train(
  resolveExperiment({
    data: { dataset: 'digits' },
    augment: { shift: 1 },
    model: { hidden: [24], norm: 'batch', dropout: 0.1 },
    train: { epochs: 1, batchSize: 128, l2: 0, ema: { decay: 0.98 } },
    compute: { workers: 2, backend: 'wasm' },
  }),
  { runDir: run },
)
const [full, half] = [join(dir, 'full.safetensors'), join(dir, 'half.safetensors')]
await exportWeights(run, full)
await exportWeights(run, half, { dtype: 'BF16' })

t.test('bf16 rounds to nearest, ties to even, and widens exactly', async t => {
  const one = [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 1 + 2 ** -7, -3.140625, 0, -0, 2 ** -126]
  const want = [1, 1, 1 + 2 ** -6, 1 + 2 ** -7, 1 + 2 ** -7, -3.140625, 0, -0, 2 ** -126]
  const got = [...widenBf16(roundToBf16(Float32Array.from(one)))]
  t.ok(
    got.every((x, i) => Object.is(x, want[i])),
    got.join(),
  )
  const every = Uint16Array.from({ length: 0x7f80 }, (_, half) => half)
  t.same(roundToBf16(widenBf16(every)), every, 'every positive bf16 number')
})

t.test('an exported model has the score of its run in f32, and nearly the same in bf16 at half the bytes', async t => {
  const scores = await Promise.all([run, full, half].map(target => evaluate(target)))
  t.equal(scores[0].loss, summary.test?.loss)
  t.same(scores[1], scores[0])
  t.ok(Math.abs(scores[2].loss - scores[0].loss) < 0.01, `loss ${scores[2].loss} beside ${scores[0].loss}`)
  t.ok(statSync(half).size < 0.6 * statSync(full).size)
  const [a, b] = await Promise.all([Predictor.open(run), Predictor.open(half)])
  t.same(b.classNames, a.classNames)
  const weight = a.parameter('layers.0.weight').data
  t.same(b.parameter('layers.0.weight').data, widenBf16(roundToBf16(weight)))
})

t.test('a model can be reproduced from its file, and differences are reported', async t => {
  t.match(await readCheckpoint(half), { trainedSha256: summary.weightsSha256 })
  t.match(await reproduceModel(half), { identical: true, identicalUpTo: summary.steps, difference: null })
  const other = await reproduceModel(full, { overrides: ['seed=2'] })
  t.match(other, {
    identical: false,
    difference: { what: 'weightsSha256 of the run', recorded: summary.weightsSha256 },
  })
  const checkpoint = join(run, summary.checkpoint!)
  await t.rejects(reproduceModel(checkpoint), { name: 'ConfigError', message: /expected its run directory/ })
})

t.test('a damaged model is refused', async t => {
  const bytes = readFileSync(half)
  bytes[bytes.length - 1000] ^= 1
  const damaged = join(dir, 'damaged.safetensors')
  writeFileSync(damaged, bytes)
  await t.rejects(Predictor.open(damaged), { name: 'CheckpointError', message: /SHA-256 of the weights/ })
  await t.rejects(exportWeights(run, join(dir, 'x.npz'), { dtype: 'BF16' }), { message: /expected F32 in npz/ })
})

t.test('names of models that come with gradloom', async t => {
  t.match(packagedModel('mnist'), /models.mnist\.safetensors$/)
  t.equal(packagedModel('../mnist'), null)
})

t.test(
  'a classifier trained with squared error: correct classes, outputs near 0 and 1, ONNX without a softmax',
  async t => {
    const squared = join(dir, 'squared')
    const { test } = await train(
      resolveExperiment({
        data: { dataset: 'digits' },
        model: { hidden: [64], dropout: 0 },
        train: { epochs: 4, batchSize: 64, l2: 0, loss: 'mean-squared-error' },
        compute: { workers: 2, backend: 'wasm' },
      }),
      { runDir: squared },
    )
    t.ok(test!.accuracy! > 0.9 && test!.loss < 0.03, `accuracy ${test!.accuracy}, loss ${test!.loss}`)
    const predictor = await Predictor.open(squared)
    const { features: images, labels } = await loadTestSamples(predictor)
    const outputs = predictor.predict(images)
    const squares = outputs.data.map((y, i) => (y - Number(labels[Math.floor(i / 10)] === i % 10)) ** 2)
    const mean = squares.reduce((sum, square) => sum + square, 0) / squares.length
    t.ok(Math.abs(mean - test!.loss) < 1e-6, `mean square ${mean}, loss ${test!.loss}`)
    const file = join(dir, 'squared.onnx')
    await exportWeights(squared, file)
    ort.env.wasm.numThreads = 1
    const session = await ort.InferenceSession.create(readFileSync(file))
    const pixels = Float32Array.from(images.subarray(0, 100 * 784), pixel => pixel / 255)
    const got = (await session.run({ pixels: new ort.Tensor('float32', pixels, [100, 784]) })).outputs
      .data as Float32Array
    const worst = got.reduce((most, y, i) => Math.max(most, Math.abs(y - outputs.data[i])), 0)
    t.ok(worst < 1e-5, `largest difference ${worst}`)
    await session.release()
  },
)
