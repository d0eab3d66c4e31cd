import { join } from 'node:path'
import sharp from 'sharp'
import t from 'tap'
import { loadTestSamples, Predictor } from '../../src/index.js'
import { decodePicture } from '../../src/picture/picture.js'
import { encodePng } from '../../src/picture/png.js'
import {
  choosePreparation,
  liesAsMnist,
  type Preparation,
  preparationOfOldModel,
} from '../../src/picture/preparation.js'
import { prepare, preparePicture } from '../../src/picture/prepare.js'
import type { Picture } from '../../src/picture/raster.js'
import { resize } from '../../src/picture/resize.js'
import fc from '../helpers/fast-check.js'
import { trainDigits } from '../inference/trained.js'

const of = (preparation: Preparation, shape = { height: 28, width: 28 }) => ({
  ...{ ...shape, channels: 1, preparation, background: null },
})
const F = 784

const predictor = await Predictor.open(await trainDigits(join(t.testdir(), 'run')))
const test = await loadTestSamples(predictor)
const digit = (index: number) => (test.features as Uint8Array).subarray(index * F, (index + 1) * F)
/** Spread over the ten digits: rows are ordered by them. */
const INDICES = Array.from({ length: 100 }, (_, i) => Math.floor((i * test.rows) / 100))

/** Paints a digit on a larger sheet; `ink` says the colour of a pixel of so much ink, from 0 to 1. */
function sheet(
  pixels: Uint8Array,
  { scale, left, top, width, height }: { scale: number; left: number; top: number; width: number; height: number },
  ink: (amount: number) => readonly [number, number, number, number],
): Picture {
  const rgba = new Uint8Array(width * height * 4)
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [Math.floor(((i % width) - left) / scale), Math.floor((Math.floor(i / width) - top) / scale)]
    const inside = x >= 0 && x < 28 && y >= 0 && y < 28
    rgba.set(ink(inside ? pixels[y * 28 + x] / 255 : 0), 4 * i)
  }
  return { format: 'PNG', width, height, rgba }
}

type Tap = typeof t

const PLACE = { scale: 3, left: 31, top: 12, width: 200, height: 110 }
const level = (amount: number) => [255 * amount, 255 * amount, 255 * amount, 255] as const
const inverted = (amount: number) => {
  const level = Math.round(255 * (1 - amount))
  return [level, level, level, 255] as const
}

function sameClass(t: Tap, name: string, least: number, pictures: (index: number) => Picture | Promise<Picture>) {
  t.test(name, async t => {
    let same = 0
    for (const index of INDICES) {
      const { pixels } = prepare('x', await pictures(index), of('mnist'))
      const [got, want] = [predictor.predictClasses(pixels)[0], predictor.predictClasses(digit(index))[0]]
      if (got.label === want.label) same++
      else t.comment(`test image ${index}: ${got.label}, expected ${want.label}`)
    }
    t.ok(same >= least, `${same} of ${INDICES.length} as the original, expected at least ${least}`)
  })
}

t.test('preparing the digits again leaves them unchanged, except faint edges', async t => {
  let worst = 0
  let exact = 0
  for (const index of INDICES) {
    const { pixels } = prepare(
      'x',
      sheet(digit(index), { scale: 1, left: 0, top: 0, width: 28, height: 28 }, level),
      of('mnist'),
    )
    const difference = pixels.reduce((sum, pixel, i) => sum + Math.abs(pixel - digit(index)[i]), 0) / F
    if (difference < 1) exact++
    worst = Math.max(worst, difference)
  }
  t.ok(exact >= 60, `${exact} of 100 with a mean difference below 1 of 255`)
  t.ok(worst < 25, `largest mean difference ${worst}`)
})

sameClass(t, 'drawn 3 x as large, inverted, far from the middle: at least 98 of 100 classes as before', 98, index =>
  sheet(digit(index), PLACE, inverted),
)
sameClass(t, 'red on transparent paper: at least 98 of 100', 98, index =>
  sheet(digit(index), PLACE, amount => [200, 0, 0, Math.round(255 * amount)]),
)
sameClass(t, 'a pale photograph as JPEG: at least 95 of 100', 95, async index => {
  const { width, height, rgba } = sheet(digit(index), PLACE, amount => {
    const light = 190 - 130 * amount
    return [light, light - 10, light - 20, 255]
  })
  return decodePicture(
    'x',
    await sharp(rgba, { raw: { width, height, channels: 4 } })
      .jpeg()
      .toBuffer(),
  )
})

