/** `.npy` files as NumPy writes them (version 1, C order), and archives of them. */
import { zipSync } from 'fflate'

type Numbers = Uint8Array | Float32Array | Float64Array | Int32Array

const TYPES: readonly (readonly [new (length: number) => Numbers, string])[] = [
  [Uint8Array, '|u1'],
  [Float32Array, '<f4'],
  [Float64Array, '<f8'],
  [Int32Array, '<i4'],
]

export function npyOf(shape: readonly number[], numbers: Numbers): Uint8Array {
  const type = TYPES.find(([kind]) => numbers instanceof kind)![1]
  const header = `{'descr': '${type}', 'fortran_order': False, 'shape': (${shape.join(', ')},), }\n`
  const start = Buffer.alloc(10)
  start.write('\x93NUMPY\x01', 'latin1')
  start.writeUInt16LE(header.length, 8)
  const body = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)
  return Buffer.concat([start, Buffer.from(header, 'latin1'), body])
}

/** The bytes of an .npz archive: arrays by name, each with its shape. */
export function npzOf(
  arrays: Readonly<Record<string, readonly [shape: readonly number[], numbers: Numbers]>>,
): Uint8Array {
  const files = Object.entries(arrays).map(([name, [shape, numbers]]) => [`${name}.npy`, npyOf(shape, numbers)])
  return zipSync(Object.fromEntries(files))
}
