/** JPEG of every colour coding, WebP, AVIF, TIFF and GIF, how cameras were held, and what is refused. */

import sharp from 'sharp'
import t from 'tap'
import { decodePicture } from '../../src/picture/picture.js'
import { preparePicture } from '../../src/picture/prepare.js'
import { PictureError } from '../../src/picture/raster.js'
import fc from '../helpers/fast-check.js'
import { JPEG, OTHERS } from './odd-files.js'

const COLOUR = [200, 80, 40, 255]
/** Colours that ImageMagick reads from the file without Adobe's marker: other ones. */
const PLAIN_CMYK = [31, 17, 45, 255]
/** Rec. 601 luma of the colour: 111.32. */
const GREY = [111, 111, 111, 255]

/** Four flat quarters, 48 x 32: bright, darker, darker still, black. */
const [WIDTH, HEIGHT] = [48, 32]
const LEVELS = [250, 170, 90, 10]
const original = Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => {
  const [x, y] = [i % WIDTH, Math.floor(i / WIDTH)]
  return LEVELS[(x < WIDTH / 2 ? 0 : 1) + (y < HEIGHT / 2 ? 0 : 2)]
})
const quartered = sharp(original, { raw: { width: WIDTH, height: HEIGHT, channels: 1 } })
const file = await quartered.clone().jpeg({ quality: 90 }).toBuffer()

for (const [name, bytes] of Object.entries(JPEG)) {
  t.test(`JPEG, ${name}: within 2 of the colour that it was made of`, async t => {
    const { width, height, rgba, format } = await decodePicture(name, bytes)
    t.same([format, width, height], ['JPEG', 16, 16])
    const want = name === 'grey' ? GREY : name === 'cmykPlain' ? PLAIN_CMYK : COLOUR
    const worst = rgba.reduce((most, value, i) => Math.max(most, Math.abs(value - want[i % 4])), 0)
    t.ok(worst <= 2, `largest difference ${worst}`)
  })
}

t.test('12 bits a sample, lossless, and other formats are refused by name', async t => {
  const frame = JPEG.ycc.indexOf(Buffer.from('ffc0', 'hex'))
  const changed = (...bytes: [at: number, byte: number][]) => {
    const copy = Buffer.from(JPEG.ycc)
    for (const [at, byte] of bytes) copy[at] = byte
    return copy
  }
  for (const [name, bytes, message] of [
    ['12', changed([frame + 1, 0xc1], [frame + 4, 12]), /the JPEG picture cannot be decoded: .*precision 12/],
    ['lossless', changed([frame + 1, 0xc3]), /the JPEG picture cannot be decoded/],
    ['bmp', OTHERS.bmp, /is a BMP file, expected a picture: PNG, JPEG, GIF, WebP, AVIF, TIFF/],
    ['heic', OTHERS.heic, /is a HEIC file/],
    ['svg', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), /is a SVG file/],
  ] as const)
    await t.rejects(decodePicture(name, bytes), { name: 'PictureError', message }, name)
})

/** An uncompressed TIFF of 2 x 1 pixels, little-endian. */
function tiff(bits: number, photometric: number, samples: readonly number[], format = 1): Buffer {
  const bytes = Buffer.alloc((samples.length * bits) / 8)
  for (const [i, sample] of samples.entries()) {
    if (bits === 32) bytes.writeFloatLE(sample, 4 * i)
    else bytes.writeUIntLE(sample, (i * bits) / 8, bits / 8)
  }
  const channels = samples.length / 2
  const entries: [tag: number, type: number, count: number, value: number][] = [
    [256, 3, 1, 2],
    [257, 3, 1, 1],
    [258, 3, 1, bits],
    [259, 3, 1, 1],
    [262, 3, 1, photometric],
    [273, 4, 1, 8],
    [277, 3, 1, channels],
    [278, 3, 1, 1],
    [279, 4, 1, bytes.length],
    [339, 3, 1, format],
  ]
  const start = 8 + bytes.length + (bytes.length % 2)
  const file = Buffer.alloc(start + 2 + 12 * entries.length + 4)
  file.write('II*\0', 'latin1')
  file.writeUInt32LE(start, 4)
  file.set(bytes, 8)
  file.writeUInt16LE(entries.length, start)
  for (const [i, [tag, type, count, value]] of entries.entries()) {
    file.writeUInt16LE(tag, start + 2 + 12 * i)
    file.writeUInt16LE(type, start + 4 + 12 * i)
    file.writeUInt32LE(count, start + 6 + 12 * i)
    file.writeUInt32LE(value, start + 10 + 12 * i)
  }
  return file
}

