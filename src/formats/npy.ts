/**
 * NumPy's .npy format: a header in Python's notation, then the elements. Versions 1 to 3, numbers of every plain type
 * and texts, both byte orders, C and Fortran order. Pure; any thread.
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
import { inspect } from 'node:util'
import { DataError } from '../errors.js'
import { widenF16 } from '../tensor/bf16.js'

export interface NpyArray {
  /** NumPy's letter and bytes of an element, such as `f4`. */
  readonly type: string
  readonly shape: readonly number[]
  /** Elements in C order. `u1` as bytes; all others as f64. */
  readonly values: Uint8Array | Float64Array
}

/** Texts (NumPy's `U` and `S`), without the zeros that pad them. */
export interface NpyTexts {
  readonly type: string
  readonly shape: readonly number[]
  readonly values: readonly string[]
}

const MAGIC = '\x93NUMPY'
type Read = (view: DataView, at: number, little: boolean) => number
const READERS: Readonly<Record<string, Read>> = {
  b1: (view, at) => view.getUint8(at),
  i1: (view, at) => view.getInt8(at),
  u1: (view, at) => view.getUint8(at),
  i2: (view, at, little) => view.getInt16(at, little),
  u2: (view, at, little) => view.getUint16(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  f2: (view, at, little) => widenF16(Uint16Array.of(view.getUint16(at, little)))[0],
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
}

/** Numbers. `where` begins messages. Throws DataError, also for a whole number that f64 cannot distinguish from its neighbours. */
export function parseNpy(where: string, bytes: Uint8Array): NpyArray {
  const file = openNpy(where, bytes)
  const { type, shape, count, fortran, little } = file
  const read = Object.hasOwn(READERS, type) ? READERS[type] : undefined
  if (read === undefined) throw unknownType(where, type, Object.keys(READERS).join(', '))
  const view = elementsOf(where, file, Number(type[1]))
  if (type === 'u1' && !fortran) {
    return { type, shape, values: new Uint8Array(view.buffer, view.byteOffset, view.byteLength) }
  }
  const values = type === 'u1' ? new Uint8Array(count) : new Float64Array(count)
  const place = fortran ? fortranIndex(shape) : (i: number) => i
  const size = Number(type[1])
  for (let i = 0; i < count; i++) values[place(i)] = read(view, i * size, little)
  if (size === 8 && type !== 'f8') expectExact(where, type, values)
  return { type, shape, values }
}

/** Numbers, or texts. */
export function parseNpyLabels(where: string, bytes: Uint8Array): NpyArray | NpyTexts {
  const file = openNpy(where, bytes)
  const { type, shape, count, fortran, little } = file
  const [, kind, length] = /^([US])(\d+)$/.exec(type) ?? []
  if (kind === undefined) return parseNpy(where, bytes)
  const size = Number(length) * (kind === 'U' ? 4 : 1)
  const view = elementsOf(where, file, size)
  const values = new Array<string>(count)
  const place = fortran ? fortranIndex(shape) : (i: number) => i
  for (let i = 0; i < count; i++) {
    values[place(i)] = kind === 'U' ? codePoints(where, view, i * size, size, little) : characters(view, i * size, size)
  }
  return { type, shape, values }
}

function codePoints(where: string, view: DataView, at: number, size: number, little: boolean): string {
  let text = ''
  for (let end = at + size; at < end; at += 4) {
    const point = view.getUint32(at, little)
    if (point > 0x10ffff)
      throw new DataError(`${where}: a character is 0x${point.toString(16)}, expected one of Unicode's`)
    text += String.fromCodePoint(point)
  }
  return text.replace(/\0+$/, '')
}

const characters = (view: DataView, at: number, size: number): string =>
  Buffer.from(view.buffer, view.byteOffset + at, size)
    .toString('utf8')
    .replace(/\0+$/, '')

function expectExact(where: string, type: string, values: ArrayLike<number>): void {
  for (let i = 0; i < values.length; i++) {
    if (Number.isSafeInteger(values[i])) continue
    throw new DataError(
      `${where}: element ${i} is about ${values[i]}, expected whole numbers up to 2^53; it is ${type}, and larger ones are not exact`,
    )
  }
}

interface NpyFile {
  readonly type: string
  readonly shape: readonly number[]
  readonly count: number
  readonly fortran: boolean
  readonly little: boolean
  /** Elements, as they are stored. */
  readonly body: Uint8Array
}

function openNpy(where: string, bytes: Uint8Array): NpyFile {
  const { header, start } = headerOf(where, bytes)
  const [, order, type] = /'descr': *'([<>|=]?)(\w+)'/.exec(header) ?? []
  if (type === undefined) throw unknownType(where, descrOf(header), Object.keys(READERS).join(', '))
  const fortran = /'fortran_order': *(True|False)/.exec(header)?.[1]
  const dims = /'shape': *\(([\d, ]*)\)/.exec(header)?.[1]
  if (fortran === undefined || dims === undefined) {
    throw new DataError(`${where}: header is ${inspect(header.slice(0, 120))}, expected descr, fortran_order and shape`)
  }
  const shape = dims.split(',').flatMap(dim => (dim.trim() === '' ? [] : [Number(dim)]))
  const count = shape.reduce((size, dim) => size * dim, 1)
  return { type, shape, count, fortran: fortran === 'True', little: order !== '>', body: bytes.subarray(start) }
}

/** Type of the elements as the header writes it, such as `<M8[s]` of dates, or fields by name. */
const descrOf = (header: string): string => {
  const [, text, fields] = /'descr': *(?:'([^']*)'|(.{0,60}))/s.exec(header) ?? []
  return text ?? fields ?? header.slice(0, 80)
}

