/**
 * A network with a norm, averaged weights, dropped inputs and smoothed labels: asked, exported in any format and scored, it is
 * the same network.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { importWeights } from '../../src/import/import.js'
import { exportWeights, loadTestSamples, Predictor } from '../../src/index.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { parameterTable } from '../../src/model/parameters.js'
import { runTfjs, worstDifference } from './tfjs-model.js'

const dir = t.testdir({})
async function trained(name: string, model: ExperimentInput['model']): Promise<string> {
  const runDir = join(dir, name)
  await train(
    resolveExperiment({
      data: { dataset: 'digits' },
      model: { hidden: [40, 30], activation: 'gelu', ...model },
      train: { epochs: 2, batchSize: 100, l2: 0, labelSmoothing: 0.1, ema: { decay: 0.98 } },
      compute: { backend: 'wasm' },
    }),
    { runDir },
  )
  return runDir
}

async function runOnnx(file: string, pixels: Float32Array, rows: number): Promise<Float32Array> {
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(readFileSync(file))
  const { probabilities } = await session.run({ pixels: new ort.Tensor('float32', pixels, [rows, 784]) })
  await session.release()
  return probabilities.data as Float32Array
}

for (const norm of ['batch', 'layer'] as const) {
  t.test(`${norm} norm: predictor, evaluate, ONNX, tfjs, safetensors and npz agree, to 1e-5`, async t => {
    const run = await trained(norm, { norm, inputDropout: 0.1 })
    const predictor = await Predictor.open(run)
    const { features: images, labels } = await loadTestSamples(predictor)
    const hits = predictor.predictClasses(images).filter(({ label }, i) => label === labels[i]).length
    const { correct, accuracy } = await evaluate(run)
    t.equal(hits, correct)
    t.ok(accuracy! > 0.8, `accuracy ${accuracy}`)

    const folder = t.testdir()
    const fileOf = async (name: string) => {
      await exportWeights(run, join(folder, name))
      return join(folder, name)
    }
    const rows = 1000
    const some = images.subarray(0, rows * 784)
    const pixels = Float32Array.from(some, pixel => pixel / 255)
    const want = predictor.predict(some).data
    const agree = (what: string, got: ArrayLike<number>) => {
      const worst = worstDifference(got, want)
      t.ok(got.length === want.length && worst < 1e-5, `${what}: largest difference ${worst}`)
    }
    agree('ONNX', await runOnnx(await fileOf('model.onnx'), pixels, rows))
    await fileOf('model.json')
    agree('tfjs', (await runTfjs(folder, pixels, rows)).outputs)
    agree('safetensors', (await Predictor.open(await fileOf('model.safetensors'))).predict(some).data)
    const table = parameterTable(predictor.widths, norm)
    for (const { name, data } of (
      await importWeights(await fileOf('weights.npz'), table, { layout: null, order: null })
    ).parameters) {
      t.same(data, predictor.parameter(name).data, `npz: ${name}`)
    }
  })
}
