/**
 * The IDX format: two zero bytes, an element type, the number of dimensions, each dimension as a 32-bit integer, then
 * the elements, everything big-endian. Main thread. Offsets in messages count uncompressed bytes.
 */
import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import { DataError } from '../errors.js'
import { type ContentDigest, contentInfo, contentOf } from './content.js'

export type IdxKind = 'images' | 'labels'

export interface IdxHeader {
  /** Images: [rows, height, width]. Labels: [rows]. */
  readonly dims: readonly number[]
  readonly elementBytes: number
  readonly headerBytes: number
  /** Header and elements. */
  readonly contentBytes: number
}

const TYPES: Readonly<Record<number, { readonly name: string; readonly bytes: number }>> = {
  8: { name: 'unsigned bytes', bytes: 1 },
  9: { name: 'signed bytes', bytes: 1 },
  11: { name: 'shorts', bytes: 2 },
  12: { name: 'ints', bytes: 4 },
  13: { name: 'floats', bytes: 4 },
  14: { name: 'doubles', bytes: 8 },
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
/** Largest label: the output layer has a unit per class, so larger labels are damage, or need another design. */
const MAX_LABEL = 65_535

const headerBytesOf = (kind: IdxKind): number => 4 + 4 * KINDS[kind].dims

function parseHeader(file: string, kind: IdxKind, bytes: Buffer): IdxHeader {
  const { dims: rank, types, want } = KINDS[kind]
  const headerBytes = headerBytesOf(kind)
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
    const what = empty === 0 ? `number of ${kind}` : `image ${empty === 1 ? 'height' : 'width'}`
    throw new DataError(`${file}: ${what} at offset ${4 + 4 * empty} is 0, expected at least 1`)
  }
  const elementBytes = TYPES[type].bytes
  // Three 32-bit factors can pass 2^53; the product is then inexact, and far above the limit.
  const contentBytes = headerBytes + dims.reduce((product, dim) => product * dim, elementBytes)
  return { dims, elementBytes, headerBytes, contentBytes }
}

const promise = (header: IdxHeader): string => `its header promises ${header.dims.join(' x ')}`

/** Reads the header alone and checks it against the size of the file, so that nothing is allocated for a false header. */
export async function readIdxHeader(file: string, kind: IdxKind): Promise<IdxHeader> {
  const header = parseHeader(file, kind, await firstBytes(file, headerBytesOf(kind)))
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
 * Reads the whole file and hands over its elements: `take(chunk, at)` gets raw bytes and their offset among the
 * elements. Never holds more than a few chunks, and stops at the first byte beyond what the header promised.
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
  const now = parseHeader(file, kind, start)
  if (now.contentBytes !== before.contentBytes || now.dims.join() !== before.dims.join()) {
    throw new DataError(
      `${file}: header has ${now.dims.join(' x ')}, expected ${before.dims.join(' x ')} as before; it changed while gradloom ran`,
    )
  }
}

export interface IdxLabels {
  readonly labels: Int32Array
  readonly max: number
  readonly digest: ContentDigest
}

/** All labels, each checked to be below `classes` (null: any number of classes that can be trained). */
export async function readIdxLabels(file: string, header: IdxHeader, classes: number | null): Promise<IdxLabels> {
  const { elementBytes, headerBytes, dims } = header
  const raw = Buffer.alloc(dims[0] * elementBytes)
  const digest = await readIdxElements(file, 'labels', header, (chunk, at) => raw.set(chunk, at))
  const labels = new Int32Array(dims[0])
  const limit = classes === null ? MAX_LABEL : classes - 1
  let max = 0
  for (let row = 0; row < labels.length; row++) {
    const at = row * elementBytes
    const label = elementBytes === 1 ? raw[at] : raw.readIntBE(at, elementBytes)
    if (label < 0 || label > limit) {
      throw new DataError(
        `${file}: label of row ${row} at offset ${headerBytes + at} is ${inspect(label)}, expected 0 to ${limit}`,
      )
    }
    labels[row] = label
    if (label > max) max = label
  }
  return { labels, max, digest }
}
