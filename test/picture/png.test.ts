import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { createDeflate, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { encode } from 'fast-png'
import t from 'tap'
import { decodePicture, PictureError } from '../../src/picture/picture.js'
import { decodePng, encodePng } from '../../src/picture/png.js'
import { END, header, idat, pngOf } from './png-files.js'

t.test('what is written is read back, to the byte', async t => {
  let cases = 0
  const sizes = fc.record({ width: fc.integer({ min: 1, max: 20 }), height: fc.integer({ min: 1, max: 20 }) })
  fc.assert(
    fc.property(sizes, fc.infiniteStream(fc.nat(255)), ({ width, height }, stream) => {
      const rgb = Uint8Array.from({ length: width * height * 3 }, () => stream.next().value)
      const picture = decodePng('x.png', encodePng(width, height, rgb))
      cases++
      return (
        picture.width === width &&
        picture.height === height &&
        picture.rgba.every((value, i) => value === (i % 4 === 3 ? 255 : rgb[Math.floor(i / 4) * 3 + (i % 4)]))
      )
    }),
  )
  t.equal(cases, 100)
})

t.test('grey, colour, alpha, 1 to 16 bits, palettes and transparent colours become RGBA', async t => {
  const black = [0, 0, 0, 255]
  const white = [255, 255, 255, 255]
  const cases: [name: string, file: Uint8Array, rgba: number[][]][] = [
    [
      '1 bit, 3 x 2',
      pngOf([header(3, 2, 1, 0), idat([[0b10100000], [0b01000000]]), END]),
      [white, black, white, black, white, black],
    ],
    ['2 bits', pngOf([header(3, 1, 2, 0), idat([[0b00011100]]), END]), [black, [85, 85, 85, 255], white]],
    ['4 bits', pngOf([header(2, 1, 4, 0), idat([[0x0f]]), END]), [black, white]],
    ['16 bits', pngOf([header(1, 1, 16, 0), idat([[0x80, 0x00]]), END]), [[128, 128, 128, 255]]],
    ['grey and alpha', pngOf([header(1, 1, 8, 4), idat([[9, 77]]), END]), [[9, 9, 9, 77]]],
    ['colour', pngOf([header(1, 1, 8, 2), idat([[1, 2, 3]]), END]), [[1, 2, 3, 255]]],
    ['colour and alpha', pngOf([header(1, 1, 8, 6), idat([[1, 2, 3, 4]]), END]), [[1, 2, 3, 4]]],
    [
      '16 bits, colour and alpha',
      pngOf([header(1, 1, 16, 6), idat([[255, 255, 0, 0, 128, 0, 0, 0]]), END]),
      [[255, 0, 128, 0]],
    ],
    [
      'a transparent grey',
      pngOf([header(2, 1, 8, 0), ['tRNS', Uint8Array.of(0, 5)], idat([[5, 6]]), END]),
      [
        [5, 5, 5, 0],
        [6, 6, 6, 255],
      ],
    ],
    [
      'a palette of 2 bits, its first colour transparent',
      pngOf([
        header(3, 1, 2, 3),
        ['PLTE', Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)],
        ['tRNS', Uint8Array.of(0)],
        idat([[0b00011000]]),
        END,
      ]),
      [
        [1, 2, 3, 0],
        [4, 5, 6, 255],
        [7, 8, 9, 255],
      ],
    ],
    [
      'interlaced, as fast-png writes it',
      encode(
        { width: 3, height: 3, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9), channels: 1 },
        { interlace: 'Adam7' },
      ),
      [1, 2, 3, 4, 5, 6, 7, 8, 9].map(value => [value, value, value, 255]),
    ],
  ]
  for (const [name, file, rgba] of cases) t.same([...(await decodePicture(name, file)).rgba], rgba.flat(), name)
})

