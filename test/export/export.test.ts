import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { unzipSync } from 'fflate'
import * as ort from 'onnxruntime-web'
import t from 'tap'
import { encodeOnnx } from '../../src/export/onnx.js'
import { parseNpy, parseNpyLabels } from '../../src/formats/npy.js'
import { encode, float, int } from '../../src/formats/protobuf.js'
import { TensorFile } from '../../src/formats/tensor-file.js'
import { exportWeights, formatOf, loadTestSamples, Predictor, readParameters } from '../../src/index.js'
import { type Activation, activations } from '../../src/model/activation.js'
import { gradloom } from '../cli/run-cli.js'
import fc from '../helpers/fast-check.js'
import { trainDigits } from '../inference/trained.js'

const dir = t.testdir()
const run = await trainDigits(join(dir, 'run'))
const parameters = await readParameters(run)
const predictor = await Predictor.open(run)

t.test('onnx: onnxruntime gives the same probabilities of 1,000 test images, to 1e-5', async t => {
  const file = join(dir, 'model.onnx')
  await exportWeights(run, file)
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(readFileSync(file))
  t.same([session.inputNames, session.outputNames], [['pixels'], ['probabilities']])
  const images = (await loadTestSamples(predictor)).features.subarray(0, 1000 * 784)
  const input = new ort.Tensor(
    'float32',
    Float32Array.from(images, pixel => pixel / 255),
    [1000, 784],
  )
  const { probabilities } = await session.run({ pixels: input })
  t.same([...probabilities.dims], [1000, 10])
  const want = predictor.predict(images).data
  const got = probabilities.data as Float32Array
  const worst = want.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i])), 0)
  t.ok(worst < 1e-5, `largest difference ${worst}`)
  await session.release()
})

t.test('onnx: weights are (outputs, inputs) behind transB, which OpenCV 4.6 needs', async t => {
  const data = Float32Array.of(1, 2, 3, 4, 5, 6)
  const model = encodeOnnx({
    ...{ widths: [3, 2], activation: 'relu', loss: 'cross-entropy', scaling: null, outputNames: ['a', 'b'] },
    norm: { type: 'none', epsilon: 0 },
    producerVersion: '0',
    parameters: [
      { name: 'layers.0.weight', shape: [3, 2], data },
      { name: 'layers.0.bias', shape: [2], data: new Float32Array(2) },
    ],
  })
  const bytes = Buffer.from(model)
  const stored = Buffer.from(Float32Array.of(1, 3, 5, 2, 4, 6).buffer)
  t.ok(bytes.includes(stored), 'rows are those of the outputs')
  const dims = encode(int(1, 2), int(1, 3), int(2, 1)) // 2 outputs, 3 inputs, float
  t.ok(bytes.includes(Buffer.from(dims)))
  const attribute = Buffer.concat([Buffer.from('transB'), encode(int(3, 1), int(20, 2))])
  t.ok(bytes.includes(attribute))
})

t.test('onnx: the alpha of leaky ReLU is written down, which OpenCV 4.5 takes for 0 where it is missing', async t => {
  const hidden = encodeOnnx({
    ...{ widths: [1, 1, 1], activation: 'leaky-relu', loss: 'mean-squared-error', scaling: null, outputNames: ['a'] },
    ...{ norm: { type: 'none', epsilon: 1e-5 }, producerVersion: '0' },
    parameters: [0, 1].flatMap(i => [
      { name: `layers.${i}.weight`, shape: [1, 1], data: new Float32Array(1) },
      { name: `layers.${i}.bias`, shape: [1], data: new Float32Array(1) },
    ]),
  })
  t.ok(Buffer.from(hidden).includes(Buffer.concat([Buffer.from('alpha'), encode(float(2, 0.01), int(20, 1))])))
})