t.test('TIFF of 8 and 16 bits: both grey scales, RGB, CMYK; TIFF of floats is refused', async t => {
  const wide = (levels: readonly number[]) => levels.map(level => level * 257)
  for (const [name, photometric, levels, want] of [
    ['0 is black', 1, [7, 200], [7, 7, 7, 255, 200, 200, 200, 255]],
    ['0 is white', 0, [7, 200], [248, 248, 248, 255, 55, 55, 55, 255]],
    ['RGB', 2, [1, 2, 3, 200, 80, 40], [1, 2, 3, 255, 200, 80, 40, 255]],
    ['CMYK', 5, [0, 0, 0, 0, 55, 175, 215, 0], [255, 255, 255, 255, 200, 80, 40, 255]],
  ] as const) {
    t.same([...(await decodePicture(name, tiff(8, photometric, levels))).rgba], want, `${name}, 8 bits`)
    t.same([...(await decodePicture(name, tiff(16, photometric, wide(levels)))).rgba], want, `${name}, 16 bits`)
  }
  await t.rejects(decodePicture('x.tif', tiff(32, 1, [0.1, 0.7], 3)), {
    name: 'PictureError',
    message: /x\.tif: the TIFF picture has float samples .*expected grey, RGB or CMYK of 8 or 16 bits/,
  })
})

t.test('WebP, AVIF and GIF are read; of an animation the first frame', async t => {
  const raw = { raw: { width: 16, height: 16, channels: 4 } } as const
  const flat = (colour: readonly number[]) => Uint8Array.from({ length: 1024 }, (_, i) => colour[i % 4])
  const image = sharp(flat(COLOUR), raw)
  const blue = sharp(flat([0, 0, 255, 255]), raw)
  const frames = await Promise.all([image, blue].map(frame => frame.clone().png().toBuffer()))
  const animation = sharp(frames, { join: { animated: true } })
  const files: [name: string, format: string, bytes: Buffer][] = [
    ['webp', 'WebP', await image.clone().webp({ lossless: true }).toBuffer()],
    ['gif', 'GIF', await image.clone().gif().toBuffer()],
    ['avif', 'AVIF', OTHERS.avif],
    ['animated GIF', 'GIF', await animation.clone().gif().toBuffer()],
    ['animated WebP', 'WebP', await animation.clone().webp({ lossless: true }).toBuffer()],
  ]
  for (const [name, format, bytes] of files) {
    const picture = await decodePicture(name, bytes)
    t.match(picture, { format, width: 16, height: 16 })
    t.ok(
      [...picture.rgba.subarray(0, 4)].every((value, c) => Math.abs(value - COLOUR[c]) <= 2),
      `${name}: ${picture.rgba.subarray(0, 4)}`,
    )
  }
})

/** The file with an EXIF segment of one tag, in either byte order. */
function withOrientation(orientation: number, order: 'II' | 'MM'): Buffer {
  const exif = Buffer.alloc(36)
  const [u16, u32] =
    order === 'II'
      ? [exif.writeUInt16LE.bind(exif), exif.writeUInt32LE.bind(exif)]
      : [exif.writeUInt16BE.bind(exif), exif.writeUInt32BE.bind(exif)]
  exif.writeUInt16BE(0xffe1)
  exif.writeUInt16BE(34, 2)
  exif.write('Exif\0\0', 4, 'latin1')
  exif.write(order, 10, 'latin1')
  u16(42, 12)
  u32(8, 14)
  u16(1, 18)
  u16(0x0112, 20)
  u16(3, 22)
  u32(1, 24)
  u16(orientation, 28)
  return Buffer.concat([file.subarray(0, 2), exif, file.subarray(2)])
}

/** Levels in the middles of the four quarters. */
function quarters({ width, height, rgba }: { width: number; height: number; rgba: Uint8Array }): number[] {
  const nearest = (value: number) => LEVELS.reduce((a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a))
  return [0.25, 0.75].flatMap(y =>
    [0.25, 0.75].map(x => nearest(rgba[4 * (Math.floor(y * height) * width + Math.floor(x * width))])),
  )
}

