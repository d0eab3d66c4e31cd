import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import {
  evaluate,
  findMistakes,
  loadTestImages,
  Predictor,
  randomIndices,
  readParameters,
  resolveExperiment,
  train,
} from '../../src/index.js'
import { writeTinyData } from '../helpers/tiny-data.js'
import { trainDigits } from './trained.js'

const runDir = await trainDigits(join(t.testdir(), 'run'))
const predictor = await Predictor.open(runDir)
const test = await loadTestImages(predictor)
const F = 784

t.test('the accuracy on the test split is that of evaluate, exactly', async t => {
  const { correct, rows, accuracy } = await evaluate(runDir)
  const right = predictor.predict(test.images).filter(({ label }, i) => label === test.labels[i]).length
  t.equal(test.rows, rows)
  t.equal(right, correct)
  t.ok(accuracy! > 0.9, `the network learned something: ${accuracy}`)
  t.equal(findMistakes(predictor, test).length, rows - correct!)
})

t.test('what it says of an image does not depend on which others it is asked with', async t => {
  const all = predictor.probabilities(test.images)
  t.same(all.shape, [test.rows, 10])
  let cases = 0
  fc.assert(
    fc.property(fc.integer({ min: 0, max: test.rows - 1 }), fc.integer({ min: 1, max: 130 }), (first, count) => {
      const last = Math.min(first + count, test.rows)
      const some = predictor.probabilities(test.images.subarray(first * F, last * F))
      cases++
      return Buffer.from(some.data.buffer).equals(Buffer.from(all.data.slice(first * 10, last * 10).buffer))
    }),
    { numRuns: 40 },
  )
  t.equal(cases, 40)
})

t.test(
  'activations: computed again in plain loops, relative error below 1e-5; the output is the probabilities',
  async t => {
    const parameters = await readParameters(runDir)
    const images = test.images.subarray(0, 70 * F) // more than a batch
    const layers = predictor.activations(images)
    t.same(
      layers.map(({ layer, kind, values }) => [layer, kind, ...values.shape]),
      [
        [0, 'input', 70, 784],
        [1, 'hidden', 70, 64],
        [2, 'hidden', 70, 30],
        [3, 'output', 70, 10],
      ],
    )
    t.same(layers[3].values.data, predictor.probabilities(images).data)
    const worst = { input: 0, hidden: 0, output: 0 }
    for (let row = 0; row < 70; row++) {
      let x = Array.from(images.subarray(row * F, (row + 1) * F), pixel => pixel / 255)
      for (const [i, value] of x.entries()) {
        worst.input = Math.max(worst.input, Math.abs(value - layers[0].values.get(row, i)))
      }
      for (let i = 0; i < 3; i++) {
        const weight = parameters.get(`layers.${i}.weight`)!
        const bias = parameters.get(`layers.${i}.bias`)!
        const z = Array.from({ length: weight.shape[1] }, (_, o) =>
          x.reduce((sum, value, k) => sum + value * weight.get(k, o), bias.get(o)),
        )
        const most = Math.max(...z)
        const sum = z.reduce((total, value) => total + Math.exp(value - most), 0)
        x = i < 2 ? z.map(value => Math.max(0, value)) : z.map(value => Math.exp(value - most) / sum)
        const kind = i < 2 ? 'hidden' : 'output'
        const scale = Math.max(1, ...x)
        x.forEach((value, o) => {
          worst[kind] = Math.max(worst[kind], Math.abs(value - layers[i + 1].values.get(row, o)) / scale)
        })
      }
    }
    t.ok(worst.input < 1e-7 && worst.hidden < 1e-5 && worst.output < 1e-5, JSON.stringify(worst))
  },
)

t.test('a prediction is the largest probability, with its name', async t => {
  const [{ label, className, confidence }] = predictor.predict(test.images.subarray(0, F))
  const { data } = predictor.probabilities(test.images.subarray(0, F))
  t.equal(confidence, Math.max(...data))
  t.equal(data[label], confidence)
  t.equal(className, String(label))
})

t.test('mistakes come surest first; random indices are different, and the seed decides them', async t => {
  const mistakes = findMistakes(predictor, test)
  t.ok(
    mistakes.every(({ confidence }, i) => i === 0 || mistakes[i - 1].confidence >= confidence),
    'surest first',
  )
  t.ok(
    mistakes.every(({ label, truth, index }) => label !== truth && truth === test.labels[index]),
    'wrong',
  )
  const some = randomIndices(test, 50, 1)
  t.equal(new Set(some).size, 50)
  t.same(randomIndices(test, 50, 1), some)
  t.notSame(randomIndices(test, 50, 2), some)
  t.equal(randomIndices(test, 1e6, 1).length, test.rows)
})

t.test('a checkpoint by itself is enough; parameters have the names and shapes of the file', async t => {
  const { checkpoint } = JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8'))
  const alone = await Predictor.open(join(runDir, checkpoint))
  t.same(alone.probabilities(test.images).data, predictor.probabilities(test.images).data)
  t.same(alone.parameter('layers.0.weight').shape, [784, 64])
  t.same(alone.parameter('layers.2.bias').data, (await readParameters(runDir)).get('layers.2.bias')?.data)
  t.throws(() => alone.parameter('layers.9.weight'), /name is 'layers.9.weight', expected one of layers.0.weight, /)
})

t.test('images of another size are refused, none is fine', async t => {
  t.throws(() => predictor.predict(new Uint8Array(785)), /length is 785, expected a multiple of 784; .* 28 x 28/)
  t.same(predictor.predict(new Uint8Array(0)), [])
  t.same(predictor.probabilities(new Uint8Array(0)).shape, [0, 10])
})

t.test('a note says where the run computed otherwise', async t => {
  t.equal(predictor.note, null)
  const dir = t.testdir()
  const data = writeTinyData(join(dir, 'data'))
  const experiment = resolveExperiment({
    data: { dataset: 'idx', path: data },
    model: { hidden: [9] },
    train: { epochs: 1 },
    compute: { workers: 1, backend: 'reference' },
  })
  await train(experiment, { runDir: join(dir, 'run') })
  const tiny = await Predictor.open(join(dir, 'run'))
  t.match(tiny.note, /the run computed in reference, predictions are computed in wasm/)
  t.same([tiny.height, tiny.width, tiny.classNames, [...tiny.widths]], [7, 5, ['0', '1', '2', '3'], [35, 9, 4]])

  // Without its data, what the checkpoint says.
  writeFileSync(join(data, 't10k-labels-idx1-ubyte'), 'gone')
  const lost = await Predictor.open(join(dir, 'run'))
  t.same([lost.height, lost.width, lost.classNames.length], [7, 5, 4])
  await t.rejects(loadTestImages(lost), { name: 'DataError' })
})
