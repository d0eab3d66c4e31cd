/** Augmentation: the WASM kernels against their twin in the reference, bit for bit, and what the transforms do. */
import t from 'tap'
import { type Augmentation, gaussianWeights, transforms } from '../../src/augment/transform.js'
import type { Backend } from '../../src/kernels/backend.js'
import { reference } from '../../src/kernels/reference/index.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import { createArena, Reservations, viewSlot } from '../../src/tensor/arena.js'
import { inputSize } from '../../src/tensor/input-shape.js'
import { Purpose, philox } from '../../src/tensor/random.js'

const NONE: Augmentation = {
  ...{ height: 28, width: 28, channels: 1, shift: 0, rotate: 0, scale: 0, shear: 0, flip: 0, noise: 0, perClass: null },
  ...{ elastic: { alpha: 0, sigma: 5 }, erase: { probability: 0, area: 0.2, fill: 'zero' }, plainEpochs: 0 },
  ...{ crop: 0, cutout: 0, mixup: 0, brightness: 0, contrast: 0, saturation: 0 },
}
const EVERYTHING: Augmentation = {
  ...NONE,
  ...{ shift: 2.5, rotate: 20, scale: 0.2, shear: 0.3, flip: 0.5, noise: 0.1, perClass: [1, 0.3] },
  ...{ elastic: { alpha: 40, sigma: 4 }, erase: { probability: 0.5, area: 0.3, fill: 'random' } },
}
const COLOURED: Augmentation = {
  ...EVERYTHING,
  ...{ channels: 3, height: 11, width: 13, crop: 3, cutout: 5, brightness: 0.3, contrast: 0.5, saturation: 0.8 },
}
const IMAGES = 9

/** All images of a set, changed: (rows, height · width · channels), one epoch. The set is noise, the classes 0 and 1 in turn. */
async function changed(
  backend: Backend,
  augmentation: Augmentation,
  { rows = 6, row = 0, seed = 3, epoch = 2, of = null as readonly Uint8Array[] | null } = {},
): Promise<{ all: Uint8Array[]; before: Uint8Array[]; after: Uint8Array[]; rest: Uint8Array }> {
  const features = inputSize(augmentation)
  const at = new Reservations()
  const slots = {
    scratch: at.reserve('scratch', 'uint8', [backend.scratchBytes(16, 16, augmentation)]),
    guard: at.reserve('guard', 'uint8', [64]),
    images: at.reserve('images', 'uint8', [IMAGES, features]),
    labels: at.reserve('labels', 'int32', [IMAGES]),
    samples: at.reserve('samples', 'int32', [row + rows]),
    out: at.reserve('out', 'uint8', [row + rows + 1, features]),
  }
  const memory = createArena(at.bytes)
  const images = viewSlot(memory, slots.images)
  const labels = viewSlot(memory, slots.labels)
  const samples = viewSlot(memory, slots.samples)
  const out = viewSlot(memory, slots.out)
  const guard = viewSlot(memory, slots.guard)
  guard.data.fill(7)
  const words = new Uint32Array(4)
  for (let i = 0; i < images.data.length; i++) {
    if (i % 4 === 0) philox(words, i, 0, 0, 0, 1, Purpose.examples)
    images.data[i] = words[i % 4] & 255
  }
  for (const [i, image] of (of ?? []).entries()) images.data.set(image, i * features)
  for (let i = 0; i < IMAGES; i++) labels.data[i] = i % 2
  for (let r = 0; r < row + rows; r++) samples.data[r] = (r * 4 + 1) % IMAGES
  const module = await backend.compile()
  const scratchByteOffset = slots.scratch.byteOffset
  const kernels = backend.instantiate({ memory, module, scratchByteOffset, native: null })
  kernels.augment({
    out: out.hi(row + rows),
    images,
    labels,
    samples,
    seed,
    augmentation,
  })(row, rows, epoch)
  const imageAt = (data: Uint8Array, index: number) => data.slice(index * features, (index + 1) * features)
  return {
    all: Array.from({ length: IMAGES }, (_, index) => imageAt(images.data, index)),
    before: Array.from({ length: rows }, (_, r) => imageAt(images.data, samples.data[row + r])),
    after: Array.from({ length: rows }, (_, r) => imageAt(out.data, row + r)),
    rest: Uint8Array.from([
      ...imageAt(out.data, row + rows),
      ...out.data.slice(0, row * features),
      ...guard.data.map(x => x - 7),
    ]),
  }
}