t.test('npz: one .npy per parameter with a header as NumPy writes it, and a description of the inputs', async t => {
  const file = join(dir, 'weights.npz')
  await exportWeights(run, file)
  const files = unzipSync(readFileSync(file))
  t.same(
    Object.keys(files),
    ['input.offset', 'input.factor', ...parameters.keys(), 'gradloom'].map(name => `${name}.npy`),
  )
  t.ok(parseNpy('offset', files['input.offset.npy']).values.every(value => value === 0))
  t.ok(parseNpy('factor', files['input.factor.npy']).values.every(value => value === Math.fround(1 / 255)))
  const { type, shape, values } = parseNpyLabels('gradloom', files['gradloom.npy'])
  t.match([type, shape], [/^S\d+$/, []])
  t.match(JSON.parse(String(values[0])), {
    input: { height: 28, width: 28, dtype: 'uint8', scaling: null, classNames: ['0'] },
    forward: { activation: 'relu', loss: 'cross-entropy' },
  })
  for (const [name, { shape, data }] of parameters) {
    const npy = Buffer.from(files[`${name}.npy`])
    const start = 10 + npy.readUInt16LE(8)
    const header = npy.toString('latin1', 10, start)
    t.equal(npy.toString('latin1', 0, 8), '\x93NUMPY\x01\x00')
    t.equal(start % 64, 0)
    const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
    t.match(header, new RegExp(`^\\{'descr': '<f4', 'fortran_order': False, 'shape': \\(${dims}\\), \\} *\\n$`))
    t.ok(npy.subarray(start).equals(Buffer.from(data.buffer, data.byteOffset, data.byteLength)), name)
  }
  await exportWeights(run, join(dir, 'again.npz'))
  t.ok(readFileSync(file).equals(readFileSync(join(dir, 'again.npz'))), 'equal weights, equal files')
})

t.test('safetensors: the parameters alone', async t => {
  const file = join(dir, 'weights.safetensors')
  await exportWeights(run, file)
  const tensors = await TensorFile.open(file)
  t.same([...tensors.header.tensors.keys()].sort(), [...parameters.keys()].sort())
  const { shape, data } = parameters.get('layers.1.weight')!
  const got = new Float32Array(data.length)
  await tensors.read('layers.1.weight', new Uint8Array(got.buffer))
  t.same(tensors.header.tensors.get('layers.1.weight')?.shape, shape)
  t.same(got, data)
  await tensors.close()
})

t.test('the export command: the format by file name or --format; errors', async t => {
  const out = join(dir, 'cli.bin')
  const done = await gradloom(['export', run, '--out', out, '--format', 'npz'])
  t.match(done, { code: 0, stderr: '', stdout: /cli\.bin: npz\n {2}layers\.0\.weight \(784, 64\)\n/ })
  t.ok(readFileSync(out).equals(readFileSync(join(dir, 'weights.npz'))))
  t.match(await gradloom(['export', run, '--out', 'x.txt']), {
    code: 2,
    stderr: /file is 'x\.txt', expected a name that ends in one of \.npz, /,
  })
  t.match(await gradloom(['export', run, '--out', join(dir, 'none', 'x.npz')]), {
    code: 2,
    stderr: /cannot be written: ENOENT/,
  })
  t.equal(formatOf('A.ONNX'), 'onnx')
})

t.test('onnx: every activation agrees with its formula in float64 to 1e-6', async t => {
  ort.env.wasm.numThreads = 1
  const inputs = Float32Array.from({ length: 81 }, (_, i) => (i - 40) / 8)
  let cases = 0
  for (const [name, { of }] of Object.entries(activations)) {
    const tensor = (name: string, shape: number[], values: number[]) => ({
      name,
      shape,
      data: Float32Array.from(values),
    })
    const model = encodeOnnx({
      widths: [1, 1, 2],
      activation: name as Activation,
      loss: 'cross-entropy',
      scaling: null,
      norm: { type: 'none', epsilon: 0 },
      outputNames: ['0', '1'],
      parameters: [
        ...[tensor('layers.0.weight', [1, 1], [1]), tensor('layers.0.bias', [1], [0])],
        // The second logit is the activation, the first one 0.
        ...[tensor('layers.1.weight', [1, 2], [0, 1]), tensor('layers.1.bias', [2], [0, 0])],
      ],
      producerVersion: '0',
    })
    const session = await ort.InferenceSession.create(model)
    const { probabilities } = await session.run({ pixels: new ort.Tensor('float32', inputs, [inputs.length, 1]) })
    const got = probabilities.data as Float32Array
    const worst = inputs.reduce(
      (most, x, i) => Math.max(most, Math.abs(got[2 * i + 1] - 1 / (1 + Math.exp(-of(x))))),
      0,
    )
    t.ok(worst < 1e-6, `${name}: largest difference ${worst}`)
    cases++
    await session.release()
  }
  t.equal(cases, 9)
})

t.test('protobuf integers up to 2^53 are read back', async t => {
  let cases = 0
  fc.assert(
    fc.property(fc.maxSafeNat(), value => {
      const [key, ...digits] = encode(int(1, value))
      cases++
      return (
        key === 8 &&
        digits.reduce((sum, digit, i) => sum + (digit % 128) * 128 ** i, 0) === value &&
        digits.every((digit, i) => digit < 128 === (i === digits.length - 1))
      )
    }),
  )
  t.equal(cases, 100)
})
