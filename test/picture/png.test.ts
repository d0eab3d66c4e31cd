/** PNG: every kind against its raw numbers, damage, and files that are made to harm. */
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { createDeflate, gzipSync } from 'node:zlib'
import t from 'tap'
import { decodePicture } from '../../src/picture/picture.js'
import { encodePng } from '../../src/picture/png.js'
import { PictureError } from '../../src/picture/raster.js'
import { decodePng } from '../helpers/pixels.js'
import { type Chunk, END, header, idat, idatOf, type PngKind, pngOf } from './png-files.js'

t.test('PNG files have the expected bytes and are read back by two readers', async t => {
  const [width, height] = [17, 9]
  const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 256)
  const file = encodePng(width, height, rgb)
  const want = Array.from({ length: width * height * 4 }, (_, i) =>
    i % 4 === 3 ? 255 : rgb[Math.floor(i / 4) * 3 + (i % 4)],
  )
  t.same([...decodePng('x', file).rgba], want)
  t.same([...(await decodePicture('x', file)).rgba], want)
})

/** Depths that a colour type may have. */
const DEPTHS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
}
const COLOURS = ['grey', '', 'RGB', 'palette', 'grey and alpha', '', 'RGB and alpha']
const PALETTE = Uint8Array.from({ length: 256 * 3 }, (_, i) => (i * 91 + 13) % 256)
const PALETTE_ALPHA = Uint8Array.from({ length: 256 }, (_, i) => 255 - i)

/** RGBA as the specification has it, of samples of one pixel. */
function rgbaOf({ colourType, depth }: PngKind, samples: readonly number[]): number[] {
  const level = (sample: number) => (sample * 255) / (2 ** depth - 1)
  if (colourType === 3) {
    const [index] = samples
    return [...PALETTE.subarray(index * 3, index * 3 + 3), PALETTE_ALPHA[index]]
  }
  const colours = colourType === 2 || colourType === 6 ? samples.slice(0, 3) : [samples[0], samples[0], samples[0]]
  return [...colours.map(level), colourType > 3 ? level(samples.at(-1)!) : 255]
}

let kinds = 0
for (const [colour, depths] of Object.entries(DEPTHS)) {
  for (const depth of depths) {
    for (const interlaced of [false, true]) {
      kinds++
      const kind: PngKind = { width: 13, height: 11, depth, colourType: Number(colour), interlaced }
      const name = `${COLOURS[kind.colourType]}, ${depth} bits${interlaced ? ', interlaced' : ''}`
      t.test(`${name}: within 1 of the raw numbers`, async t => {
        const sample = (x: number, y: number, c: number) => (x * 7919 + y * 104_729 + c * 31_337 + x * y) % 2 ** depth
        const colours: Chunk[] =
          kind.colourType === 3
            ? [
                ['PLTE', PALETTE.subarray(0, 3 * 2 ** depth)],
                ['tRNS', PALETTE_ALPHA.subarray(0, 2 ** depth)],
              ]
            : []
        const { width, height } = kind
        const bytes = pngOf([
          header(width, height, depth, kind.colourType, interlaced ? 1 : 0),
          ...colours,
          idatOf(kind, sample),
          END,
        ])
        const picture = await decodePicture(name, bytes)
        t.match(picture, { format: 'PNG', width, height })
        let worst = 0
        for (let i = 0; i < width * height; i++) {
          const [x, y] = [i % width, Math.floor(i / width)]
          const want = rgbaOf(
            kind,
            [0, 1, 2, 3].slice(0, [1, 0, 3, 1, 2, 0, 4][kind.colourType]).map(c => sample(x, y, c)),
          )
          for (const [c, level] of want.entries()) worst = Math.max(worst, Math.abs(picture.rgba[4 * i + c] - level))
        }
        t.ok(worst <= (depth === 16 ? 1 : 1e-9), `largest difference ${worst}`)
      })
    }
  }
}
t.equal(kinds, 30)

t.test('one colour that is transparent, and a palette whose first colour is', async t => {
  const grey = pngOf([header(2, 1, 8, 0), ['tRNS', Uint8Array.of(0, 5)], idat([[5, 6]]), END])
  t.same([...(await decodePicture('grey', grey)).rgba], [5, 5, 5, 0, 6, 6, 6, 255])
  const palette = pngOf([
    header(3, 1, 2, 3),
    ['PLTE', Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)],
    ['tRNS', Uint8Array.of(0)],
    idat([[0b00011000]]),
    END,
  ])
  t.same([...(await decodePicture('palette', palette)).rgba], [1, 2, 3, 0, 4, 5, 6, 255, 7, 8, 9, 255])
})

