/** Pictures, HTML and JSON of one run say the same, number by number. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { formatPercent } from '../../src/format.js'
import { evaluate, readReport, reportJson } from '../../src/index.js'
import { layerPanels, summaryOf } from '../../src/inference/layers.js'
import { drawLayers } from '../../src/picture/layers.js'
import { drawSheet } from '../../src/picture/sheet.js'
import { gradloom } from '../cli/run-cli.js'
import { decodePng } from '../helpers/pixels.js'
import { trainDigits } from '../inference/trained.js'

const dir = t.testdir()
const run = await trainDigits(join(dir, 'run'))
const report = async () => reportJson(await readReport([run]))
const kept = await report()
const json = JSON.parse(kept).runs[0]
await gradloom(['report', run])
const html = readFileSync(join(run, 'report.html'), 'utf8')
const names = json.test.classes.map(({ className }: { className: string }) => className)

/** Numbers and how they are shown, of a part of the page. */
function shown(from: string, to: string): { value: number; text: string }[] {
  const part = html.slice(html.indexOf(from), html.indexOf(to, html.indexOf(from)))
  return [...part.matchAll(/<data value="([^"]*)">([^<]*)<\/data>/g)].map(([, value, text]) => ({
    value: Number(value),
    text,
  }))
}
const values = (from: string, to: string) => shown(from, to).map(({ value }) => value)