t.test('the steps of the preparation are reported', async t => {
  const { steps } = prepare('x', sheet(digit(0), PLACE, inverted), of('mnist'))
  t.match(
    steps.join('; '),
    /^inverted: dark on light; cut to \d+ x \d+ of 200 x 110; fitted into \d+ x \d+, centre of mass/,
  )
  const red = prepare(
    'x',
    sheet(digit(0), PLACE, a => [200, 0, 0, 255 * a]),
    of('mnist'),
  )
  t.match(red.steps, ['colours to grey', 'transparency laid on white', 'inverted: dark on light'])
  const glass = { format: 'PNG', width: 1, height: 1, rgba: Uint8Array.of(20, 20, 20, 51) }
  const over = (background: readonly [number, number, number] | null) =>
    prepare('x', glass, { ...of('plain', { height: 1, width: 1 }), background })
  t.same(over([255, 0, 0]), {
    pixels: Uint8Array.of(Math.round(4 + 0.8 * 0.299 * 255)),
    steps: ['transparency laid on (255, 0, 0)'],
  })
  t.same(over([0, 0, 0]), { pixels: Uint8Array.of(4), steps: ['transparency laid on black'] })
  t.same(over(null), { pixels: Uint8Array.of(208), steps: ['transparency laid on white'] }, 'dark ink on white paper')
})

t.test('the longest side is 20, the centre of mass in [14, 15), wherever and however large the ink was', async t => {
  let cases = 0
  const blocks = fc.record({
    x: fc.integer({ min: 2, max: 60 }),
    y: fc.integer({ min: 2, max: 60 }),
    width: fc.integer({ min: 3, max: 60 }),
    height: fc.integer({ min: 3, max: 60 }),
    dark: fc.boolean(),
  })
  fc.assert(
    fc.property(blocks, ({ x, y, width, height, dark }) => {
      const rgba = Uint8Array.from({ length: 130 * 130 * 4 }, (_, i) => {
        const [column, row] = [Math.floor(i / 4) % 130, Math.floor(i / 4 / 130)]
        const inside = column >= x && column < x + width && row >= y && row < y + height
        return i % 4 === 3 || inside !== dark ? 255 : 0
      })
      const { pixels } = prepare('x', { format: 'PNG', width: 130, height: 130, rgba }, of('mnist'))
      let [mass, cx, cy, left, right, top, bottom] = [0, 0, 0, 28, -1, 28, -1]
      pixels.forEach((value, i) => {
        const [column, row] = [i % 28, Math.floor(i / 28)]
        mass += value
        cx += value * (column + 0.5)
        cy += value * (row + 0.5)
        if (value === 0) return
        ;[left, right] = [Math.min(left, column), Math.max(right, column)]
        ;[top, bottom] = [Math.min(top, row), Math.max(bottom, row)]
      })
      cases++
      const middle = (value: number) => value >= 14 - 1e-9 && value < 15
      return Math.max(right - left, bottom - top) === 19 && middle(cx / mass) && middle(cy / mass)
    }),
    { numRuns: 60 },
  )
  t.equal(cases, 60)
})

t.test('a digit that covers a two-thousandth of a large sheet is found', async t => {
  const width = 640
  const place = { scale: 1, left: 500, top: 20, width, height: width }
  const { pixels } = prepare('x', sheet(digit(0), place, inverted), of('mnist'))
  t.equal(predictor.predictClasses(pixels)[0].label, predictor.predictClasses(digit(0))[0].label)
})

t.test('an empty picture is refused', async t => {
  const rgba = new Uint8Array(40 * 40 * 4).fill(255)
  t.throws(() => prepare('empty.png', { format: 'PNG', width: 40, height: 40, rgba }, of('mnist')), {
    name: 'PictureError',
    message: 'empty.png: contrast is 0 of 255, expected at least 24; it looks empty',
  })
})

