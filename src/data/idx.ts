/**
 * The IDX format: two zero bytes, an element type, the number of dimensions, each dimension as a 32-bit integer, then
 * the elements, everything big-endian. Main thread. Offsets in messages count uncompressed bytes.
 */
import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import { DataError } from '../errors.js'
import { type ContentDigest, contentInfo, contentOf } from './content.js'
import { expectDistinctFeatures, RowSample } from './distinct-features.js'

export type IdxKind = 'images' | 'labels'
/** Form of a file: that of the published sets (`published`), or every element type and tables of numbers (`any`). */
export type IdxForm = 'published' | 'any'

export interface IdxHeader {
  /** Images: [rows, height, width] or [rows, features]. Labels: [rows] or [rows, columns]. */
  readonly dims: readonly number[]
  readonly type: keyof typeof TYPES
  readonly form: IdxForm
  readonly elementBytes: number
  readonly headerBytes: number
  /** Header and elements. */
  readonly contentBytes: number
}

interface ElementType {
  readonly name: string
  readonly bytes: number
  read(from: Buffer, at: number): number
}

const TYPES: Readonly<Record<number, ElementType>> = {
  8: { name: 'unsigned bytes', bytes: 1, read: (from, at) => from[at] },
  9: { name: 'signed bytes', bytes: 1, read: (from, at) => from.readInt8(at) },
  11: { name: 'shorts', bytes: 2, read: (from, at) => from.readInt16BE(at) },
  12: { name: 'ints', bytes: 4, read: (from, at) => from.readInt32BE(at) },
  13: { name: 'floats', bytes: 4, read: (from, at) => from.readFloatBE(at) },
  14: { name: 'doubles', bytes: 8, read: (from, at) => from.readDoubleBE(at) },
}
/** Types with more digits than f32 keeps. */
const WIDE: readonly number[] = [12, 14]
/** QMNIST's labels: the class, then seven numbers about who wrote it. */
const QMNIST_COLUMNS = 8

/** Dimensions and types of files of the form `any`, by kind. */
const ANY: Readonly<Record<IdxKind, { readonly dims: readonly number[]; readonly want: string }>> = {
  images: { dims: [2, 3], want: '0x00000803 (rows x height x width), 0x00000802 (rows x features), or another type' },
  labels: { dims: [1, 2], want: `0x00000801 (rows), 0x00000c02 (QMNIST's rows x ${QMNIST_COLUMNS}), or another type` },
}

/** Labels may be wider than a byte, for more than 256 classes. */
const KINDS: Readonly<
  Record<IdxKind, { readonly dims: number; readonly types: readonly number[]; readonly want: string }>
> = {
  images: { dims: 3, types: [0x08], want: '0x00000803 (rows x height x width unsigned bytes)' },
  labels: {
    dims: 1,
    types: [0x08, 0x0b, 0x0c],
    want: '0x00000801 (unsigned bytes), 0x00000b01 (shorts) or 0x00000c01 (ints)',
  },
}

/** Limit of the content: all shared memory of a run is 4 GiB at most, so no larger set can be trained on. */
const MAX_CONTENT_BYTES = 2 ** 32
/** Largest label: the output layer has a unit per class, so a larger label is a sign of damage. */
const MAX_LABEL = 65_535

/** Bytes of the longest header. */
const MOST_HEADER_BYTES = 4 + 4 * 3

