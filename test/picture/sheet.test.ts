import { createHash } from 'node:crypto'
import t from 'tap'
import { Canvas } from '../../src/picture/canvas.js'
import { BLUE, gray, INK, scaleFor, VERMILION, WHITE } from '../../src/picture/colours.js'
import { drawnAs, glyphOf, textWidth } from '../../src/picture/font.js'
import { drawLayers, drawWeights, gridFor, short } from '../../src/picture/layers.js'
import { encodePng } from '../../src/picture/png.js'
import { drawSheet, type SheetTile } from '../../src/picture/sheet.js'
import { decodePng } from '../helpers/pixels.js'

const at = ({ rgb, width }: Canvas, x: number, y: number) => [
  ...rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
]
const digest = ({ width, height, rgb }: Canvas) =>
  `${width}x${height} ${createHash('sha256').update(rgb).digest('hex').slice(0, 16)}`

/** 2 x 2 pixels, drawn 98 times as large. */
const SHAPE = { height: 2, width: 2, channels: 1 }
const tile = (more: Partial<SheetTile>): SheetTile => ({
  ...{ pixels: Uint8Array.of(0, 50, 100, 255), className: '7', confidence: 0.98765, truth: '7', name: '#17' },
  ...more,
})

t.test('letters are the pixels of the font', async t => {
  const canvas = new Canvas(12, 7, WHITE)
  canvas.text({ x: 0, y: 0, text: 'A1', colour: INK })
  const rows = Array.from({ length: 7 }, (_, y) =>
    Array.from({ length: 11 }, (_, x) => (at(canvas, x, y)[0] === INK[0] ? '#' : '.')).join(''),
  )
  t.same(rows, [
    '.###....#..',
    '#...#..##..',
    '#...#...#..',
    '#...#...#..',
    '#####...#..',
    '#...#...#..',
    '#...#..###.',
  ])
  t.equal(textWidth('A1', 2), 22)
  for (let code = 0x20; code < 0x7f; code++) {
    const rows = glyphOf(String.fromCharCode(code))
    if (rows.length !== 7 || rows.some(bits => !(bits >= 0 && bits < 32))) t.fail(String.fromCharCode(code))
  }
  t.same(glyphOf('ü'), glyphOf('?'))
  t.equal(new Set(Array.from({ length: 95 }, (_, i) => glyphOf(String.fromCharCode(0x20 + i)).join())).size, 95)
})

t.test(
  'a sheet: every pixel is at its place; correct and wrong differ by frame and bar, not only by colour',
  async t => {
    const sheet = drawSheet([tile({}), tile({ truth: '9' }), tile({ truth: null })], SHAPE)
    t.same([sheet.width, sheet.height], [440, 576])
    const [x0, x1, y0] = [16, 16 + 212, 16]
    for (const x of [x0, x1]) {
      t.same(at(sheet, x, y0), gray(0))
      t.same(at(sheet, x + 97, y0 + 97), gray(0))
      t.same(at(sheet, x + 98, y0 + 97), gray(50))
      t.same(at(sheet, x, y0 + 98), gray(100))
      t.same(at(sheet, x + 195, y0 + 195), gray(255))
    }
    t.same([at(sheet, x0 - 1, y0), at(sheet, x0 - 2, y0)], [BLUE, WHITE], 'right: a thin frame')
    t.same(
      [at(sheet, x1 - 1, y0), at(sheet, x1 - 4, y0), at(sheet, x1 - 5, y0)],
      [VERMILION, VERMILION, WHITE],
      'wrong: a thick one',
    )
    t.same([at(sheet, x0 + 190, y0 + 200), at(sheet, x1 + 190, y0 + 200)], [WHITE, INK], 'wrong: a dark bar')
    t.equal(digest(sheet), '440x576 f385c28c608d5dba')
  },
)

t.test('long names, and no images at all', async t => {
  const long = drawSheet([tile({ className: 'T-shirt/top', truth: 'a name that is far too long for this' })], SHAPE)
  t.equal(digest(long), '228x296 160dfe7651e3a3ef')
  t.same([drawSheet([], SHAPE).width], [228])
})

t.test('pictures are unchanged after writing and reading', async t => {
  const { width, height, rgb } = drawSheet([tile({})], SHAPE)
  const { rgba } = decodePng('x', encodePng(width, height, rgb))
  t.ok(rgba.every((value, i) => value === (i % 4 === 3 ? 255 : rgb[Math.floor(i / 4) * 3 + (i % 4)])))
})

t.test('grids hold all units, and no row is empty, for every width up to 3,000', async t => {
  let checked = 0
  for (let units = 1; units <= 3000; units++) {
    const { columns, rows } = gridFor(units)
    if (columns * rows < units || columns * (rows - 1) >= units || columns - rows > 1)
      t.fail(`${units}: ${columns} x ${rows}`)
    checked++
  }
  t.equal(checked, 3000)
})

t.test('colour scales start at 0 or are symmetric about it; their ends are the ends of the colours', async t => {
  t.match(scaleFor([0.5, 2]), { least: 0, most: 2 })
  t.match(scaleFor([-1, 3]), { least: -3, most: 3 })
  t.match(scaleFor([]), { least: 0, most: 0 })
  t.same(scaleFor([-1, 3]).colourOf(0), WHITE)
  t.same(
    [scaleFor([0, 1]).colourOf(0), scaleFor([0, 1]).colourOf(1)],
    [
      [68, 1, 84],
      [253, 231, 37],
    ],
  )
  t.same(scaleFor([0, 0]).colourOf(0), [68, 1, 84])
  t.same([0, 2.374, 0.1 + 0.2, -0.25891, 1e-7, 123456, 1000].map(short), [
    '0',
    '2.37',
    '0.3',
    '-0.259',
    '1.0e-7',
    '1.2e+5',
    '1000',
  ])
})

t.test('layers of any width, and weights: golden', async t => {
  const values = (units: number) => Float32Array.from({ length: units }, (_, i) => (i % 7) / 6)
  const panel = { note: '50 % active', names: null, shape: null }
  const layers = drawLayers([
    { ...panel, title: 'input: 12 pixels', values: values(12), shape: { height: 4, width: 3 } },
    { ...panel, title: 'layer 1: 5 units', values: values(5) },
    { ...panel, title: 'layer 2: 1 units', values: values(1) },
    { ...panel, title: 'layer 3: 3000 units', values: values(3000) },
    { ...panel, title: 'output: 3 classes', values: Float32Array.of(0.1, 0.7, 0.2), names: ['a', 'b', 'c'] },
  ])
  t.equal(digest(layers), '1220x526 2d7618e210d483f8')
  const weights = drawWeights('weights', [{ unit: 3, values: Float32Array.of(-1, 0, 1, 2), caption: 'unit 3' }], SHAPE)
  t.equal(digest(weights), '320x242 5490605546cca728')
})

t.test('letters with accents are drawn without them, what has no ASCII letter as a question mark', async t => {
  t.equal(drawnAs('grün Äpfel, façade, łódź, straße, Ørsted').join(''), 'grun Apfel, facade, lodz, strasse, Orsted')
  t.equal(textWidth('straße'), textWidth('strasse'))
  t.same(drawnAs('猫').map(glyphOf), [glyphOf('?')])
  t.notSame(glyphOf('u'), glyphOf('?'))
})
