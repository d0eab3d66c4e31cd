/**
 * NumPy's .npy format: a header in Python's notation, then the numbers. Versions 1 to 3, the plain number types, both
 * byte orders, C and Fortran order. Pure; any thread.
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
import { inspect } from 'node:util'
import { DataError } from '../errors.js'

export interface NpyArray {
  /** NumPy's letter and bytes of an element, such as `f4`. */
  readonly type: string
  readonly shape: readonly number[]
  /** In C order. Bytes of `u1` as they are; all others as f64. */
  readonly values: Uint8Array | Float64Array
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
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
}

/** `where` begins messages. Throws DataError. */
export function parseNpy(where: string, bytes: Uint8Array): NpyArray {
  const { header, start } = headerOf(where, bytes)
  const [, order, type] = /'descr': *'([<>|=]?)(\w+)'/.exec(header) ?? []
  const read = READERS[type]
  if (type === undefined || !Object.hasOwn(READERS, type)) {
    const known = Object.keys(READERS).join(', ')
    throw new DataError(`${where}: numbers are ${inspect(type ?? header.slice(0, 80))}, expected one of ${known}`)
  }
  const fortran = /'fortran_order': *(True|False)/.exec(header)?.[1]
  const dims = /'shape': *\(([\d, ]*)\)/.exec(header)?.[1]
  if (fortran === undefined || dims === undefined) {
    throw new DataError(`${where}: header is ${inspect(header.slice(0, 120))}, expected descr, fortran_order and shape`)
  }
  const shape = dims.split(',').flatMap(dim => (dim.trim() === '' ? [] : [Number(dim)]))
  const count = shape.reduce((size, dim) => size * dim, 1)
  const size = Number(type[1])
  const have = bytes.length - start
  if (!Number.isSafeInteger(count * size) || count * size !== have) {
    throw new DataError(
      `${where}: has ${have} bytes of numbers, expected ${count * size}; it is ${type} of shape (${shape.join(', ')})`,
    )
  }
  if (type === 'u1' && fortran === 'False') return { type, shape, values: bytes.subarray(start) }
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, have)
  const values = type === 'u1' ? new Uint8Array(count) : new Float64Array(count)
  const place = fortran === 'True' ? fortranIndex(shape) : (i: number) => i
  for (let i = 0; i < count; i++) values[place(i)] = read(view, i * size, order !== '>')
  return { type, shape, values }
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

/** From the place in Fortran order, the first index fastest, to that in C order. */
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
