/** Layers models of TensorFlow.js: it loads them, and its answers are ours. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { OnnxModel } from '../../src/export/onnx.js'
import { encodeTfjs, shardsOf } from '../../src/export/tfjs.js'
import { exportWeights, loadTestSamples, Predictor, resolveExperiment, train } from '../../src/index.js'
import { type Activation, activations } from '../../src/model/activation.js'
import { gradloom } from '../cli/run-cli.js'
import { trainDigits } from '../inference/trained.js'
import { runTfjs, worstDifference } from './tfjs-model.js'

const dir = t.testdir()

t.test('the command: the same probabilities of 300 test images, to 1e-5; shards by the name of the file', async t => {
  const folder = t.testdir()
  const run = await trainDigits(join(dir, 'run'))
  const done = await gradloom(['export', run, '--out', join(folder, 'model.json')])
  t.match(done, { code: 0, stderr: '', stdout: /model\.json: tfjs\n {2}layers\.0\.weight \(784, 64\)\n/ })
  t.strictSame(readdirSync(folder).sort(), ['model.json', 'model.shard1of1.bin'])
  const predictor = await Predictor.open(run)
  const images = (await loadTestSamples(predictor)).features.subarray(0, 300 * 784)
  const { outputs, shape, metadata } = await runTfjs(
    folder,
    Float32Array.from(images, pixel => pixel / 255),
    300,
  )
  t.strictSame(shape, [300, 10])
  const worst = worstDifference(outputs, predictor.predict(images).data)
  t.ok(worst < 1e-5, `largest difference ${worst}`)
  t.match(metadata, { pixels: /^bytes \/ 255/, classes: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'] })
})

t.test('shards of an older export are removed, files that it does not list are kept', async t => {
  const folder = t.testdir()
  const paths = ['model.shard1of3.bin', 'model.shard2of3.bin', 'model.shard3of3.bin', '../outside.bin', 'notes.bin']
  const old = { generatedBy: 'gradloom 0.0.1', weightsManifest: [{ paths, weights: [] }] }
  const others = ['notes.bin', 'model.shard1of9.bin', 'other.shard1of3.bin']
  for (const name of [...paths.slice(0, 3), ...others]) await writeFile(join(folder, name), name)
  await writeFile(join(folder, 'model.json'), JSON.stringify(old))
  await exportWeights(await trainDigits(join(dir, 'again')), join(folder, 'model.json'))
  t.strictSame(readdirSync(folder).sort(), [...others, 'model.json', 'model.shard1of1.bin'].sort())
  t.strictSame(shardsOf(JSON.stringify({ ...old, generatedBy: 'TensorFlow.js tfjs-layers v4' }), 'model'), [])
  t.strictSame(shardsOf('not JSON', 'model'), [])
})

t.test('a model is not written to stdout, nor to a file named -', async t => {
  t.match(await gradloom(['export', join(dir, 'run'), '--out', '-']), {
    code: 2,
    stderr: /file is "-", expected a file/,
  })
})

const tensor = (name: string, shape: number[], values: ArrayLike<number>) => {
  return { name, shape, data: Float32Array.from(values) }
}
async function written(t: Test, model: OnnxModel): Promise<string> {
  const folder = t.testdir()
  const { json, shards } = encodeTfjs(model, 'model')
  await writeFile(join(folder, 'model.json'), json)
  for (const { name, bytes } of shards) await writeFile(join(folder, name), bytes)
  return folder
}

const inputs = Float32Array.from({ length: 81 }, (_, i) => (i - 40) / 8)
const base = {
  loss: 'mean-squared-error',
  scaling: null,
  norm: { type: 'none', epsilon: 0 },
  producerVersion: '0',
} as const

t.test('every activation agrees with its formula in float64 to 1e-6, through two layers of it', async t => {
  for (const [name, { of }] of Object.entries(activations)) {
    await t.test(name, async t => {
      const folder = await written(t, {
        ...{ ...base, widths: [1, 1, 1, 1], activation: name as Activation, outputNames: ['0'] },
        parameters: [
          ...[tensor('layers.0.weight', [1, 1], [1]), tensor('layers.0.bias', [1], [0.25])],
          ...[tensor('layers.1.weight', [1, 1], [-1.5]), tensor('layers.1.bias', [1], [0.5])],
          ...[tensor('layers.2.weight', [1, 1], [1]), tensor('layers.2.bias', [1], [-0.125])],
        ],
      })
      const { outputs } = await runTfjs(folder, inputs, inputs.length)
      const want = Array.from(inputs, x => of(0.5 - 1.5 * of(x + 0.25)) - 0.125)
      const worst = worstDifference(outputs, want)
      t.ok(worst < 1e-6, `largest difference ${worst}`)
    })
  }
})

t.test('layer norm with scaled-tanh, whose factors lie in the weights around it: its formula, to 2e-6', async t => {
  const [hidden, epsilon] = [3, 1e-3]
  const numbers = (count: number, at: (i: number) => number) => Array.from({ length: count }, (_, i) => at(i))
  const [w0, w1] = [numbers(hidden, i => 0.3 - 0.4 * i), numbers(hidden * hidden, i => Math.sin(i))]
  const vector = (phase: number) => numbers(hidden, i => Math.cos(i + phase))
  const layer = (i: number, shape: number[], weight: number[]) => [
    ...[tensor(`layers.${i}.weight`, shape, weight), tensor(`layers.${i}.bias`, [hidden], vector(i))],
    ...[
      tensor(`layers.${i}.norm.scale`, [hidden], vector(i + 2)),
      tensor(`layers.${i}.norm.shift`, [hidden], vector(i + 4)),
    ],
  ]
  const folder = await written(t, {
    ...{ ...base, widths: [1, hidden, hidden, 1], activation: 'scaled-tanh', outputNames: ['0'] },
    norm: { type: 'layer', epsilon },
    parameters: [
      ...layer(0, [1, hidden], w0),
      ...layer(1, [hidden, hidden], w1),
      ...[tensor('layers.2.weight', [hidden, 1], vector(7)), tensor('layers.2.bias', [1], [0.5])],
    ],
  })
  const hiddenLayer = (x: number[], weight: number[], i: number) => {
    const sums = vector(i).map((bias, o) => x.reduce((sum, value, k) => sum + value * weight[k * hidden + o], bias))
    const mean = sums.reduce((a, b) => a + b) / hidden
    const variance = sums.reduce((sum, value) => sum + (value - mean) ** 2, 0) / hidden
    return sums.map((value, o) =>
      activations['scaled-tanh'].of(
        ((value - mean) / Math.sqrt(variance + epsilon)) * vector(i + 2)[o] + vector(i + 4)[o],
      ),
    )
  }
  const want = Array.from(inputs, x => {
    const outputs = hiddenLayer(hiddenLayer([x], w0, 0), w1, 1)
    return outputs.reduce((sum, value, o) => sum + value * vector(7)[o], 0.5)
  })
  const { outputs } = await runTfjs(folder, inputs, inputs.length)
  const worst = worstDifference(outputs, want)
  t.ok(worst < 2e-6, `largest difference ${worst}`)
})

t.test('features that the network scales are passed unscaled; offset and factor are in the model', async t => {
  const folder = await written(t, {
    ...{ ...base, widths: [2, 1], activation: 'relu', outputNames: ['0'] },
    scaling: { offset: [1000, -3], factor: [0.01, 2] },
    parameters: [tensor('layers.0.weight', [2, 1], [1, 0.5]), tensor('layers.0.bias', [1], [0.25])],
  })
  const { outputs, metadata } = await runTfjs(folder, Float32Array.of(1100, -3, 1000, -2), 2)
  t.ok(worstDifference(outputs, [1.25, 1.25]) < 1e-6, String(outputs))
  t.match(metadata, { features: /neither shifted nor scaled/ })
})

t.test('weights over 4 MiB lie in several shards, which together are the whole', async t => {
  const [inputs, units] = [1100, 1000]
  const folder = await written(t, {
    ...{ ...base, widths: [inputs, units, 1], activation: 'identity', outputNames: ['0'] },
    parameters: [
      ...[tensor('layers.0.weight', [inputs, units], Array(inputs * units).fill(1 / inputs))],
      ...[tensor('layers.0.bias', [units], Array(units).fill(0))],
      ...[tensor('layers.1.weight', [units, 1], Array(units).fill(1 / units)), tensor('layers.1.bias', [1], [0.5])],
    ],
  })
  const names = readdirSync(folder).filter(name => name.endsWith('.bin'))
  t.strictSame(names.sort(), ['model.shard1of2.bin', 'model.shard2of2.bin'])
  const sizes = names.map(name => readFileSync(join(folder, name)).length)
  t.strictSame(sizes, [4 * 2 ** 20, 4 * (inputs * units + 2 * units + 1) - 4 * 2 ** 20])
  const { outputs } = await runTfjs(folder, new Float32Array(inputs).fill(1), 1)
  t.ok(Math.abs(outputs[0] - 1.5) < 1e-5, String(outputs[0]))
})

t.test('tables: hashed and embedded categories, for every task; safetensors has the same bits', async t => {
  const path = join(dir, 'table.csv')
  const cities = ['Oslo', 'Rome', 'Wien', '', 'Bergen', 'Paris', 'Bern']
  const lines = Array.from({ length: 200 }, (_, i) =>
    [cities[(i * i) % 7], (i * 5) % 12, i % 9 === 0 ? '' : i / 4, i % 3 > 0, i % 4 > 1, i % 7, 'abc'[i % 3]].join(','),
  )
  writeFileSync(path, `city,code,x,yes,no,y,kind\n${lines.join('\n')}\n`)
  const rows = [...cities, 'elsewhere'].map((city, i) => ({ city, code: i * 5, x: i === 2 ? null : i }))
  for (const target of ['kind', 'y', ['yes', 'no']]) {
    for (const [above, columns] of [
      ['hash', { code: 'category' }],
      ['embed', { code: 'category' }],
      ['embed', { code: 'ignore', x: 'ignore' }],
    ] as const) {
      const others = ['yes', 'no', 'y', 'kind'].filter(name => ![target].flat().includes(name))
      const run = join(t.testdir(), 'run')
      const experiment = resolveExperiment({
        data: {
          ...{ dataset: 'table', path, target, categories: { max: 3, buckets: 2, above } },
          columns: { ...columns, ...Object.fromEntries(others.map(name => [name, 'ignore'])) },
          ...(target === 'y' ? { task: 'regression' } : {}),
        },
        ...{ model: { hidden: [8] }, train: { epochs: 2, batchSize: 16 }, compute: { backend: 'wasm', workers: 1 } },
      })
      await train(experiment, { runDir: run })
      const predictor = await Predictor.open(run, { backend: 'wasm' })
      const want = predictor.predict(rows).data
      await exportWeights(run, join(run, 'model.json'))
      const features = Float32Array.from(predictor.features(rows))
      const embedded = above === 'hash' ? 0 : columns.code === 'category' ? 2 : 1
      const { outputs, metadata } = await runTfjs(run, features, rows.length, embedded)
      const worst = worstDifference(outputs, want)
      t.ok(worst < 1e-5, `${target}, ${above}: largest difference ${worst}`)
      t.equal(outputs.length, want.length)
      t.match(metadata, { inputs: Array(embedded + Number(columns.code === 'category')).fill({ input: String }) })
      await exportWeights(run, join(run, 'model.safetensors'))
      const opened = await Predictor.open(join(run, 'model.safetensors'), { backend: 'wasm' })
      t.strictSame(opened.predict(rows).data, want, 'safetensors')
    }
  }
})