t.test('clothes fill the image; plain pictures are resized as they are', async t => {
  const { pixels: clothes } = prepare('x', sheet(digit(0), PLACE, inverted), of('fashion-mnist'))
  t.ok(clothes.subarray(0, 28).some(value => value > 0) && clothes.subarray(-28).some(value => value > 0))
  const file = encodePng(2, 1, Uint8Array.of(0, 0, 0, 255, 255, 255))
  const plain = await preparePicture('x', file, of('plain', { height: 2, width: 4 }))
  t.same([...plain.pixels], [0, 64, 191, 255, 0, 64, 191, 255])
  t.same(plain.steps, ['resized from 2 x 1 to 4 x 2'])
  const same = await preparePicture('x', file, of('plain', { height: 1, width: 2 }))
  t.same([[...same.pixels], same.steps], [[0, 255], []])
})

t.test('a large sheet is scaled down first, and a digit of a fiftieth of its width is found', async t => {
  const width = 1500
  const place = { scale: 1, left: 1400, top: 20, width, height: width }
  const { rgba } = sheet(digit(0), place, inverted)
  const file = await sharp(rgba, { raw: { width, height: width, channels: 4 } })
    .png()
    .toBuffer()
  const { pixels, steps } = await preparePicture('x', file, of('mnist'))
  t.match(steps[0], 'resized from 1500 x 1500 to 1024 x 1024')
  t.equal(predictor.predictClasses(pixels)[0].label, predictor.predictClasses(digit(0))[0].label)
})

t.test('the preparation follows from the data set, the position of the images, or the setting', t => {
  const images = test.features as Uint8Array
  const size = { height: 28, width: 28, channels: 1 }
  t.ok(liesAsMnist(images, 28, 28), 'digits lie as MNIST does')
  t.notOk(liesAsMnist(images, 14, 56), 'in another shape they are something else')
  const halves = Uint8Array.from({ length: 100 * F }, (_, i) => (i % 28 < 14 === (i / F) % 2 < 1 ? 200 : 0))
  const noise = Uint8Array.from({ length: 100 * F }, (_, i) => Math.imul(i, 2_654_435_761) >>> 24)
  const blobs = Uint8Array.from({ length: 100 * F }, (_, i) =>
    Math.hypot((i % 28) - 13.5, (Math.floor(i / 28) % 28) - 13.5) < 6 ? 255 : 0,
  )
  const shifted = images.map((_, i) => (i % F < F - 84 ? images[i + 84] : 0)) // three rows up
  for (const [name, pixels] of Object.entries({ halves, noise, blobs, shifted, empty: new Uint8Array(F) })) {
    t.notOk(liesAsMnist(pixels, 28, 28), name)
    t.equal(choosePreparation('auto', 'npz', pixels, size), 'plain', name)
    t.equal(choosePreparation('mnist', 'npz', pixels, size), 'mnist', `${name}, and the experiment says so`)
  }
  t.equal(choosePreparation('auto', 'idx', images, size), 'mnist')
  t.equal(choosePreparation('plain', 'mnist', images, size), 'plain')
  t.equal(choosePreparation('auto', 'digits', null, size), 'mnist')
  t.equal(choosePreparation('auto', 'fashion-mnist', halves, size), 'fashion-mnist')
  t.equal(choosePreparation('auto', 'npz', null, size), 'plain', 'numbers')
  // Files of versions that did not write it.
  t.equal(preparationOfOldModel('mnist', 28, 28), 'mnist')
  t.equal(preparationOfOldModel('idx', 28, 28), 'mnist')
  t.equal(preparationOfOldModel('images', 28, 28), 'plain')
  t.end()
})

t.test('resize keeps the mean when it shrinks, values within bounds, and everything at the same size', async t => {
  let cases = 0
  const size = fc.integer({ min: 1, max: 17 })
  fc.assert(
    fc.property(size, size, size, size, fc.infiniteStream(fc.nat(1000)), (width, height, toWidth, toHeight, stream) => {
      const values = Float32Array.from({ length: width * height }, () => stream.next().value / 1000)
      const out = resize({ width, height, values }, toWidth, toHeight).values
      const mean = (of: Float32Array) => of.reduce((sum, value) => sum + value, 0) / of.length
      const bounded = out.every(value => value >= Math.min(...values) - 1e-6 && value <= Math.max(...values) + 1e-6)
      const shrinks = toWidth <= width && toHeight <= height
      const same = toWidth !== width || toHeight !== height || out.every((value, i) => value === values[i])
      cases++
      return (
        out.length === toWidth * toHeight && bounded && same && (!shrinks || Math.abs(mean(out) - mean(values)) < 1e-5)
      )
    }),
    { numRuns: 200 },
  )
  t.equal(cases, 200)
})