t.test('JSON has the scores of evaluate and the summary', async t => {
  const { accuracy, correct, rows } = await evaluate(run)
  t.match(json.test, { accuracy, right: correct, images: rows })
  t.strictSame(json.summary, JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8')))
  t.equal(json.summary.test.accuracy, accuracy)
  t.same(
    json.curves.steps.map(({ loss }: { loss: number }) => loss),
    readFileSync(join(run, 'metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
      .flatMap(({ type, loss }) => (type === 'steps' ? [loss] : [])),
  )
})

t.test('--backend recomputes predictions and names the backend; without it stored ones are read', async t => {
  const computed: string[][] = []
  const onComputing = (...of: string[]) => computed.push(of)
  await readReport([run], { onComputing })
  t.same(computed, [])
  const { runs } = await readReport([run], { onComputing, backend: 'reference' })
  t.match(computed, [['run', /^reference: /]])
  t.match(runs[0].test, { note: /computed in wasm, predictions are computed in reference/ })
  const { runs: again } = await readReport([run], { onComputing, backend: 'wasm' })
  t.equal(computed.length, 2)
  t.match(again[0].test, { note: null })
  t.equal(await report(), kept, 'kept as before')
})

t.test('HTML: every number of the tables is that of the JSON, in its stated format', async t => {
  const { test, curves, timeline } = json
  t.same(values('<table class="matrix">', '</table>'), test.confusion.flat())
  const scores = ['support', 'predicted', 'precision', 'recall', 'f1']
  const rows = values('<table class="classes">', '</table>')
  t.same(
    rows.slice(0, -8),
    test.classes.flatMap((of: Record<string, number>) => scores.map(score => of[score])),
  )
  const means = ['precision', 'recall', 'f1'] as const
  t.same(
    rows.slice(-7, -4),
    means.map(mean => test.macro[mean]),
  )
  t.same(
    rows.slice(-3),
    means.map(mean => test.weighted[mean]),
  )
  const bins = values('aria-label="Calibration by confidence"', '</table>')
  type Bin = { images: number; confidence: number | null; accuracy: number | null }
  t.same(
    bins,
    test.calibration.bins.flatMap(({ images, confidence, accuracy }: Bin) =>
      images === 0 ? [0] : [images, confidence, accuracy],
    ),
  )
  const epochs = values('aria-label="Numbers of each epoch"', '</table>')
  type Epoch = { epoch: number; step: number; train: { loss: number; accuracy: number } } & Record<string, number>
  t.same(
    epochs,
    curves.epochs.flatMap(({ epoch, step, train, learningRate, seconds, samplesPerSecond }: Epoch) => [
      ...[epoch, step, train.loss, train.accuracy, learningRate, seconds, samplesPerSecond],
    ]),
  )
  const times = values('aria-label="Time of each worker"', '</table>').filter((_, i) => i % 2 === 0)
  t.same(
    times,
    timeline.workers.flatMap((time: Record<string, number>) => Object.values(time)),
  )
  const [tile] = shown('<dl class="tiles">', '</dl>')
  t.strictSame(tile, { value: json.summary.test.accuracy, text: formatPercent(json.summary.test.accuracy) })
  const gallery = shown('<ul class="gallery">', '</ul>')
  type Mistake = { index: number; top: { probability: number }[] }
  t.strictSame(
    gallery,
    test.mistakes.flatMap(({ index, top }: Mistake) => [
      ...top.map(({ probability }) => ({ value: probability, text: formatPercent(probability, 1) })),
      { value: index, text: String(index) },
    ]),
  )
})

t.test('pictures: predict --wrong --out draws the mistakes of the JSON, the page shows their pixels', async t => {
  const { mistakes, height, width } = json.test
  t.equal(mistakes.length, 24)
  const out = join(dir, 'wrong.png')
  await gradloom(['predict', run, '--wrong', '24', '--out', out])
  type Mistake = {
    index: number
    truth: { className: string }
    top: { className: string; probability: number }[]
    pixels: number[]
  }
  const sheet = drawSheet(
    mistakes.map(({ index, truth, top, pixels }: Mistake) => ({
      ...{ pixels: Uint8Array.from(pixels), name: `#${index}`, truth: truth.className },
      ...{ className: top[0].className, confidence: top[0].probability },
    })),
    { height, width, channels: 1 },
  )
  t.ok(samePixels(readFileSync(out), sheet.rgb), 'the same sheet, to the pixel')
  const images = picturesOf('<ul class="gallery">', '</ul>')
  t.equal(images.length, 24)
  for (const [i, image] of images.entries()) {
    const rgb = mistakes[i].pixels.flatMap((level: number) => [level, level, level])
    t.ok(samePixels(image, rgb), `mistake ${i}`)
  }
})

t.test('pictures: activations --out draws the layers of the JSON, and so does the page', async t => {
  const [example] = json.test.examples
  const out = join(dir, 'layers.png')
  await gradloom(['activations', run, '--index', String(example.index), '--out', out])
  type Layer = { layer: number; kind: 'input' | 'hidden' | 'output'; values: number[] }
  const layers = example.layers.map(({ layer, kind, values }: Layer) => {
    const summary = summaryOf(Float32Array.from(values))
    return { layer, kind, ...summary }
  })
  const { height, width } = json.test
  const panels = layerPanels(
    { height, width, outputNames: names, source: { input: { dtype: 'uint8', task: 'classification' } } } as never,
    layers,
  )
  t.ok(samePixels(readFileSync(out), drawLayers(panels).rgb), 'the same panels, to the pixel')
  const { stdout } = await gradloom(['activations', run, '--index', String(example.index), '--json'])
  t.strictSame(JSON.parse(stdout).layers, example.layers)
  const [, hidden] = picturesOf('<ul class="layers">', '</ul>')
  const { rgba, width: columns } = decodePng('hidden', hidden)
  t.equal(columns, 8, '64 units')
  const values: number[] = example.layers[1].values
  const [off, most] = [values.indexOf(Math.min(...values)), values.indexOf(Math.max(...values))]
  t.same([...rgba.subarray(4 * off, 4 * off + 3)], [68, 1, 84], 'the least is the darkest of viridis')
  t.same([...rgba.subarray(4 * most, 4 * most + 3)], [253, 231, 37], 'the largest the brightest')
})

t.test('stored predictions give the same page as computed ones, also without weights and data', async t => {
  t.equal(await report(), kept, 'kept')
  rmSync(join(run, 'test-results.json'))
  t.equal(await report(), kept, 'computed anew')
  rmSync(join(run, 'checkpoints'), { recursive: true })
  t.equal(await report(), kept, 'the weights are gone')
})

function picturesOf(from: string, to: string): Buffer[] {
  const part = html.slice(html.indexOf(from), html.indexOf(to, html.indexOf(from)))
  return [...part.matchAll(/class="pixels[^>]* src="data:image\/png;base64,([^"]*)"/g)].map(([, text]) =>
    Buffer.from(text, 'base64'),
  )
}

function samePixels(png: Buffer, rgb: ArrayLike<number>): boolean {
  const { rgba } = decodePng('a picture', png)
  return (
    rgba.length * 3 === rgb.length * 4 &&
    rgba.every((level, i) => level === (i % 4 === 3 ? 255 : rgb[(i >> 2) * 3 + (i % 4)]))
  )
}