t.test('wasm changes images as the reference does, bit for bit, and writes nothing else', async t => {
  const specs: Augmentation[] = [
    NONE,
    EVERYTHING,
    { ...EVERYTHING, height: 8, width: 8 },
    { ...EVERYTHING, height: 5, width: 7, elastic: { alpha: 9, sigma: 0.7 } },
    { ...EVERYTHING, height: 1, width: 1 },
    { ...EVERYTHING, height: 3, width: 33, elastic: { alpha: 100, sigma: 12 }, noise: 0 },
    { ...EVERYTHING, height: 31, width: 2, rotate: 180, scale: 0.9, shift: 40 },
    { ...NONE, noise: 1 },
    { ...NONE, elastic: { alpha: 60, sigma: 3 } },
    { ...NONE, erase: { probability: 1, area: 1, fill: 'zero' } },
    COLOURED,
    ...[1, 2, 3, 4, 5, 7, 8, 9, 16, 17].map((width, i) => ({ ...COLOURED, width, height: 1 + ((i * 5) % 9) })),
    ...(['brightness', 'contrast', 'saturation'] as const).map(key => ({ ...NONE, channels: 3, width: 9, [key]: 1 })),
    { ...EVERYTHING, brightness: 0.4, contrast: 0.4, crop: 2, cutout: 9 },
    { ...NONE, channels: 3, noise: 0.3, erase: { probability: 1, area: 0.5, fill: 'random' } },
  ]
  t.equal(specs.length, 26)
  for (const [n, spec] of specs.entries()) {
    const options = { row: n % 3, epoch: n, seed: 2 ** 40 + n }
    const { after: want } = await changed(reference, spec, options)
    const { after: got, rest } = await changed(wasm, spec, options)
    t.same(got, want, JSON.stringify(spec))
    t.equal(Math.max(...rest), 0, 'nothing else')
  }
})

t.test('no change leaves images as they are, a flip of 1 mirrors them', async t => {
  const plain = await changed(wasm, NONE)
  t.same(plain.after, plain.before)
  const { before, after } = await changed(wasm, { ...NONE, flip: 1 })
  const mirrored = before.map(image => image.map((_, i) => image[i - (i % 28) + 27 - (i % 28)]))
  t.same(after, mirrored)
})

/** Channel `c` of images of three. */
const channelOf = (images: readonly Uint8Array[], c: number) => images.map(image => image.filter((_, i) => i % 3 === c))

t.test('the channels of a picture move together: each is what a grey image of its numbers becomes', async t => {
  const moves = { ...EVERYTHING, noise: 0, crop: 2, cutout: 4, erase: { ...EVERYTHING.erase, fill: 'zero' } } as const
  const coloured = await changed(wasm, { ...moves, channels: 3, width: 20 })
  for (const c of [0, 1, 2]) {
    const grey = await changed(wasm, { ...moves, width: 20 }, { of: channelOf(coloured.all, c) })
    t.same(channelOf(coloured.after, c), grey.after, `channel ${c}`)
  }
})