t.test('a PNG that is truncated or has a changed byte is refused or gives the same picture, never a crash', async t => {
  const whole = Buffer.from(
    encodePng(
      9,
      7,
      Uint8Array.from({ length: 189 }, (_, i) => i),
    ),
  )
  const rgba = Buffer.from((await decodePicture('x', whole)).rgba)
  const read = (bytes: Uint8Array) =>
    decodePicture('x', bytes).then(
      picture => Buffer.from(picture.rgba),
      error => {
        if (!(error instanceof PictureError)) throw error
        return null
      },
    )
  let refused = 0
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole)
    damaged[at] ^= 0x10
    for (const [what, bytes] of [
      [`cut at ${at}`, whole.subarray(0, at)],
      [`byte ${at} changed`, damaged],
    ] as const) {
      const got = await read(bytes)
      if (got === null) refused++
      else if (!got.equals(rgba)) t.fail(`${what}: other pixels, unnoticed`)
    }
  }
  // The last chunk, of 12 bytes, says nothing but that it is the last.
  t.ok(refused >= 2 * (whole.length - 12), `${refused} refused`)
})

t.test('hostile files are refused before anything is allocated for them', async t => {
  const bomb = await bombOf(300)
  const before = process.resourceUsage().maxRSS
  const cannot = /the PNG picture cannot be decoded: /
  const cases: [name: string, file: Uint8Array, message: RegExp][] = [
    ['huge', pngOf([header(2 ** 31 - 1, 2 ** 31 - 1, 8, 6), idat([[0]]), END]), cannot],
    ['large', pngOf([header(900_000, 900_000, 8, 0), idat([[0]]), END]), /size is 900000 x 900000|cannot be decoded/],
    [
      'just too large',
      pngOf([header(8001, 8000, 8, 0), idat([[0]]), END]),
      /size is 8001 x 8000 pixels, expected 1 x 1/,
    ],
    ['empty', pngOf([header(0, 5, 8, 0), idat([]), END]), cannot],
    ['short', pngOf([header(9, 9, 8, 0), idat([[1, 2]]), END]), cannot],
    ['no data', pngOf([header(9, 9, 8, 0), END]), cannot],
    ['gzip', pngOf([header(1, 1, 8, 0), ['IDAT', gzipSync(Uint8Array.of(0, 1))], END]), cannot],
    ['no header', pngOf([idat([[1]]), END]), cannot],
    ['depth', pngOf([header(1, 1, 3, 0), idat([[1]]), END]), cannot],
    ['no palette', pngOf([header(1, 1, 8, 3), idat([[7]]), END]), cannot],
    [
      'long chunk',
      Buffer.concat([pngOf([header(1, 1, 8, 0)]), Buffer.from('ffffffff49444154', 'hex'), Buffer.alloc(40)]),
      cannot,
    ],
    ['text', Buffer.from('hello there'), /begins with 68656c6c6f207468, expected a picture: PNG, JPEG/],
    ['nothing', Buffer.alloc(0), /is empty, expected a picture/],
  ]
  for (const [name, file, message] of cases)
    await t.rejects(decodePicture(name, file), { name: 'PictureError', message }, name)
  // Data beyond the picture, and a profile that inflates to 300 MB, are not even looked at.
  const bytes: [string, Chunk[]][] = [
    ['profile', [['iCCP', Buffer.concat([Buffer.from('x\0\0'), bomb])], idat([[5]])]],
    ['bomb', [['IDAT', bomb]]],
  ]
  for (const [name, chunks] of bytes) {
    const read = decodePicture(name, pngOf([header(2, 1, 8, 0), ...chunks, END]))
    await read.catch(error => t.match(error, { name: 'PictureError' }, name))
  }
  const grownKb = process.resourceUsage().maxRSS - before
  t.ok(grownKb < 150_000, `the process grew by ${grownKb} kB, expected less than 150,000`)
})

/** Deflates this many MB of zeros without holding them. */
async function bombOf(megabytes: number): Promise<Buffer> {
  const deflate = createDeflate()
  Readable.from(new Array<Buffer>(megabytes).fill(Buffer.alloc(1e6))).pipe(deflate)
  return buffer(deflate)
}
