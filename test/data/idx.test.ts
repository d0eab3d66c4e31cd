/** The IDX reader: what it reads, and what it says about every kind of damage. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { constants, deflateRawSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { contentOf } from '../../src/data/content.js'
import { type IdxKind, readIdxElements, readIdxHeader, readIdxLabels } from '../../src/data/idx.js'
import { DataError } from '../../src/errors.js'
import fc from '../helpers/fast-check.js'
import { header, imagesFile, labelsFile } from './idx-files.js'

const dir = t.testdir()
let files = 0
function fileOf(content: Uint8Array): string {
  const path = join(dir, `file-${files++}`)
  writeFileSync(path, content)
  return path
}

async function readImages(file: string) {
  const head = await readIdxHeader(file, 'images')
  const pixels = Buffer.alloc(head.contentBytes - head.headerBytes, 0xee)
  const digest = await readIdxElements(file, 'images', head, (chunk, at) => pixels.set(chunk, at))
  return { head, pixels, digest }
}

const readLabels = async (file: string, classes: number | null = null) =>
  readIdxLabels(file, await readIdxHeader(file, 'labels'), classes)

/** The DataError's message without the folder; anything else fails the test. */
async function problem(read: Promise<unknown>): Promise<string> {
  try {
    await read
    return 'no error'
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return error.message.replace(`${dir}/`, '').replace(/^file-\d+: /, '')
  }
}

t.test('round trip: any size of images, gzipped or not, comes back byte for byte', async t => {
  let runs = 0
  const size = fc.integer({ min: 1, max: 40 })
  await fc.assert(
    fc.asyncProperty(size, size, size, fc.boolean(), fc.integer(), async (rows, height, width, gzip, salt) => {
      const content = imagesFile(rows, height, width, i => Math.imul(i + 1, salt | 1) >>> 24)
      const { head, pixels, digest } = await readImages(fileOf(gzip ? gzipSync(content) : content))
      runs++
      return (
        head.dims.join() === [rows, height, width].join() &&
        digest.bytes === content.length &&
        pixels.equals(content.subarray(16))
      )
    }),
    { numRuns: 60 },
  )
  t.equal(runs, 60)
})

t.test('round trip: labels of one, two and four bytes', async t => {
  let runs = 0
  for (const [type, bytes, limit] of [
    [0x08, 1, 255],
    [0x0b, 2, 32_767],
    [0x0c, 4, 65_535],
  ]) {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: limit }), { minLength: 1 }),
        fc.boolean(),
        async (want, gzip) => {
          const elements = Buffer.alloc(want.length * bytes)
          want.forEach((label, row) => {
            if (bytes === 1) elements.writeUInt8(label, row)
            else elements.writeIntBE(label, row * bytes, bytes)
          })
          const content = Buffer.concat([header((type << 8) | 1, want.length), elements])
          runs++
          const { labels, max } = await readLabels(fileOf(gzip ? gzipSync(content) : content))
          return labels.join() === want.join() && max === Math.max(...want)
        },
      ),
      { numRuns: 20 },
    )
  }
  t.equal(runs, 60)
})

t.test('a large file is read in small chunks', async t => {
  const content = imagesFile(300, 64, 64)
  for (const file of [fileOf(content), fileOf(gzipSync(content))]) {
    let largest = 0
    for await (const chunk of contentOf(file)) largest = Math.max(largest, chunk.length)
    t.ok(largest > 0 && largest <= 128 * 1024, `largest chunk: ${largest}`)
    t.ok((await readImages(file)).pixels.equals(content.subarray(16)))
  }
})

t.test('gzip in several members is read as one', async t => {
  const content = imagesFile(5, 3, 3)
  const two = Buffer.concat([gzipSync(content.subarray(0, 20)), gzipSync(content.subarray(20))])
  t.ok((await readImages(fileOf(two))).pixels.equals(content.subarray(16)))
})

