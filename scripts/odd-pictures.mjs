// Odd PNG and JPEG files, and their pixels as ImageMagick has them: writes test/picture/odd-pictures.json, from which
// test/picture/odd-pictures.test.ts checks the decoder. Needs ImageMagick's convert, cjpeg (libjpeg-turbo-progs) and a build (dist/).
// Pixels are upright, 8 bits, transparent ones laid over white.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { END, header, idatOf, pngOf } from '../dist/test/picture/png-files.js'

const [WIDTH, HEIGHT] = [13, 9]
const dir = mkdtempSync(join(tmpdir(), 'odd-'))
const run = (program, ...args) => execFileSync(program, args, { maxBuffer: 2 ** 24 })

/** A smooth picture of full colours, from 0 to 1; the fourth channel is alpha, which is 0 in a corner. */
const value = (x, y, c) =>
  [x / 12, y / 8, 1 - (x + y) / 20, x < 4 && y < 3 ? 0 : Math.min(1, 0.2 + (x + 2 * y) / 24)][c]
const CHANNELS = { 0: [0], 2: [0, 1, 2], 4: [0, 3], 6: [0, 1, 2, 3] }
const bytes = (...numbers) => Uint8Array.from(numbers)
const PALETTE = Array.from({ length: 256 }, (_, i) => [(i * 73) & 255, (i * 151 + 40) & 255, (255 - i * 29) & 255])

function png(depth, colourType, { interlaced = false, before = [] } = {}) {
  const most = 2 ** depth - 1
  const kind = { width: WIDTH, height: HEIGHT, depth, colourType, interlaced }
  const sample =
    colourType === 3
      ? (x, y) => (x * 5 + y * 7) % (most + 1)
      : (x, y, c) => Math.round(most * value(x, y, CHANNELS[colourType][c]))
  const palette = colourType === 3 ? [['PLTE', bytes(...PALETTE.slice(0, most + 1).flat())]] : []
  const start = header(WIDTH, HEIGHT, depth, colourType, interlaced ? 1 : 0)
  return pngOf([start, ...palette, ...before, idatOf(kind, sample), END])
}

const key = (...samples) => ['tRNS', bytes(...samples.flatMap(sample => [sample >> 8, sample & 255]))]
const gamma = value => {
  const data = Buffer.alloc(4)
  data.writeUInt32BE(value)
  return ['gAMA', data]
}

const PNGS = {
  'grey, 1 bit': png(1, 0),
  'grey, 2 bits': png(2, 0),
  'grey, 4 bits': png(4, 0),
  'grey, 8 bits': png(8, 0),
  'grey, 16 bits': png(16, 0),
  'grey, 8 bits, one level transparent': png(8, 0, { before: [key(Math.round((255 * 5) / 12))] }),
  'grey, 16 bits, one level transparent': png(16, 0, { before: [key(Math.round((65535 * 5) / 12))] }),
  'RGB, 8 bits': png(8, 2),
  'RGB, 16 bits': png(16, 2),
  'RGB, 8 bits, one colour transparent': png(8, 2, { before: [key(0, 0, 255)] }),
  'RGB, 8 bits, interlaced': png(8, 2, { interlaced: true }),
  'RGB, 8 bits, with the gamma of sRGB': png(8, 2, { before: [gamma(45455)] }),
  'palette, 1 bit': png(1, 3),
  'palette, 2 bits': png(2, 3),
  'palette, 4 bits': png(4, 3),
  'palette, 8 bits': png(8, 3),
  'palette, 8 bits, interlaced': png(8, 3, { interlaced: true }),
  'palette, 8 bits, with transparency': png(8, 3, { before: [['tRNS', bytes(0, 60, 120, 180, 240, 10, 0, 128)]] }),
  'grey and alpha, 8 bits': png(8, 4),
  'grey and alpha, 16 bits': png(16, 4),
  'RGB and alpha, 8 bits': png(8, 6),
  'RGB and alpha, 16 bits': png(16, 6),
  'RGB and alpha, 16 bits, interlaced': png(16, 6, { interlaced: true }),
}

const ppm = join(dir, 'x.ppm')
const pixels = Array.from({ length: WIDTH * HEIGHT * 3 }, (_, i) =>
  Math.round(255 * value(Math.floor(i / 3) % WIDTH, Math.floor(i / 3 / WIDTH), i % 3)),
)
writeFileSync(ppm, Buffer.concat([Buffer.from(`P6 ${WIDTH} ${HEIGHT} 255\n`), Buffer.from(pixels)]))
const cjpeg = (...args) => run('cjpeg', '-quality', '95', ...args, ppm)
const converted = (...args) => run('/usr/bin/convert', ppm, '-quality', '95', ...args, 'jpg:-')
const colour = cjpeg('-sample', '1x1')

/** Puts EXIF data with an orientation behind the file's first marker. */
function held(orientation, file) {
  const exif = Buffer.from(
    'ffe1002245786966000049492a00080000000100120103000100000000000000 00000000'.replace(' ', ''),
    'hex',
  )
  exif[exif.length - 8] = orientation
  return Buffer.concat([file.subarray(0, 2), exif, file.subarray(2)])
}

const JPEGS = {
  grey: cjpeg('-grayscale'),
  'YCbCr, all of its colours': colour,
  'YCbCr, half the colours across': cjpeg('-sample', '2x1'),
  'YCbCr, half the colours down': cjpeg('-sample', '1x2'),
  'YCbCr, a quarter of the colours': cjpeg('-sample', '2x2'),
  'YCbCr, a quarter of the colours across': cjpeg('-sample', '4x1'),
  'RGB without a transform': cjpeg('-rgb'),
  progressive: cjpeg('-progressive'),
  'arithmetic coding': cjpeg('-arithmetic'),
  'restart markers': cjpeg('-restart', '1'),
  'low quality': run('cjpeg', '-quality', '20', '-sample', '1x1', ppm),
  CMYK: converted('-colorspace', 'CMYK'),
  'grey, held on its side': held(6, cjpeg('-grayscale')),
  ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8].map(each => [`EXIF orientation ${each}`, held(each, colour)])),
}

const entries = []
for (const [format, files] of Object.entries({ PNG: PNGS, JPEG: JPEGS })) {
  for (const [name, file] of Object.entries(files)) {
    const path = join(dir, `x.${format.toLowerCase()}`)
    writeFileSync(path, file)
    const upright = [path, '-auto-orient', '-background', 'white', '-alpha', 'remove', '-colorspace', 'sRGB']
    const size = run('/usr/bin/convert', ...upright, '-format', '%w %h', 'info:')
      .toString()
      .split(' ')
      .map(Number)
    const rgb = run('/usr/bin/convert', ...upright, '-depth', '8', 'rgb:-')
    entries.push({ name: `${format}: ${name}`, size, file: file.toString('base64'), rgb: rgb.toString('base64') })
  }
}
rmSync(dir, { recursive: true })
const to = new URL('../test/picture/odd-pictures.json', import.meta.url)
writeFileSync(to, `${JSON.stringify(entries, null, 2).replace(/\[\s+(\d+),\s+(\d+)\s+\]/g, '[$1, $2]')}\n`)
process.stdout.write(`${entries.length} files, ${readFileSync(to).length} bytes\n`)