function parseHeader(file: string, kind: IdxKind, form: IdxForm, bytes: Buffer): IdxHeader {
  const { types, want } = form === 'any' ? { types: Object.keys(TYPES).map(Number), ...ANY[kind] } : KINDS[kind]
  const ranks = form === 'any' ? ANY[kind].dims : [KINDS[kind].dims]
  const rank = bytes.length >= 4 && ranks.includes(bytes[3]) ? bytes[3] : ranks[ranks.length - 1]
  const headerBytes = 4 + 4 * rank
  if (bytes.length < headerBytes) {
    throw new DataError(`${file}: content ends at offset ${bytes.length}, expected a header of ${headerBytes} bytes`)
  }
  const magic = bytes.readUInt32BE(0)
  const [type, gotRank] = [(magic >>> 8) & 0xff, magic & 0xff]
  if (magic >>> 16 !== 0 || gotRank !== rank || !types.includes(type)) {
    const meaning = magic >>> 16 === 0 && type in TYPES ? ` (${gotRank}-dimensional ${TYPES[type].name})` : ''
    const other = kind === 'images' ? 'labels' : 'images'
    const swapped = gotRank === KINDS[other].dims && KINDS[other].types.includes(type) && magic >>> 16 === 0
    throw new DataError(
      `${file}: magic number at offset 0 is 0x${magic.toString(16).padStart(8, '0')}${meaning}, expected ${want} for ${kind}`,
      { hint: swapped ? `it holds ${other}: check the names of the files` : undefined },
    )
  }
  const dims = Array.from({ length: rank }, (_, i) => bytes.readUInt32BE(4 + 4 * i))
  const empty = dims.indexOf(0)
  if (empty >= 0) {
    const side = rank === 2 ? 'columns' : `image ${empty === 1 ? 'height' : 'width'}`
    const what = empty === 0 ? `number of ${kind}` : side
    throw new DataError(`${file}: ${what} at offset ${4 + 4 * empty} is 0, expected at least 1`)
  }
  if (kind === 'labels' && rank === 2) expectLabelColumns(file, dims[1], type)
  const elementBytes = TYPES[type].bytes
  // Three 32-bit factors can pass 2^53; the product is then inexact, and far above the limit.
  const contentBytes = headerBytes + dims.reduce((product, dim) => product * dim, elementBytes)
  return { dims, type, form, elementBytes, headerBytes, contentBytes }
}

function expectLabelColumns(file: string, columns: number, type: number): void {
  if (columns === 1 || (columns === QMNIST_COLUMNS && type === 0x0c)) return
  throw new DataError(
    `${file}: a row of labels at offset 8 has ${columns} ${TYPES[type].name}, expected one number, the class, or QMNIST's ${QMNIST_COLUMNS} ints`,
    { hint: 'one-hot labels, or other columns: as arrays, data.dataset "npz"' },
  )
}

const promise = (header: IdxHeader): string => `its header promises ${header.dims.join(' x ')}`

/** Reads the header alone and checks it against the size of the file, so that nothing is allocated for a false header. */
export async function readIdxHeader(file: string, kind: IdxKind, form: IdxForm = 'published'): Promise<IdxHeader> {
  const header = parseHeader(file, kind, form, await firstBytes(file, MOST_HEADER_BYTES))
  if (header.contentBytes > MAX_CONTENT_BYTES) {
    throw new DataError(
      `${file}: content is ${header.contentBytes} bytes, expected at most ${MAX_CONTENT_BYTES} (4 GiB); ${promise(header)}`,
    )
  }
  const { gzipped, fileBytes, maxBytes } = await contentInfo(file)
  const impossible = gzipped ? header.contentBytes > maxBytes : header.contentBytes !== maxBytes
  if (impossible) {
    const got = gzipped ? `${fileBytes} bytes of gzip, which hold ${maxBytes} at most` : `${fileBytes} bytes long`
    throw new DataError(`${file}: is ${got}, expected ${header.contentBytes}; ${promise(header)}`)
  }
  return header
}

async function firstBytes(file: string, count: number): Promise<Buffer> {
  const first = Buffer.alloc(count)
  let got = 0
  for await (const chunk of contentOf(file)) {
    got += chunk.copy(first, got, 0, Math.min(chunk.length, count - got))
    if (got === count) break
  }
  return first.subarray(0, got)
}

/**
 * Reads the whole file and passes its elements on: `take(chunk, at)` gets raw bytes and their offset among the elements. Never holds more
 * than a few chunks, and stops at the first byte beyond what the header promised.
 */
export async function readIdxElements(
  file: string,
  kind: IdxKind,
  header: IdxHeader,
  take: (chunk: Buffer, at: number) => void,
): Promise<ContentDigest> {
  const { headerBytes, contentBytes } = header
  const md5 = createHash('md5')
  const start = Buffer.alloc(headerBytes)
  let got = 0
  for await (const chunk of contentOf(file)) {
    const headerPart = Math.min(chunk.length, Math.max(0, headerBytes - got))
    if (headerPart > 0) {
      chunk.copy(start, got, 0, headerPart)
      if (got + headerPart === headerBytes) assertSameHeader(file, kind, start, header)
    }
    if (got + chunk.length > contentBytes) {
      throw new DataError(
        `${file}: content continues after offset ${contentBytes}, expected its end there; ${promise(header)}`,
      )
    }
    md5.update(chunk)
    if (chunk.length > headerPart) take(chunk.subarray(headerPart), got + headerPart - headerBytes)
    got += chunk.length
  }
  if (got < contentBytes) {
    throw new DataError(`${file}: content ends at offset ${got}, expected ${contentBytes} bytes; ${promise(header)}`)
  }
  return { bytes: got, md5: md5.digest('hex') }
}

