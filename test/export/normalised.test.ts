/** A network with batch norm and averaged weights: asked, exported and scored, it is the same network. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { evaluate } from '../../src/coordinator/evaluate.js'
import { train } from '../../src/coordinator/train.js'
import { exportWeights, loadTestImages, Predictor } from '../../src/index.js'

const dir = t.testdir({})
async function trained(name: string, model: ExperimentInput['model']): Promise<string> {
  const runDir = join(dir, name)
  await train(
    resolveExperiment({
      data: { dataset: 'digits' },
      model: { hidden: [40, 30], activation: 'gelu', ...model },
      train: { epochs: 2, batchSize: 100, l2: 0, ema: { decay: 0.98 } },
      compute: { backend: 'wasm' },
    }),
    { runDir },
  )
  return runDir
}

t.test('batch norm: predictor, evaluate and ONNX agree', async t => {
  const run = await trained('batch', { norm: 'batch' })
  const predictor = await Predictor.open(run)
  const { images, labels } = await loadTestImages(predictor)
  const hits = predictor.predict(images).filter(({ label }, i) => label === labels[i]).length
  const { correct, accuracy } = await evaluate(run)
  t.equal(hits, correct)
  t.ok(accuracy > 0.8, `accuracy ${accuracy}`)
  const file = join(dir, 'model.onnx')
  await exportWeights(run, file)
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(readFileSync(file))
  const rows = 500
  const pixels = Float32Array.from(images.subarray(0, rows * 784), pixel => pixel / 255)
  const { probabilities } = await session.run({ pixels: new ort.Tensor('float32', pixels, [rows, 784]) })
  const want = predictor.probabilities(images.subarray(0, rows * 784)).data
  const got = probabilities.data as Float32Array
  const worst = want.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i])), 0)
  t.ok(worst < 1e-5, `largest difference ${worst}`)
  await session.release()
})

t.test('layer norm: predictor and evaluate agree; ONNX refuses it', async t => {
  const run = await trained('layer', { norm: 'layer' })
  const predictor = await Predictor.open(run)
  const { images, labels } = await loadTestImages(predictor)
  const hits = predictor.predict(images).filter(({ label }, i) => label === labels[i]).length
  t.equal(hits, (await evaluate(run)).correct)
  await t.rejects(exportWeights(run, join(dir, 'layer.onnx')), { message: /model.norm is "layer"/ })
})