t.test('every truncation of a plain or gzipped file is a DataError', async t => {
  const content = imagesFile(2, 3, 4)
  let cases = 0
  for (const whole of [content, gzipSync(content)]) {
    for (let length = 0; length < whole.length; length++) {
      const said = await problem(readImages(fileOf(whole.subarray(0, length))))
      if (!/ends at offset|bytes long|is damaged|hold/.test(said)) t.fail(`cut to ${length}: ${said}`)
      cases++
    }
  }
  t.equal(cases, content.length + gzipSync(content).length)
})

t.test('every changed byte of a header, gzipped or not, reads or is a DataError', async t => {
  let cases = 0
  let refused = 0
  for (const [kind, content] of [
    ['images', imagesFile(2, 3, 4)],
    ['labels', labelsFile([3, 1, 4, 1, 5])],
  ] as [IdxKind, Buffer][]) {
    const headerBytes = kind === 'images' ? 16 : 8
    for (const gzip of [false, true]) {
      for (let at = 0; at < headerBytes; at++) {
        for (const change of [1, 2, 0x0b, 0x80, 0xff]) {
          const changed = Buffer.from(content)
          changed[at] ^= change
          const file = fileOf(gzip ? gzipSync(changed) : changed)
          const said = await problem(kind === 'images' ? readImages(file) : readLabels(file))
          cases++
          if (said !== 'no error') refused++
        }
      }
    }
  }
  t.equal(cases, (16 + 8) * 2 * 5)
  t.equal(refused, cases, 'none of these changes leaves a file that fits its header')
})

t.test('any changed byte of a gzip file reads or is a DataError', async t => {
  const whole = gzipSync(imagesFile(4, 6, 6))
  let runs = 0
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const changed = Buffer.from(whole)
      changed[at] ^= change
      await problem(readImages(fileOf(changed)))
      runs++
    }),
    { numRuns: 80 },
  )
  t.equal(runs, 80)
})

t.test('random bytes are a DataError', async t => {
  let runs = 0
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async bytes => {
      runs++
      return (await problem(readImages(fileOf(bytes)))) !== 'no error'
    }),
    { numRuns: 60 },
  )
  t.equal(runs, 60)
})

t.test('messages name file, offset, what was found and what was expected', async t => {
  const good = imagesFile(2, 3, 4)
  const absurd = header(0x0803, 0xffffffff, 0xffffffff, 0xffffffff)
  const cases: [name: string, kind: IdxKind, content: Buffer, want: RegExp][] = [
    ['empty file', 'images', Buffer.alloc(0), /content ends at offset 0, expected a header of 16 bytes/],
    [
      'not IDX',
      'images',
      Buffer.from('<!DOCTYPE html><p>'),
      /magic number at offset 0 is 0x3c21444f, expected 0x00000803/,
    ],
    [
      'labels as images',
      'images',
      labelsFile(Array(20).fill(1)),
      /is 0x00000801 \(1-dimensional unsigned bytes\), expected 0x00000803/,
    ],
    ['images as labels', 'labels', good, /is 0x00000803 \(3-dimensional unsigned bytes\), expected 0x00000801/],
    ['float pixels', 'images', header(0x0d03, 1, 1, 1), /3-dimensional floats\), expected 0x00000803/],
    ['no rows', 'images', header(0x0803, 0, 3, 4), /number of images at offset 4 is 0, expected at least 1/],
    ['no labels', 'labels', header(0x0801, 0), /number of labels at offset 4 is 0, expected at least 1/],
    ['no height', 'images', header(0x0803, 2, 0, 4), /image height at offset 8 is 0, expected at least 1/],
    ['no width', 'images', header(0x0803, 2, 3, 0), /image width at offset 12 is 0, expected at least 1/],
    [
      'trailing byte',
      'images',
      Buffer.concat([good, Buffer.of(0)]),
      /is 41 bytes long, expected 40; its header promises 2 x 3 x 4/,
    ],
    ['absurd size', 'images', absurd, /content is \d.* bytes, expected at most 4294967296 \(4 GiB\)/],
    ['absurd size, gzip', 'images', gzipSync(absurd), /expected at most 4294967296/],
    [
      'gzip too short for its header',
      'images',
      gzipSync(header(0x0803, 60_000, 28, 28)),
      /hold \d+ at most, expected 47040016/,
    ],
    [
      'trailing byte inside gzip',
      'images',
      gzipSync(Buffer.concat([good, Buffer.of(0)])),
      /content continues after offset 40, expected its end there/,
    ],
    ['truncated inside gzip', 'images', gzipSync(good.subarray(0, 39)), /content ends at offset 39, expected 40 bytes/],
    [
      'zeros after gzip',
      'images',
      Buffer.concat([gzipSync(good), Buffer.alloc(300_000)]),
      /gzip data ends at offset \d+, expected the file to end there; 300000 more/,
    ],
    [
      'junk after gzip',
      'images',
      Buffer.concat([gzipSync(good), Buffer.from('junk')]),
      /gzip data is damaged somewhere after offset \d+ of \d+ .*incorrect header check/,
    ],
    ['gzip cut', 'images', gzipSync(good).subarray(0, -3), /gzip data is damaged .*unexpected end of file/],
  ]
  for (const [name, kind, content, want] of cases) {
    const file = fileOf(content)
    const read = async () => (kind === 'images' ? readImages(file) : readLabels(file))
    await t.rejects(read, { name: 'DataError', message: want }, name)
    await t.rejects(read, { message: `${file}: ` }, `${name}: names the file`)
  }
  t.equal(cases.length, 18)
})

