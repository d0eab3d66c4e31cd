/**
 * The safetensors format, header only: 8 bytes of little-endian header length, a JSON header padded with spaces, then
 * the tensors' bytes without holes. Pure functions on bytes; files are the business of tensor-file.ts. Runs on any
 * thread. https://github.com/huggingface/safetensors#format
 *
 * The reader trusts nothing: every length, offset, name and type is checked against the others and the file's size.
 */
import { inspect } from 'node:util'
import { GradloomError } from '../errors.js'
import { scanJson } from './json-scan.js'

/** Bytes of one element. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const
export type Dtype = keyof typeof DTYPE_BYTES

export interface TensorInfo {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
}

/**
 * A tensor and where its bytes lie, counted from the first byte after the header. `dtype` may be one that is not in
 * DTYPE_BYTES: the format gets new ones, and a file is not refused for a tensor that nobody may need.
 */
export interface TensorEntry extends Omit<TensorInfo, 'dtype'> {
  readonly dtype: string
  readonly begin: number
  readonly end: number
}

export interface SafetensorsHeader {
  /** Tensors in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>
  readonly metadata: ReadonlyMap<string, string>
}

/** A file of weights is damaged, or is not what it should be. */
export class CheckpointError extends GradloomError {
  constructor(message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super('CheckpointError', message, options)
  }
}

export const LENGTH_BYTES = 8
/** The headers of the largest published models have a few MB; this bounds what a hostile file can make us hold. */
export const MAX_HEADER_BYTES = 16 * 2 ** 20
const METADATA = '__metadata__'
/** The header's object, a tensor's, and its array. */
const MAX_DEPTH = 3

/** Names of types: C64, F8_E8M0, F4, F8_E4M3FNUZ and others were added since the first version of the format. */
const DTYPE_NAME = /^[A-Z][A-Z0-9_]{0,31}$/

/** Bytes of a tensor, or NaN where its elements cannot be counted exactly. */
export function tensorBytes({ dtype, shape }: Pick<TensorInfo, 'dtype' | 'shape'>): number {
  const bytes = shape.reduce((size, dim) => size * dim, DTYPE_BYTES[dtype])
  return Number.isSafeInteger(bytes) ? bytes : Number.NaN
}

/**
 * Length prefix and header for tensors whose bytes follow in the given order. `unit`: the tensors begin at a multiple of
 * this many bytes, itself a multiple of 8.
 */
export function encodeHeader(
  tensors: readonly TensorInfo[],
  metadata: Readonly<Record<string, string>>,
  unit = 8,
): Uint8Array {
  const fields: [string, unknown][] = [[METADATA, metadata]]
  const names = new Set<string>([METADATA])
  let begin = 0
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor
    if (names.has(name)) throw new Error(`safetensors: tensor name ${inspect(name)} is taken`)
    names.add(name)
    const end = begin + tensorBytes(tensor)
    fields.push([name, { dtype, shape, data_offsets: [begin, end] }])
    begin = end
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(fields)))
  const length = Math.ceil((LENGTH_BYTES + json.length) / unit) * unit - LENGTH_BYTES
  const bytes = Buffer.alloc(LENGTH_BYTES + length, ' ')
  bytes.writeBigUInt64LE(BigInt(length))
  bytes.set(json, LENGTH_BYTES)
  return bytes
}

/** The header's length, from the file's first bytes (all 8 of them, or as many as there are) and its size. */
export function parseHeaderLength(file: string, prefix: Uint8Array, fileBytes: number): number {
  if (prefix.length < LENGTH_BYTES) {
    throw new CheckpointError(
      `${file}: file is ${fileBytes} bytes long, expected at least ${LENGTH_BYTES}; safetensors begin with 8 bytes of header length`,
    )
  }
  const length = Buffer.from(prefix).readBigUInt64LE()
  const most = Math.min(MAX_HEADER_BYTES, fileBytes - LENGTH_BYTES)
  if (length > BigInt(most)) {
    throw new CheckpointError(
      `${file}: header length is ${length}, expected at most ${most}; the file has ${fileBytes} bytes, so it is truncated or no safetensors file`,
    )
  }
  return Number(length)
}

/** Checks and reads the JSON header of a file with `dataBytes` bytes behind it. */
export function parseHeader(file: string, header: Uint8Array, dataBytes: number): SafetensorsHeader {
  const { [METADATA]: metadata, ...tensors } = parseJson(file, header)
  const entries = Object.entries(tensors).map(([name, value]) =>
    parseEntry(`${file}: tensor ${inspect(name)}`, name, value),
  )
  return { tensors: withoutHoles(file, entries, dataBytes), metadata: parseMetadata(file, metadata) }
}

