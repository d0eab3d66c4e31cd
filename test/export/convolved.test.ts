/** A network with convolutions: asked, exported in any format and scored, it is the same network. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { readForeign } from '../../src/import/read.js'
import { exportWeights, loadTestSamples, Predictor } from '../../src/index.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { summarizeLayers } from '../../src/inference/layers.js'
import { outputOf } from '../../src/model/convolution.js'
import { TINY, type TinySizes, writeTinyData } from '../helpers/tiny-data.js'
import { runTfjs, worstDifference } from './tfjs-model.js'

const dir = t.testdir({})

async function trained(name: string, model: ExperimentInput['model'], sizes: TinySizes): Promise<string> {
  const path = writeTinyData(join(dir, `${name}-data`), sizes)
  const runDir = join(dir, name)
  await train(
    resolveExperiment({
      data: { dataset: 'idx', path },
      model,
      train: { epochs: 8, batchSize: 50, l2: 0, ema: { decay: 0.9 } },
      optimizer: { learningRate: 0.005 },
      compute: { backend: 'wasm', workers: 2 },
    }),
    { runDir },
  )
  return runDir
}

async function runOnnx(file: string, pixels: Float32Array, shape: readonly number[]): Promise<Float32Array> {
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(readFileSync(file))
  const { probabilities } = await session.run({ pixels: new ort.Tensor('float32', pixels, shape) })
  await session.release()
  return probabilities.data as Float32Array
}

/** Max and average pooling, even and odd windows, strides, windows that reach beyond all sides; activations by name, by formula, and with factors around them. */
const MODELS: Readonly<Record<string, ExperimentInput['model']>> = {
  normed: {
    convolutions: [
      { filters: 6, norm: 'batch' },
      { filters: 9, size: 2, pool: { size: 2 } },
    ],
    hidden: [12],
    activation: 'gelu',
  },
  strided: {
    convolutions: [
      { filters: 5, size: 4, stride: 2, dropout: 0.1 },
      { filters: 7, padding: 'valid', size: 2, pool: { size: 2, type: 'average' } },
    ],
    hidden: [10],
    norm: 'batch',
    activation: 'scaled-tanh',
  },
  alone: { convolutions: [{ filters: 8, pool: { size: 2 } }], hidden: [] },
  'larger than pictures': {
    convolutions: [
      { filters: 5, size: 9 },
      { filters: 4, size: 8, stride: 3 },
    ],
    hidden: [6],
  },
  'of one row': { convolutions: [{ filters: 6 }, { filters: 5, size: 4, stride: 2 }], hidden: [6] },
}
const ROW: TinySizes = { train: 300, test: 60, height: 1, width: 9, classes: 2 }

for (const [name, model] of Object.entries(MODELS)) {
  t.test(`${name}: predictor, evaluate, ONNX, tfjs and safetensors agree, to 1e-5`, async t => {
    const sizes = name === 'of one row' ? ROW : TINY
    const features = sizes.height * sizes.width
    const run = await trained(name, model, sizes)
    const predictor = await Predictor.open(run)
    const { features: images, labels } = await loadTestSamples(predictor)
    const hits = predictor.predictClasses(images).filter(({ label }, i) => label === labels[i]).length
    const { correct, accuracy } = await evaluate(run)
    t.equal(hits, correct)
    t.ok(accuracy! > 0.3, `accuracy ${accuracy}`)
    const want = predictor.predict(images).data
    t.same((await predictor.predictAsync(images)).data, want, 'threads of a pool compute the same')
    for (const { layer, maps, units } of summarizeLayers(predictor, images.subarray(0, features))) {
      const convolution = predictor.convolutions[layer - 1]
      t.same(maps, convolution && outputOf(convolution), `layer ${layer}`)
      t.ok(maps === undefined || units === maps.height * maps.width * maps.channels)
    }
    await predictor.close()

    const folder = t.testdir()
    const fileOf = async (file: string) => {
      await exportWeights(run, join(folder, file))
      return join(folder, file)
    }
    const pixels = Float32Array.from(images, pixel => pixel / 255)
    const agree = (what: string, got: ArrayLike<number>) => {
      const worst = worstDifference(got, want)
      t.ok(got.length === want.length && worst < 1e-5, `${what}: largest difference ${worst}`)
    }
    agree('ONNX', await runOnnx(await fileOf('model.onnx'), pixels, [labels.length, features]))
    await fileOf('model.json')
    agree('tfjs', (await runTfjs(folder, pixels, labels.length)).outputs)
    agree('safetensors', (await Predictor.open(await fileOf('model.safetensors'))).predict(images).data)
    const { arrays } = await readForeign(await fileOf('weights.npz'), 2 ** 20)
    for (const [layer, { window }] of predictor.convolutions.entries()) {
      const { size, input, output } = window
      const weight = arrays.find(({ name }) => name === `layers.${layer}.weight`)
      t.same(weight?.shape, [size, size, input.channels, output.channels], 'npz: height, width, channels, filters')
    }
  })
}