/** Refuses a header that has changed: the caller's memory was sized from an earlier look. */
function assertSameHeader(file: string, kind: IdxKind, start: Buffer, before: IdxHeader): void {
  const now = parseHeader(file, kind, before.form, start)
  if (now.contentBytes !== before.contentBytes || now.type !== before.type || now.dims.join() !== before.dims.join()) {
    const text = (header: IdxHeader) => (now.type === before.type ? header.dims.join(' x ') : elementsOf(header))
    throw new DataError(
      `${file}: header has ${text(now)}, expected ${text(before)} as before; it changed while gradloom ran`,
    )
  }
}

/** Size and element type in words. */
export const elementsOf = ({ dims, type }: Pick<IdxHeader, 'dims' | 'type'>): string =>
  `${dims.join(' x ')} ${TYPES[type].name}`

/** Bytes of pictures stay bytes; a table of bytes is numbers, as everywhere. */
export const isBytePictures = ({ dims, type }: IdxHeader): boolean => type === 0x08 && dims.length === 3

/**
 * Reads features of any type as numbers into `into` (rows x features). Throws DataError for a number that is not finite
 * in f32, and for features whose different values f32 takes for the same.
 */
export async function readIdxNumbers(file: string, header: IdxHeader, into: Float32Array): Promise<ContentDigest> {
  const { elementBytes, headerBytes, dims, type } = header
  const { read } = TYPES[type]
  const width = dims.slice(1).reduce((product, size) => product * size, 1)
  const sample = WIDE.includes(type) ? new RowSample() : null
  let row: number[] | null = null
  let at = 0
  const put = (from: Buffer, offset: number) => {
    const value = read(from, offset)
    if (!Number.isFinite(Math.fround(value))) {
      const where = `row ${Math.floor(at / width)} at offset ${headerBytes + at * elementBytes}`
      throw new DataError(`${file}: feature ${at % width} of ${where} is ${value}, expected a finite number in f32`)
    }
    if (sample) {
      if (at % width === 0) row = sample.wantsNext() ? [] : null
      row?.push(value)
      if (row?.length === width) sample.add(row)
    }
    into[at++] = value
  }
  // An element may lie across two chunks.
  const split = Buffer.alloc(elementBytes)
  let held = 0
  const digest = await readIdxElements(file, 'images', header, chunk => {
    let next = 0
    if (held > 0) {
      next = chunk.copy(split, held, 0, elementBytes - held)
      held += next
      if (held < elementBytes) return
      put(split, 0)
      held = 0
    }
    for (; next + elementBytes <= chunk.length; next += elementBytes) put(chunk, next)
    held = chunk.copy(split, 0, next)
  })
  if (sample) expectDistinctFeatures(file, sample, column => (width === 1 ? 'the feature' : `feature ${column}`))
  return digest
}

export interface IdxLabels {
  readonly labels: Int32Array
  readonly max: number
  readonly digest: ContentDigest
}

/**
 * The class of each row, the first of its numbers. Throws DataError for one that is no whole number below `classes`
 * (null: any number of classes that can be trained).
 */
export async function readIdxLabels(file: string, header: IdxHeader, classes: number | null): Promise<IdxLabels> {
  const { elementBytes, headerBytes, dims, type } = header
  const rowBytes = elementBytes * (dims[1] ?? 1)
  const raw = Buffer.alloc(dims[0] * rowBytes)
  const digest = await readIdxElements(file, 'labels', header, (chunk, at) => raw.set(chunk, at))
  const labels = new Int32Array(dims[0])
  const limit = classes === null ? MAX_LABEL : classes - 1
  let max = 0
  for (let row = 0; row < labels.length; row++) {
    const at = row * rowBytes
    const label = TYPES[type].read(raw, at)
    if (!(Number.isInteger(label) && label >= 0 && label <= limit)) {
      const wanted = Number.isInteger(label) ? `0 to ${limit}` : `a whole number from 0 to ${limit}`
      throw new DataError(
        `${file}: label of row ${row} at offset ${headerBytes + at} is ${inspect(label)}, expected ${wanted}`,
      )
    }
    labels[row] = label
    if (label > max) max = label
  }
  return { labels, max, digest }
}

/** Note on labels that are not a plain list; null if there is none. */
export const labelForm = ({ dims }: IdxHeader): string | null =>
  dims[1] === QMNIST_COLUMNS ? `the class is the first of ${QMNIST_COLUMNS} numbers, as in QMNIST` : null
