/** Classes that differ in colour alone are learned, and everything that shows a picture shows its colours. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import t from 'tap'
import { parseInput } from '../../src/data/input.js'
import { evaluate, exportWeights, loadTestSamples, Predictor, resolveExperiment, train } from '../../src/index.js'
import { askAboutFiles } from '../../src/inference/ask.js'
import { encodePng } from '../../src/picture/png.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'
import { Purpose, permutation } from '../../src/tensor/random.js'
import { gradloom } from '../cli/run-cli.js'
import { decodePng } from '../helpers/pixels.js'

const dir = t.testdir()
const [SIDE, EACH] = [10, 60]
/** Red, green and blue of about the same luma, 90. */
const INKS = { blue: [60, 80, 225], green: [20, 138, 27], red: [205, 35, 72] } as const
const luma = ([r, g, b]: ArrayLike<number> & Iterable<number>) => 0.299 * r + 0.587 * g + 0.114 * b

/** A disc of the ink somewhere on grey paper, whose brightness is that of the ink; brightness and place are random. */
function drawn(ink: readonly number[], seed: number): Uint8Array {
  const words = permutation(1000, seed, Purpose.examples, 0)
  const [x, y, radius] = [3 + (words[0] % 4), 3 + (words[1] % 4), 2 + (words[2] % 2)]
  return encodePng(
    SIDE,
    SIDE,
    Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => {
      const pixel = Math.floor(i / 3)
      const noise = ((words[pixel] % 41) - 20) / 100
      const inside = Math.hypot((pixel % SIDE) - x, Math.floor(pixel / SIDE) - y) <= radius
      return Math.round((1 + noise) * (inside ? ink[i % 3] : luma(ink)))
    }),
  )
}

for (const [c, [name, ink]] of Object.entries(INKS).entries()) {
  for (const [part, count] of [
    ['train', EACH],
    ['test', EACH / 2],
  ] as const) {
    mkdirSync(join(dir, part, name), { recursive: true })
    for (let i = 0; i < count; i++) {
      const seed = 1000 * c + (part === 'test' ? 500 : 0) + i
      writeFileSync(join(dir, part, name, `${String(i).padStart(2, '0')}.png`), drawn(ink, seed))
    }
  }
}

const trained = async (name: string, data: object, workers = 1, augment = {}) => {
  const run = join(dir, name)
  const experiment = resolveExperiment({
    data: { dataset: 'images', path: dir, ...data },
    augment,
    model: { hidden: [24], dropout: 0 },
    train: { epochs: 12, batchSize: 12 },
    optimizer: { learningRate: 0.003 },
    compute: { workers, backend: 'wasm' },
  })
  const { weightsSha256 } = await train(experiment, { runDir: run })
  return { run, weightsSha256 }
}

const { run, weightsSha256 } = await trained('colour', {})

t.test('three classes of equal brightness: at least 99 % in colour, about chance in grey', async t => {
  for (const ink of Object.values(INKS)) t.ok(Math.abs(luma(ink) - 90) < 1.5, `luma ${luma(ink)}`)
  const { accuracy } = await evaluate(run)
  t.ok(accuracy! >= 0.99, `${accuracy} in colour`)
  const { run: grey } = await trained('grey', { channels: 1 })
  const { accuracy: without } = await evaluate(grey)
  t.ok(without! < 0.6, `${without} in grey`)
})

t.test('the checkpoint says how pictures are prepared, and predictions prepare them so', async t => {
  const predictor = await Predictor.open(run)
  const { input } = await readCheckpoint(predictor.source.checkpoint)
  t.match(input, { height: SIDE, width: SIDE, channels: 3, dtype: 'uint8', preparation: 'plain', background: null })
  t.equal(new Set(input!.scaling!.offset).size, 3, 'one mean a channel')
  t.same([predictor.channels, predictor.widths], [3, [SIDE * SIDE * 3, 24, 3]])
  const files = Object.keys(INKS).map(name => join(dir, 'test', name, '03.png'))
  const answers = await askAboutFiles(predictor, files)
  t.same(
    answers.map(({ top }) => top[0].className),
    Object.keys(INKS),
  )
  for (const [i, { pixels }] of answers.entries()) {
    const { rgba } = decodePng(files[i], readFileSync(files[i]))
    t.same(
      pixels,
      rgba.filter((_: number, k: number) => k % 4 < 3),
    )
  }
})

t.test('a checkpoint that knows no channels has one', async t => {
  const {
    channels: _,
    background: __,
    ...old
  } = (await readCheckpoint((await Predictor.open(run)).source.checkpoint)).input!
  const grey = { ...old, width: 3 * SIDE }
  t.match(parseInput(JSON.stringify(grey)), { height: SIDE, width: 3 * SIDE, channels: 1, background: null })
  for (const wrong of [{ ...old }, { ...old, channels: 2 }, { ...old, channels: 3, background: [1, 2] }]) {
    t.throws(() => parseInput(JSON.stringify(wrong)), TypeError)
  }
})