t.test('labels out of range name row, offset and value', async t => {
  const file = fileOf(labelsFile([1, 9, 10, 3]))
  t.equal(await problem(readLabels(file, 10)), 'label of row 2 at offset 10 is 10, expected 0 to 9')
  t.equal((await readLabels(file, null)).max, 10)
  const negative = fileOf(Buffer.concat([header(0x0b01, 2), Buffer.from([0, 1, 0xff, 0xfe])]))
  t.equal(await problem(readLabels(negative)), 'label of row 1 at offset 10 is -2, expected 0 to 65535')
})

t.test('reading of a gzip bomb ends at the first byte beyond the size in the header', async t => {
  // 256 MiB of zeros behind a header that promises 24 bytes; inflating it all would take most of a second.
  const zeros = deflateRawSync(Buffer.alloc(1 << 20), { finishFlush: constants.Z_FULL_FLUSH })
  const start = deflateRawSync(imagesFile(2, 3, 4), { finishFlush: constants.Z_FULL_FLUSH })
  const gzipHeader = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])
  const bomb = Buffer.concat([gzipHeader, start, ...Array<Buffer>(256).fill(zeros)])
  const file = fileOf(bomb)
  const head = await readIdxHeader(file, 'images')
  let taken = 0
  const before = process.memoryUsage.rss()
  const said = await problem(readIdxElements(file, 'images', head, chunk => (taken += chunk.length)))
  t.match(said, /content continues after offset 40, expected its end there; its header promises 2 x 3 x 4/)
  t.equal(taken, 0, 'nothing reached the caller')
  t.ok(process.memoryUsage.rss() - before < 32 * 2 ** 20, 'memory grew by less than 32 MiB')
})

t.test('a file that changes between header and elements is a DataError', async t => {
  const file = fileOf(imagesFile(2, 3, 4))
  const head = await readIdxHeader(file, 'images')
  writeFileSync(file, imagesFile(2, 4, 3))
  t.match(
    await problem(readIdxElements(file, 'images', head, () => undefined)),
    /header has 2 x 4 x 3, expected 2 x 3 x 4/,
  )
})

t.test('a folder or a missing file is a DataError', async t => {
  const folder = join(dir, 'folder')
  mkdirSync(folder)
  await t.rejects(readImages(folder), { name: 'DataError', message: /folder: is not a regular file/ })
  await t.rejects(readImages(join(dir, 'absent')), { name: 'DataError', message: /absent: cannot be read; ENOENT/ })
})