t.test('pictures are upright for every EXIF orientation, also when they are resized', async t => {
  const [a, b, c, d] = LEVELS
  const upright: Record<number, number[]> = {
    1: [a, b, c, d],
    2: [b, a, d, c],
    3: [d, c, b, a],
    4: [c, d, a, b],
    5: [a, c, b, d],
    6: [c, a, d, b],
    7: [d, b, c, a],
    8: [b, d, a, c],
    9: [a, b, c, d], // there is no such orientation
  }
  for (const order of ['II', 'MM'] as const) {
    for (const [orientation, levels] of Object.entries(upright)) {
      const bytes = withOrientation(Number(orientation), order)
      const picture = await decodePicture('x.jpg', bytes)
      const onItsSide = Number(orientation) > 4 && Number(orientation) < 9
      t.same([picture.width, picture.height], onItsSide ? [HEIGHT, WIDTH] : [WIDTH, HEIGHT])
      t.same(quarters(picture), levels, `orientation ${orientation} ${order}`)
      const small = await decodePicture('x.jpg', bytes, { size: { width: 6, height: 10 } })
      t.same([small.width, small.height, quarters(small)], [6, 10, levels], `orientation ${orientation}, smaller`)
      t.match(small.original, { width: picture.width, height: picture.height })
    }
  }
  // Other formats say the same in their own ways.
  for (const format of ['png', 'webp', 'tiff'] as const) {
    const bytes = await quartered.clone().withMetadata({ orientation: 6 }).toFormat(format).toBuffer()
    t.same(quarters(await decodePicture(format, bytes)), upright[6], format)
  }
})

t.test('the same pixels with any number of threads and without SIMD', async t => {
  const noise = Uint8Array.from({ length: 300 * 200 * 3 }, (_, i) => (Math.imul(i, 2_654_435_761) >>> 24) & 255)
  const bytes = await sharp(noise, { raw: { width: 300, height: 200, channels: 3 } })
    .jpeg()
    .toBuffer()
  const read = async () =>
    Buffer.from(
      (await preparePicture('x', bytes, { height: 21, width: 33, channels: 1, preparation: 'plain', background: null }))
        .pixels,
    ).toString('hex')
  const want = await read()
  const threads = sharp.concurrency()
  t.teardown(() => {
    sharp.concurrency(threads)
    sharp.simd(true)
  })
  for (const count of [1, 2, 5]) {
    for (const simd of [false, true]) {
      sharp.concurrency(count)
      sharp.simd(simd)
      t.equal(await read(), want, `${count} threads, SIMD ${simd}`)
    }
  }
})

t.test('hostile and damaged files are refused', async t => {
  const frame = file.indexOf(Buffer.from('ffc0', 'hex'))
  const scan = file.indexOf(Buffer.from('ffda', 'hex'))
  const changed = (at: number, ...bytes: number[]) => {
    const copy = Buffer.from(file)
    copy.set(bytes, at)
    return copy
  }
  const cannot = /the JPEG picture cannot be decoded/
  const cases: [name: string, file: Buffer, message: RegExp][] = [
    [
      'huge',
      changed(frame + 5, 0xff, 0xff, 0xff, 0xff),
      /size is 65535 x 65535 pixels, expected 1 x 1 to 64 megapixels|cannot be decoded/,
    ],
    ['empty', changed(frame + 5, 0, 0, 0, 0), cannot],
    ['no frame', Buffer.concat([file.subarray(0, 2), file.subarray(scan)]), cannot],
    ['half', file.subarray(0, file.length / 2), cannot],
    ['head', file.subarray(0, 2), cannot],
    ['marker', changed(2, 0, 0), cannot],
  ]
  for (const [name, bytes, message] of cases)
    await t.rejects(decodePicture(name, bytes), { name: 'PictureError', message }, name)
  await t.rejects(decodePicture('x', file, { mostPixels: 1000 }), {
    message: /size is 48 x 32 pixels, expected 1 x 1 to 0/,
  })
})

t.test('any bytes changed: a picture or a PictureError, in 300 cases, never a crash', async t => {
  let cases = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 2, max: file.length - 3 }), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      async changes => {
        const damaged = Buffer.from(file)
        for (const [at, value] of changes) damaged[at] = value
        cases++
        await decodePicture('x', damaged).catch(error => {
          if (!(error instanceof PictureError)) throw error
        })
      },
    ),
    { numRuns: 300, seed: 7 },
  )
  t.equal(cases, 300)
})