t.test('a crop moves images by whole pixels within its limit, a cutout blackens one square', async t => {
  const { before, after } = await changed(wasm, { ...NONE, crop: 3 })
  const moves = after.map((image, i) => {
    const fits: string[] = []
    for (let dy = -3; dy <= 3; dy++) {
      for (let dx = -3; dx <= 3; dx++) {
        const at = (x: number, y: number) => (x < 0 || y < 0 || x > 27 || y > 27 ? 0 : before[i][y * 28 + x])
        if (image.every((pixel, k) => pixel === at((k % 28) - dx, Math.floor(k / 28) - dy))) fits.push(`${dx},${dy}`)
      }
    }
    return fits
  })
  t.ok(
    moves.every(fits => fits.length === 1),
    'each is one whole move',
  )
  t.ok(new Set(moves.flat()).size > 3, String(moves))
  const cut = draws({ cutout: 7 }).map(({ cut }) => cut)
  t.ok(cut.every(({ left, right, top, bottom }) => left >= 0 && top >= 0 && right <= 28 && bottom <= 28))
  t.ok(
    cut.every(({ left, right, top, bottom }) => right - left <= 7 && bottom - top <= 7 && right > left && bottom > top),
  )
  const whole = cut.filter(({ left, right }) => right - left === 7).map(({ left }) => left)
  t.ok(within(whole, 0, 21), 'everywhere')
  const black = await changed(wasm, { ...NONE, cutout: 7 })
  for (const [i, image] of black.after.entries()) {
    const wrong = image.filter((pixel, k) => pixel !== 0 && pixel !== black.before[i][k]).length
    t.equal(wrong, 0, 'what is not cut out stays')
  }
})

t.test('brightness, contrast and saturation change as their factors say', async t => {
  const spec = { ...NONE, channels: 3, width: 12, height: 12 }
  for (const key of ['brightness', 'contrast', 'saturation'] as const) {
    const factors = draws({ ...spec, [key]: 0.4 }).map(({ colour }) => colour)
    t.ok(
      within(
        factors.map(colour => colour[key]),
        0.6,
        1.4,
      ),
      key,
    )
    t.ok(
      factors.every(colour =>
        ['brightness', 'contrast', 'saturation'].every(other => other === key || colour[other as 'contrast'] === 1),
      ),
    )
  }
  const lumas = (image: Uint8Array) =>
    Array.from(
      { length: image.length / 3 },
      (_, i) => 0.299 * image[3 * i] + 0.587 * image[3 * i + 1] + 0.114 * image[3 * i + 2],
    )
  const { before, after } = await changed(wasm, { ...spec, saturation: 0.3 })
  for (const [i, image] of after.entries()) {
    const [was, is] = [lumas(before[i]), lumas(image)]
    const kept = is.filter(
      (luma, k) => image.slice(3 * k, 3 * k + 3).some(v => v === 0 || v === 255) || Math.abs(luma - was[k]) < 1,
    )
    t.equal(kept.length, is.length, 'saturation keeps the luma')
  }
})

t.test('changes depend on seed, epoch and image alone', async t => {
  const one = (await changed(wasm, EVERYTHING)).after
  const all = Buffer.concat(one)
  t.same((await changed(wasm, EVERYTHING, { rows: 3 })).after, one.slice(0, 3), 'not on the rows of the call')
  t.same((await changed(wasm, EVERYTHING, { row: 2, rows: 4 })).after, one.slice(2), 'not on where they begin')
  t.not(Buffer.concat((await changed(wasm, EVERYTHING, { epoch: 3 })).after).compare(all), 0)
  t.not(Buffer.concat((await changed(wasm, EVERYTHING, { seed: 4 })).after).compare(all), 0)
})

/** Draws this many transforms, with their effect on the image's centre and axes. */
function draws(settings: Partial<Augmentation>, label = 0) {
  const transformOf = transforms({ ...NONE, ...settings }, 5)
  return Array.from({ length: 2000 }, (_, image) => {
    const { matrix, erased, cut, colour } = transformOf(image, 1, label)
    return { m: [...matrix], erased: { ...erased }, cut: { ...cut }, colour: { ...colour } }
  })
}
const within = (values: readonly number[], least: number, most: number) => {
  const sorted = [...values].sort((a, b) => a - b)
  const slack = (most - least) * 0.01
  const fills = sorted[0] < least + 2 * slack && sorted.at(-1)! > most - 2 * slack
  return fills && sorted[0] >= least - 1e-5 && sorted.at(-1)! <= most + 1e-5
}

