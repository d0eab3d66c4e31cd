import fc from 'fast-check'
import jpeg from 'jpeg-js'
import t from 'tap'
import { decodePicture, PictureError } from '../../src/picture/picture.js'

/** Four flat quarters, 48 x 32: bright, darker, darker still, black. */
const [WIDTH, HEIGHT] = [48, 32]
const LEVELS = [250, 170, 90, 10]
const original = Uint8Array.from({ length: WIDTH * HEIGHT * 4 }, (_, i) => {
  const [x, y] = [Math.floor(i / 4) % WIDTH, Math.floor(i / 4 / WIDTH)]
  return i % 4 === 3 ? 255 : LEVELS[(x < WIDTH / 2 ? 0 : 1) + (y < HEIGHT / 2 ? 0 : 2)]
})
const file = Buffer.from(jpeg.encode({ width: WIDTH, height: HEIGHT, data: original }, 90).data)

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

t.test('a JPEG is read', async t => {
  const picture = await decodePicture('x.jpg', file)
  t.match(picture, { format: 'JPEG', width: WIDTH, height: HEIGHT })
  t.same(quarters(picture), LEVELS)
})

t.test('and turned upright, whichever way the camera was held', async t => {
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
      const picture = await decodePicture('x.jpg', withOrientation(Number(orientation), order))
      const turned = Number(orientation) > 4 && Number(orientation) < 9
      t.same([picture.width, picture.height], turned ? [HEIGHT, WIDTH] : [WIDTH, HEIGHT])
      t.same(quarters(picture), levels, `orientation ${orientation} ${order}`)
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
  const scans = Buffer.concat([
    file.subarray(0, -2),
    ...Array.from({ length: 70 }, () => file.subarray(scan, -2)),
    file.subarray(-2),
  ])
  const cases: [name: string, file: Buffer, message: RegExp][] = [
    [
      'huge',
      changed(frame + 5, 0xff, 0xff, 0xff, 0xff),
      /size is 65535 x 65535 pixels, expected 1 x 1 to 32 megapixels/,
    ],
    ['empty', changed(frame + 5, 0, 0, 0, 0), /size is 0 x 0/],
    ['lossless', changed(frame, 0xff, 0xc3), /frame is of kind 0xffc3, expected baseline or progressive/],
    ['scans', scans, /more than 64 scans/],
    ['no frame', Buffer.concat([file.subarray(0, 2), file.subarray(scan)]), /scan before its frame/],
    ['no end', file.subarray(0, -2), /it is truncated/],
    ['half', file.subarray(0, file.length / 2), /it is truncated/],
    ['head', file.subarray(0, 2), /it is truncated/],
    ['marker', changed(2, 0, 0), /marker at byte 2 is 0x0, expected one of JPEG's/],
  ]
  for (const [name, bytes, message] of cases)
    await t.rejects(decodePicture(name, bytes), { name: 'PictureError', message }, name)
})

t.test('any byte of the header changed: a picture or a PictureError, never a crash', async t => {
  const scan = file.indexOf(Buffer.from('ffda', 'hex'))
  let refused = 0
  for (let at = 2; at < scan + 14; at++) {
    const damaged = Buffer.from(file)
    damaged[at] ^= 0x41
    try {
      await decodePicture('x', damaged)
    } catch (error) {
      if (!(error instanceof PictureError)) throw new Error(`byte ${at}: ${error}`)
      refused++
    }
  }
  t.ok(refused > 20, `${refused} refused`)
})

t.test('any bytes of the scan changed: a picture or a PictureError, in 300 cases, never a crash', async t => {
  const scan = file.indexOf(Buffer.from('ffda', 'hex')) + 14
  let cases = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: scan, max: file.length - 3 }), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      async changes => {
        const damaged = Buffer.from(file)
        for (const [at, value] of changes) damaged[at] = value
        cases++
        await decodePicture('x', damaged).catch(error => {
          if (!(error instanceof PictureError)) throw error
        })
      },
    ),
    { numRuns: 300 },
  )
  t.equal(cases, 300)
})
