/** A network of the user's own images answers for pictures as for the data it learned from, whatever their size and type. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { evaluate, Predictor, resolveExperiment, train } from '../../src/index.js'
import { askAboutFiles } from '../../src/inference/ask.js'
import { encodePng } from '../../src/picture/png.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'
import { npzOf } from '../helpers/npy.js'

const dir = t.testdir()
const [SIDE, N] = [28, 120]
const F = SIDE * SIDE
const labels = Int32Array.from({ length: N }, (_, i) => i % 2)
/** Left or right half bright, by class, each image a little different. */
const images = Uint8Array.from({ length: N * F }, (_, i) => {
  const [row, x] = [Math.floor(i / F), i % SIDE]
  return x < SIDE / 2 === (labels[row] === 0) ? 150 + (row % 50) : (Math.imul(i, 2_654_435_761) >>> 24) % 40
})

async function trained(name: string, data: object): Promise<string> {
  const run = join(dir, name)
  const experiment = resolveExperiment({
    data,
    model: { hidden: [16], dropout: 0 },
    train: { epochs: 5, batchSize: 16 },
    compute: { workers: 1, backend: 'wasm' },
  })
  await train(experiment, { runDir: run })
  return run
}

const pictures = Array.from({ length: 12 }, (_, i) => {
  const file = join(dir, `${i}.png`)
  const rgb = Uint8Array.from({ length: F * 3 }, (_, k) => images[i * F + Math.floor(k / 3)])
  writeFileSync(file, encodePng(SIDE, SIDE, rgb))
  return file
})

const bytes = join(dir, 'bytes.npz')
writeFileSync(bytes, npzOf({ x_train: [[N, SIDE, SIDE], images], y_train: [[N], labels] }))

t.test('28 x 28 pictures other than digits: training pictures are prepared as in training', async t => {
  const run = await trained('bytes', { dataset: 'npz', path: bytes })
  t.equal((await evaluate(run)).accuracy, 1)
  const predictor = await Predictor.open(run)
  t.equal(predictor.source.input.preparation, 'plain')
  const { input } = await readCheckpoint(predictor.source.checkpoint)
  t.equal(input!.preparation, 'plain', 'and the checkpoint says so')
  const answers = await askAboutFiles(predictor, pictures)
  t.same(
    answers.map(({ top }) => top[0].label),
    [...labels.subarray(0, 12)],
  )
  for (const [i, { pixels }] of answers.entries()) t.same([...pixels], [...images.subarray(i * F, (i + 1) * F)])
})

t.test('data.preparation overrides it', async t => {
  const run = await trained('said', { dataset: 'npz', path: bytes, preparation: 'mnist' })
  t.equal((await Predictor.open(run)).source.input.preparation, 'mnist')
})

t.test('the same values as bytes and as numbers: either model scores either file alike', async t => {
  const floats = join(dir, 'floats.npz')
  writeFileSync(floats, npzOf({ x_train: [[N, SIDE, SIDE], Float32Array.from(images)], y_train: [[N], labels] }))
  const flat = join(dir, 'flat.npz')
  writeFileSync(flat, npzOf({ x_train: [[N, F], images], y_train: [[N], labels] }))
  const files = [bytes, floats, flat]
  for (const [name, path] of [
    ['bytes', bytes],
    ['floats', floats],
    ['flat', flat],
  ] as const) {
    const run = name === 'bytes' ? join(dir, 'bytes') : await trained(name, { dataset: 'npz', path })
    const scores = []
    for (const dataPath of files) scores.push((await evaluate(run, { dataPath })).loss)
    t.same(scores, [scores[0], scores[0], scores[0]], `${name}: ${scores}`)
  }
})

t.test('a table of small whole numbers is learned alike as bytes, integers and floats', async t => {
  const x = Uint8Array.from({ length: 400 * 4 }, (_, i) => (Math.imul(i + 7, 2_654_435_761) >>> 20) & 1)
  const y = Int32Array.from({ length: 400 }, (_, i) => x[4 * i] ^ x[4 * i + 1])
  const digests = []
  for (const [name, numbers] of Object.entries({ u1: x, i4: Int32Array.from(x), f8: Float64Array.from(x) })) {
    const path = join(dir, `${name}.npz`)
    writeFileSync(path, npzOf({ x_train: [[400, 4], numbers], y_train: [[400], y] }))
    const run = await trained(name, { dataset: 'npz', path })
    digests.push((await readCheckpoint((await Predictor.open(run)).source.checkpoint)).weightsSha256)
  }
  t.equal(new Set(digests).size, 1, digests.join(' '))
})