t.test('parameters reach the limits and never exceed them', async t => {
  const degrees = draws({ rotate: 30 }).map(({ m }) => (Math.atan2(m[1], m[0]) * 180) / Math.PI)
  t.ok(within(degrees, -30, 30), 'rotation')
  const halved = draws({ rotate: 30, perClass: [0.5] }).map(({ m }) => (Math.atan2(m[1], m[0]) * 180) / Math.PI)
  t.ok(within(halved, -15, 15), 'rotation of a class with factor 0.5')
  const moved = draws({ shift: 3 })
  for (const entry of [2, 5])
    t.ok(
      within(
        moved.map(({ m }) => m[entry]),
        -3,
        3,
      ),
      `shift, ${entry}`,
    )
  const zoomed = draws({ scale: 0.25 })
  for (const entry of [0, 4])
    t.ok(
      within(
        zoomed.map(({ m }) => 1 / m[entry]),
        0.75,
        1.25,
      ),
      `scale, ${entry}`,
    )
  t.ok(
    within(
      draws({ shear: 0.4 }).map(({ m }) => m[1]),
      -0.4,
      0.4,
    ),
    'shear',
  )
  const centre = draws({ rotate: 90, scale: 0.3, shear: 0.5 }).map(({ m }) => [
    m[0] * 13.5 + m[1] * 13.5 + m[2],
    m[3] * 13.5 + m[4] * 13.5 + m[5],
  ])
  t.ok(
    centre.flat().every(at => Math.abs(at - 13.5) < 1e-4),
    'the centre stays',
  )
  const flipped = draws({ flip: 0.3 }).filter(({ m }) => m[0] < 0).length
  t.ok(Math.abs(flipped / 2000 - 0.3) < 0.04, `flips ${flipped}`)
})

t.test('erased rectangles lie inside and keep to their area', async t => {
  const rectangles = draws({ erase: { probability: 0.5, area: 0.25, fill: 'zero' } }).map(({ erased }) => erased)
  const there = rectangles.filter(({ right }) => right > 0)
  t.ok(Math.abs(there.length / 2000 - 0.5) < 0.04)
  for (const { left, right, top, bottom } of there) {
    const area = (right - left) * (bottom - top)
    if (left < 0 || top < 0 || right > 28 || bottom > 28 || area < 1 || area > 0.25 * 784 * 1.15) {
      t.fail(`${left}..${right} x ${top}..${bottom}`)
    }
  }
  const { before, after } = await changed(wasm, { ...NONE, erase: { probability: 1, area: 0.2, fill: 'zero' } })
  for (const [i, image] of after.entries()) {
    const wrong = image.filter((pixel, at) => pixel !== 0 && pixel !== before[i][at])
    t.equal(wrong.length, 0, 'what is not erased stays')
    t.not(image.filter(pixel => pixel === 0).length, before[i].filter(pixel => pixel === 0).length)
  }
})

t.test('noise has the requested standard deviation, the Gaussian kernel the sum 1', async t => {
  const flat = { ...NONE, height: 40, width: 40, noise: 0.05 }
  const { before, after } = await changed(wasm, flat)
  const differences = after
    .flatMap((image, i) => [...image].map((pixel, at) => ({ pixel, was: before[i][at] })))
    .filter(({ was }) => was > 70 && was < 185)
    .map(({ pixel, was }) => pixel - was)
  const mean = differences.reduce((sum, d) => sum + d, 0) / differences.length
  const deviation = Math.sqrt(differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / differences.length)
  t.ok(Math.abs(mean) < 1, `mean ${mean}`)
  t.ok(Math.abs(deviation / (0.05 * 255) - 1) < 0.05, `deviation ${deviation}`)

  const weights = gaussianWeights({ ...NONE, elastic: { alpha: 1, sigma: 2 } })
  t.equal(weights.length, 13)
  t.ok(Math.abs(weights.reduce((sum, weight) => sum + weight, 0) - 1) < 1e-6)
})