t.test('grey pictures are scored by a network of pictures in colour, and its ONNX file agrees to 1e-5', async t => {
  mkdirSync(join(dir, 'without', 'red'), { recursive: true })
  writeFileSync(join(dir, 'without', 'red', '1.png'), drawn([90, 90, 90], 3))
  const { rows } = await evaluate(run, { dataPath: join(dir, 'without') })
  t.equal(rows, 1)
  const predictor = await Predictor.open(run)
  const { features, rows: tests } = await loadTestSamples(predictor)
  await exportWeights(run, join(dir, 'model.onnx'))
  const bytes = readFileSync(join(dir, 'model.onnx'))
  t.ok(bytes.includes(`(height, width, channels) = (${SIDE}, ${SIDE}, 3)`))
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(bytes)
  const input = new ort.Tensor('float32', Float32Array.from(features), [tests, SIDE * SIDE * 3])
  const got = (await session.run({ features: input })).probabilities.data as Float32Array
  const worst = predictor.predict(features).data.reduce((most, p, i) => Math.max(most, Math.abs(p - got[i])), 0)
  t.ok(worst < 1e-5, `largest difference ${worst}`)
  await session.release()
})

t.test('the same bits for 1, 2 and 3 workers, and from the cache', async t => {
  for (const workers of [2, 3]) t.equal((await trained(`w${workers}`, {}, workers)).weightsSha256, weightsSha256)
})

t.test('augmented in every way: the same bits for 1, 2, 3 and 7 workers, and other ones than plain', async t => {
  const augment = {
    ...{
      shift: 1,
      rotate: 20,
      flip: 0.5,
      noise: 0.05,
      crop: 1,
      cutout: 3,
      brightness: 0.2,
      contrast: 0.2,
      saturation: 0.3,
    },
    ...{ elastic: { alpha: 5, sigma: 2 }, erase: { probability: 0.5, fill: 'random' as const } },
  }
  const digest = async (workers: number) => (await trained(`a${workers}`, {}, workers, augment)).weightsSha256
  const one = await digest(1)
  t.not(one, weightsSha256)
  for (const workers of [2, 3, 7]) t.equal(await digest(workers), one, `${workers} workers`)
})

t.test('predict, activations and report draw the pictures in their colours', async t => {
  const at = (name: string) => join(dir, name)
  const colours = (file: string) => {
    const { rgba } = decodePng(file, readFileSync(file))
    let found = 0
    for (let i = 0; i < rgba.length; i += 4) {
      if (rgba[i] > 150 && rgba[i + 1] < 60 && rgba[i + 2] < 110) found++
    }
    return found
  }
  const red = join(dir, 'test', 'red', '05.png')
  const { stdout } = await gradloom(['predict', run, '--image', red, '--out', at('sheet.png')])
  t.match(stdout, /red, \d+\.\d/)
  t.ok(colours(at('sheet.png')) > 1000, 'red pixels on the sheet')
  await gradloom(['activations', run, '--image', red, '--out', at('layers.png')])
  t.ok(colours(at('layers.png')) > 1000, 'red pixels among the layers')
  await gradloom(['activations', run, '--weights', '6', '--out', at('weights.png')])
  t.ok(readFileSync(at('weights.png')).length > 500)
  await gradloom(['report', run, '--out', at('report.html')])
  const page = readFileSync(at('report.html'), 'utf8')
  t.match(page, /10 × 10 pixels of three colours/)
  const images = [...page.matchAll(/alt="The image: 10 by 10 pixels" src="data:image\/png;base64,([^"]+)"/g)]
  t.ok(images.length > 0)
  const { rgba } = decodePng('report', Buffer.from(images[0][1], 'base64'))
  t.ok(
    rgba.some((value: number, i: number) => i % 4 === 0 && Math.abs(value - rgba[i + 2]) > 60),
    'in colour',
  )
})

t.test('settings that pictures in colour do not have are refused', async t => {
  const refused = (data: object, message: RegExp) => t.rejects(trained('never', data), { name: 'ConfigError', message })
  const augmented = (augment: object, data: object, message: RegExp) =>
    t.rejects(trained('never', data, 1, augment), { name: 'ConfigError', message })
  await augmented({ saturation: 0.1 }, { channels: 1 }, /augment\.saturation is 0\.1, expected 0, because .* are grey/)
  await augmented({ crop: 10 }, {}, /augment\.crop is 10, expected less than 10/)
  await refused({ preparation: 'mnist' }, /data\.preparation is "mnist", expected "auto" or "plain"/)
  await refused(
    { preparation: 'fashion-mnist', channels: 1 },
    /data\.preparation is "fashion-mnist", which makes pictures of 28 x 28, expected "auto" or "plain", because the pictures of/,
  )
})