/** A view of the elements, which must be as many as the header says. `size`: bytes of one. */
function elementsOf(where: string, { type, shape, count, body }: NpyFile, size: number): DataView {
  if (!Number.isSafeInteger(count * size) || count * size !== body.length) {
    throw new DataError(
      `${where}: has ${body.length} bytes of elements, expected ${count * size}; it is ${type} of shape (${shape.join(', ')})`,
    )
  }
  return new DataView(body.buffer, body.byteOffset, body.length)
}

function unknownType(where: string, type: string, known: string): DataError {
  const hint = type.startsWith('O')
    ? 'objects are kept as Python pickles, which are programs: save numbers, or texts by labels.astype(str)'
    : type.includes('M8') || type.includes('m8')
      ? 'dates as numbers: dates.astype("int64"), or the difference from a date in common'
      : undefined
  return new DataError(`${where}: elements are ${inspect(type)}, expected one of ${known}`, { hint })
}

function headerOf(where: string, bytes: Uint8Array): { header: string; start: number } {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (text.length < 12 || text.toString('latin1', 0, 6) !== MAGIC) {
    throw new DataError(
      `${where}: begins with ${inspect(text.toString('latin1', 0, 6))}, expected NumPy's '\\x93NUMPY'`,
    )
  }
  const version = text[6]
  if (version < 1 || version > 3) throw new DataError(`${where}: is .npy version ${version}, expected 1, 2 or 3`)
  const prefix = version === 1 ? 10 : 12
  const length = version === 1 ? text.readUInt16LE(8) : text.readUInt32LE(8)
  if (prefix + length > text.length) {
    throw new DataError(
      `${where}: header is ${length} bytes long, expected at most ${text.length - prefix}; it is truncated`,
    )
  }
  return { header: text.toString('latin1', prefix, prefix + length), start: prefix + length }
}

/** Maps an index in Fortran order, the first dimension fastest, to one in C order. */
function fortranIndex(shape: readonly number[]): (i: number) => number {
  return i => {
    let rest = i
    let index = 0
    let stride = shape.reduce((size, dim) => size * dim, 1)
    for (const dim of shape) {
      stride /= dim
      index += (rest % dim) * stride
      rest = Math.floor(rest / dim)
    }
    return index
  }
}
