import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runCli } from '../../src/cli/program.js'
import { evaluate, loadTestSamples, Predictor } from '../../src/index.js'
import { encodePng } from '../../src/picture/png.js'
import { decodePng } from '../helpers/pixels.js'
import { trainDigits } from '../inference/trained.js'
import { gradloom } from './run-cli.js'

const dir = t.testdir()
const run = await trainDigits(join(dir, 'run'))
const predictor = await Predictor.open(run)
const test = await loadTestSamples(predictor)
const F = 784

t.test('one test image: the image as text, class, confidence, the next two classes, the true class', async t => {
  const { code, stdout, stderr } = await gradloom(['predict', run, '--index', '0'])
  t.match({ code, stderr }, { code: 0, stderr: '' })
  const lines = stdout.trimEnd().split('\n')
  t.equal(lines[0], 'test image 0')
  t.equal(lines.length, 1 + 14 + 2)
  t.match(lines.slice(1, 15).join(''), /^[ .:\-=+*#%@]+$/)
  t.match(lines[15], /^0, 9\d\.\d\d % {2}correct$/)
  t.match(lines[16], /^then \d, \d+\.\d\d %; \d, \d+\.\d\d %$/)
  t.notOk(stdout.includes('\x1b'))
})

t.test('--json gives the result of Predictor; --wrong lists all mistakes, most confident first', async t => {
  const { correct, rows } = await evaluate(run)
  const { code, stdout } = await gradloom(['predict', run, '--wrong', '900', '--index', '7', '--json'])
  const { predictions, checkpoint, note } = JSON.parse(stdout)
  t.match({ code, note, checkpoint }, { code: 0, note: null, checkpoint: /run\/checkpoints\/step-\d+\.safetensors$/ })
  const [first, ...wrong] = predictions
  const [expected] = predictor.predictClasses(test.features.subarray(7 * F, 8 * F))
  t.match(first, { index: 7, ...expected, truth: { label: test.labels[7] }, correct: true })
  t.equal(first.top.length, 3)
  t.equal(wrong.length, rows - correct!)
  t.ok(
    wrong.every(
      (p: { correct: boolean; confidence: number }, i: number) =>
        !p.correct && p.confidence <= wrong[Math.max(0, i - 1)].confidence,
    ),
  )
})

t.test('--random chooses images by the seed', async t => {
  const indices = async (seed: string) => {
    const { stdout } = await gradloom(['predict', run, '--random', '5', '--seed', seed, '--json'])
    return JSON.parse(stdout).predictions.map(({ index }: { index: number }) => index)
  }
  const [a, again, b] = await Promise.all([indices('1'), indices('1'), indices('2')])
  t.equal(new Set(a).size, 5)
  t.same(again, a)
  t.notSame(b, a)
})

t.test('--image recognises a large digit drawn dark on light; --out writes a contact sheet', async t => {
  const [scale, width, height] = [4, 150, 160]
  const rgb = new Uint8Array(width * height * 3).fill(255)
  const pixels = test.features.subarray(0, F)
  for (let i = 0; i < F * scale * scale; i++) {
    const [x, y] = [i % (28 * scale), Math.floor(i / (28 * scale))]
    const level = 255 - pixels[Math.floor(y / scale) * 28 + Math.floor(x / scale)]
    rgb.fill(level, ((y + 20) * width + x + 10) * 3, ((y + 20) * width + x + 10) * 3 + 3)
  }
  const picture = join(dir, 'zero.png')
  const out = join(dir, 'sheet.png')
  writeFileSync(picture, encodePng(width, height, rgb))
  const { code, stdout, stderr } = await gradloom([
    'predict',
    run,
    '--image',
    picture,
    picture,
    '--wrong',
    '3',
    '--out',
    out,
  ])
  t.match({ code, stderr }, { code: 0, stderr: '' })
  t.match(stdout, /zero\.png\ninverted: dark on light; cut to \d+ x \d+ of 150 x 160; fitted into/)
  t.equal(stdout.match(/^0, \d+\.\d\d %$/gm)?.length, 2)
  t.equal(stdout.match(/WRONG, it is \d$/gm)?.length, 3)
  t.match(stdout, /\n\nsheet {4}.*sheet\.png\n$/)
  const sheet = decodePng('sheet', readFileSync(out))
  t.same([sheet.width, sheet.height], [652, 576]) // 3 x 2 tiles
})

t.test('activations: a picture of the layers, a picture of the weights, or numbers', async t => {
  const out = join(dir, 'layers.png')
  const layers = await gradloom(['activations', run, '--index', '3', '--out', out])
  t.match(layers, {
    code: 0,
    stderr: '',
    stdout:
      /^input 0 +784 units .*\nhidden 1 +64 units +\d+ % active .*\nhidden 2 +30 units .*\noutput 3 +10 units +predicts 0 .*\npicture {2}/,
  })
  t.match(decodePng('layers', readFileSync(out)), { width: 1220 })

  const weights = join(dir, 'weights.png')
  const { code, stdout } = await gradloom(['activations', run, '--weights=9', '--out', weights, '--json'])
  t.equal(code, 0)
  t.ok(existsSync(weights))
  const { units } = JSON.parse(stdout)
  t.equal(units.length, 9)
  t.equal(units[0].weights[400], predictor.parameter('layers.0.weight').get(400, units[0].unit))

  const numbers = JSON.parse((await gradloom(['activations', run, '--json'])).stdout)
  t.same(
    numbers.layers.map(({ values }: { values: number[] }) => values.length),
    [784, 64, 30, 10],
  )
  t.same(numbers.layers[3].values, [...predictor.predict(test.features.subarray(0, F)).data])
})

t.test('errors are reported, with exit code 2 for usage and 1 for an unreadable picture', async t => {
  writeFileSync(join(dir, 'bad.png'), 'no picture')
  const cases: [args: string[], code: number, stderr: RegExp][] = [
    [['predict', run, '--index', '1996'], 2, /^index is 1996, expected an integer from 0 to 1995\n$/],
    [
      ['predict', run, '--index', 'x'],
      2,
      /--index is 'x', expected an integer >= 0\nhint: npx gradloom predict --help/,
    ],
    [['predict', run, '--random', '0'], 2, /--random is '0', expected an integer >= 1/],
    [['predict', run, '--random', '1001'], 2, /1001 images are asked for, expected at most 1000/],
    [['predict', run, '--out', 'x.jpg'], 2, /--out is 'x.jpg', expected a name that ends in .png/],
    [['predict', run, '--out', join(dir, 'none', 'x.png')], 2, /x\.png: cannot be written: ENOENT/],
    [
      ['predict', run, '--image', join(dir, 'bad.png')],
      1,
      /bad\.png: begins with 6e6f207069637475, expected a picture/,
    ],
    [['predict', run, '--image', join(dir, 'gone.png')], 1, /gone\.png: cannot be read: ENOENT/],
    [['predict', join(dir, 'gone')], 2, /gone: cannot be read/],
    [['predict'], 2, /an argument is missing, expected gradloom predict <run>/],
    [['activations', run], 2, /--out is missing, expected a PNG to write, or --json/],
    [['activations', run, '--index', '1', '--weights', '--json'], 2, /are given together, expected one of them/],
    [['activations', run, '--weights', '2000', '--json'], 2, /--weights is 2000, expected at most 1024/],
  ]
  // In this process: a start of Node for each would take most of the file's time.
  const exitCode = process.exitCode
  for (const [args, code, stderr] of cases) {
    const written = t.capture(process.stderr, 'write', () => true)
    await runCli(args)
    const text = written()
      .map(call => call.args.join(''))
      .join('')
    written.restore()
    t.match({ code: process.exitCode, stderr: text }, { code, stderr }, args.slice(2).join(' '))
    process.exitCode = exitCode
  }
})
