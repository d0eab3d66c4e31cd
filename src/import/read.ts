/**
 * Arrays out of files of other programs: NumPy's .npz, or safetensors. Main thread; reads, trusts nothing that a file
 * says of its sizes.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { DataError } from '../errors.js'
import { readRegularFile } from '../files/regular.js'
import { parseNpy, parseNpyLabels } from '../formats/npy.js'
import { FACTS } from '../formats/npz-facts.js'
import { TensorFile } from '../formats/tensor-file.js'
import { zipEntries } from '../formats/zip.js'
import { halvesOf, widenBf16, widenF16 } from '../tensor/bf16.js'

/** One array of a file, row-major. */
export interface ForeignArray {
  readonly name: string
  readonly shape: readonly number[]
  /** True for arrays of an integer type: they are counters, not weights. */
  readonly whole: boolean
  readonly values: ArrayLike<number>
}

export interface ForeignFile {
  /** Arrays in no meaningful order: libraries write them sorted by name, by size or as they were created. */
  readonly arrays: readonly ForeignArray[]
  /** Tensors of types that are not read, neither whole numbers nor floats that are known here. */
  readonly unread: readonly { readonly name: string; readonly dtype: string }[]
  /** The text with which an exported file describes its model, by its name; else none. */
  readonly texts: ReadonlyMap<string, string>
  /** SHA-256 of the whole file, hexadecimal. */
  readonly sha256: string
}

export const isNpz = (file: string): boolean => extname(file).toLowerCase() === '.npz'

/** True for weights that gradloom has not written: an .npz, or safetensors without our metadata. */
export async function isForeign(file: string): Promise<boolean> {
  if (isNpz(file)) return true
  if (extname(file).toLowerCase() !== '.safetensors') return false
  const found = await stat(file).catch(() => null)
  if (!found?.isFile()) return false
  const tensors = await TensorFile.open(file)
  await tensors.close()
  return tensors.header.metadata.get('format') !== 'gradloom'
}

/**
 * `mostBytes`: what an array can have at most. `wanted`: names of the arrays to read; default all. Throws DataError or
 * CheckpointError.
 */
export async function readForeign(file: string, mostBytes: number, wanted = /^/): Promise<ForeignFile> {
  const read = isNpz(file) ? readNpz : readSafetensors
  return read(file, mostBytes, wanted)
}

async function readNpz(file: string, mostBytes: number, wanted: RegExp): Promise<ForeignFile> {
  const archive = await readRegularFile(file).catch(cause => {
    throw new DataError(`${file}: cannot be read: ${cause.message}`, { cause })
  })
  const texts = new Map<string, string>()
  const arrays = zipEntries(file, archive).flatMap((entry): ForeignArray[] => {
    const name = entry.name.slice(0, -'.npy'.length)
    if (!entry.name.endsWith('.npy') || !wanted.test(name)) return []
    expectSize(file, name, entry.originalSize, mostBytes)
    const bytes = entry.read()
    const where = `${file}: ${name}`
    const { type, shape, values } = name === FACTS ? parseNpyLabels(where, bytes) : parseNpy(where, bytes)
    if (typeof values[0] !== 'string') {
      return [{ name, shape, whole: !type.startsWith('f'), values: values as ArrayLike<number> }]
    }
    texts.set(name, values[0])
    return []
  })
  return { arrays, unread: [], texts, sha256: createHash('sha256').update(archive).digest('hex') }
}

/** A .npy header, and what numbers of 8 bytes take. */
const HEADER_BYTES = 2 ** 16

function expectSize(file: string, name: string, bytes: number, mostBytes: number): void {
  if (bytes <= mostBytes + HEADER_BYTES) return
  throw new DataError(
    `${file}: ${name} has ${bytes} bytes, expected at most ${mostBytes}: the largest array of the model`,
  )
}

type Floats = (bytes: Uint8Array) => ArrayLike<number>
const FLOATS: Readonly<Record<string, Floats>> = {
  F32: bytes => new Float32Array(bytes.slice().buffer),
  F64: bytes => new Float64Array(bytes.slice().buffer),
  BF16: bytes => widenBf16(halvesOf(bytes)),
  F16: bytes => widenF16(halvesOf(bytes)),
}

/** Types of whole numbers. */
const WHOLE = /^([IU]\d+|BOOL)$/

async function readSafetensors(file: string, mostBytes: number, wanted: RegExp): Promise<ForeignFile> {
  const tensors = await TensorFile.open(file)
  try {
    const arrays: ForeignArray[] = []
    const unread: { name: string; dtype: string }[] = []
    for (const { name, shape, dtype, begin, end } of tensors.header.tensors.values()) {
      if (!wanted.test(name)) continue
      const floats = Object.hasOwn(FLOATS, dtype) ? FLOATS[dtype] : undefined
      if (!floats && !WHOLE.test(dtype)) {
        unread.push({ name, dtype })
        continue
      }
      expectSize(file, name, end - begin, mostBytes)
      const bytes = new Uint8Array(floats ? end - begin : 0)
      if (floats) await tensors.read(name, bytes)
      arrays.push({ name, shape, whole: !floats, values: floats?.(bytes) ?? [] })
    }
    const facts = tensors.header.metadata.get(FACTS)
    const texts = new Map(facts === undefined ? [] : [[FACTS, facts]])
    return { arrays, unread, texts, sha256: await sha256Of(file) }
  } finally {
    await tensors.close()
  }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