t.test('truncated anywhere, or with any byte changed, it is refused or says the same: never a crash', async t => {
  const whole = Buffer.from(
    encodePng(
      9,
      7,
      Uint8Array.from({ length: 189 }, (_, i) => i),
    ),
  )
  const rgba = Buffer.from(decodePng('x', whole).rgba)
  for (let length = 0; length < whole.length; length++) {
    try {
      decodePng('x', whole.subarray(0, length))
      t.fail(`${length} of ${whole.length} bytes were accepted`)
    } catch (error) {
      if (!(error instanceof PictureError)) throw error
    }
  }
  let refused = 0
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole)
    damaged[at] ^= 0x10
    try {
      if (!rgba.equals(decodePng('x', damaged).rgba)) t.fail(`byte ${at} changed the picture, unnoticed`)
    } catch (error) {
      if (!(error instanceof PictureError)) throw error
      refused++
    }
  }
  t.equal(refused, whole.length)
})

t.test('hostile files are refused before anything is allocated for them', async t => {
  const bomb = await bombOf(300)
  const before = process.resourceUsage().maxRSS
  const cases: [name: string, file: Uint8Array, message: RegExp][] = [
    [
      'huge',
      pngOf([header(2 ** 31 - 1, 2 ** 31 - 1, 8, 6), idat([[0]]), END]),
      /huge: size is 2147483647 x 2147483647 pixels, expected 1 x 1 to 64 megapixels/,
    ],
    ['just too large', pngOf([header(8001, 8000, 8, 0), idat([[0]]), END]), /size is 8001 x 8000/],
    ['empty', pngOf([header(0, 5, 8, 0), idat([]), END]), /size is 0 x 5/],
    [
      'bomb',
      pngOf([header(2, 2, 8, 0), ['IDAT', bomb], END]),
      /bomb: image data are more than 6 bytes, expected 6 for 2 x 2/,
    ],
    ['short', pngOf([header(9, 9, 8, 0), idat([[1, 2]]), END]), /image data are 3 bytes, expected 90/],
    ['no data', pngOf([header(9, 9, 8, 0), END]), /image data are damaged/],
    ['gzip', pngOf([header(1, 1, 8, 0), ['IDAT', gzipSync(Uint8Array.of(0, 1))], END]), /image data are damaged/],
    ['no header', pngOf([idat([[1]]), END]), /first chunk is IDAT of \d+ bytes, expected IHDR of 13/],
    ['depth', pngOf([header(1, 1, 3, 0), idat([[1]]), END]), /are 3, 0, 0, 0, 0, expected a combination/],
    ['adam', pngOf([header(1, 1, 4, 0, 1), idat([[1]]), END]), /interlaced with 4 bits/],
    [
      'palette',
      pngOf([header(1, 1, 8, 3), ['PLTE', Uint8Array.of(1, 2, 3)], idat([[7]]), END]),
      /pixel \(0, 0\) has colour 7, expected one of 1/,
    ],
    ['no palette', pngOf([header(1, 1, 8, 3), idat([[7]]), END]), /has colour 7, expected one of 0/],
    [
      'long chunk',
      Buffer.concat([pngOf([header(1, 1, 8, 0)]), Buffer.from('ffffffff49444154', 'hex'), Buffer.alloc(40)]),
      /it is truncated/,
    ],
    ['text', Buffer.from('hello there'), /begins with 68656c6c6f207468, expected a PNG/],
    ['nothing', Buffer.alloc(0), /begins with nothing: it is empty/],
  ]
  for (const [name, file, message] of cases)
    await t.rejects(decodePicture(name, file), { name: 'PictureError', message }, name)
  // A profile that inflates to 300 MB is not even looked at.
  const profile = Buffer.concat([Buffer.from('x\0\0'), bomb])
  const picture = decodePng('p', pngOf([header(1, 1, 8, 0), ['iCCP', profile], idat([[5]]), END]))
  t.same([...picture.rgba], [5, 5, 5, 255])

  const grownKb = process.resourceUsage().maxRSS - before
  t.ok(grownKb < 150_000, `the process grew by ${grownKb} kB, expected less than 150,000`)
})

/** So many MB of zeros, deflated without ever holding them. */
async function bombOf(megabytes: number): Promise<Buffer> {
  const deflate = createDeflate()
  Readable.from(new Array<Buffer>(megabytes).fill(Buffer.alloc(1e6))).pipe(deflate)
  return buffer(deflate)
}