function parseJson(file: string, header: Uint8Array): Record<string, unknown> {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header)
  } catch (cause) {
    throw new CheckpointError(`${file}: header is not UTF-8, expected JSON`, { cause })
  }
  if (!text.startsWith('{')) {
    throw new CheckpointError(`${file}: header begins with ${inspect(text.slice(0, 1))}, expected '{'`)
  }
  const problem = scanJson(text, MAX_DEPTH)
  if (problem) throw new CheckpointError(`${file}: header: ${problem.what} at character ${problem.at}`)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new CheckpointError(`${file}: header is not JSON: ${(cause as Error).message}`, { cause })
  }
}

function parseMetadata(file: string, value: unknown): Map<string, string> {
  if (value === undefined) return new Map()
  if (!isObject(value))
    throw new CheckpointError(`${file}: ${METADATA} is ${brief(value)}, expected an object of strings`)
  const entries = Object.entries(value)
  for (const [key, text] of entries) {
    if (typeof text !== 'string') {
      throw new CheckpointError(`${file}: ${METADATA} ${inspect(key)} is ${brief(text)}, expected a string`)
    }
  }
  return new Map(entries as [string, string][])
}

function parseEntry(where: string, name: string, value: unknown): TensorEntry {
  if (!isObject(value))
    throw new CheckpointError(`${where} is ${brief(value)}, expected { dtype, shape, data_offsets }`)
  const { dtype, shape, data_offsets: offsets, ...unknown } = value
  const [key] = Object.keys(unknown)
  if (key !== undefined)
    throw new CheckpointError(`${where}: unknown key ${inspect(key)}, expected dtype, shape, data_offsets`)
  if (typeof dtype !== 'string' || !DTYPE_NAME.test(dtype)) {
    throw new CheckpointError(
      `${where}: dtype is ${brief(dtype)}, expected a name such as ${Object.keys(DTYPE_BYTES).join(', ')}`,
    )
  }
  if (!isCounts(shape))
    throw new CheckpointError(`${where}: shape is ${brief(shape)}, expected integers from 0 to 2^53 - 1`)
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw new CheckpointError(
      `${where}: data_offsets is ${brief(offsets)}, expected [begin, end] with 0 <= begin <= end`,
    )
  }
  const [begin, end] = offsets
  if (!isDtype(dtype)) return { name, dtype, shape, begin, end }
  const bytes = tensorBytes({ dtype, shape })
  if (end - begin !== bytes) {
    const want = Number.isNaN(bytes) ? 'more bytes than can be counted' : `${bytes} bytes`
    throw new CheckpointError(
      `${where}: data_offsets is [${begin}, ${end}], ${end - begin} bytes, expected ${want}; it is ${dtype} of shape (${shape.join(', ')})`,
    )
  }
  return { name, dtype, shape, begin, end }
}

/** Tensors in the order of their bytes, having checked that they cover the data once, from end to end. */
function withoutHoles(file: string, entries: TensorEntry[], dataBytes: number): Map<string, TensorEntry> {
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let covered = 0
  for (const { name, begin, end } of entries) {
    if (begin !== covered) {
      const what = begin < covered ? 'overlaps the tensor before it' : 'leaves a hole before it'
      throw new CheckpointError(
        `${file}: tensor ${inspect(name)}: data_offsets is [${begin}, ${end}], expected to begin at ${covered}; it ${what}`,
      )
    }
    covered = end
  }
  if (covered !== dataBytes) {
    const why = covered > dataBytes ? 'the file is truncated' : 'it has bytes that no tensor owns'
    throw new CheckpointError(`${file}: data is ${dataBytes} bytes long, expected ${covered}; ${why}`)
  }
  return new Map(entries.map(entry => [entry.name, entry]))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isDtype(value: string): value is Dtype {
  return Object.hasOwn(DTYPE_BYTES, value)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(item => Number.isSafeInteger(item) && item >= 0)
}

/** A received value on one line, however large it is. */
function brief(value: unknown): string {
  return inspect(value, {
    compact: true,
    breakLength: Number.POSITIVE_INFINITY,
    maxArrayLength: 8,
    maxStringLength: 80,
    depth: 1,
  })
}
