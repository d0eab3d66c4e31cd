/**
 * Tensors: ndarrays over the run's one shared memory, and the checks that give every operation its shapes.
 * Runs on any thread; checks run when a plan is bound, never inside a step.
 */
import type { NdArray, TypedArray } from 'ndarray'
import ndarray from 'ndarray'
import { ShapeError } from '../errors.js'

export const bytesPerElement = { float32: 4, float64: 8, int32: 4, uint8: 1 } as const
export type Dtype = keyof typeof bytesPerElement

export interface TensorData {
  float32: Float32Array
  float64: Float64Array
  int32: Int32Array
  uint8: Uint8Array
}

export type FloatTensor = NdArray<Float32Array | Float64Array>
export type IntTensor = NdArray<Int32Array>
export type ByteTensor = NdArray<Uint8Array>
export type Tensor = NdArray<TypedArray>

/**
 * A (rows, cols) matrix, and the tensor that a backend keeps it in: `(rows, cols)` in row-major
 * form, or `(panels, rows, panelWidth)` in panel form.
 */
export interface Matrix {
  readonly rows: number
  readonly cols: number
  readonly tensor: FloatTensor
}

const constructors = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array } as const

/** A contiguous row-major tensor at a byte offset of a buffer. Throws RangeError where the buffer ends before it. */
export function viewTensor<T extends Dtype>(
  buffer: ArrayBufferLike,
  dtype: T,
  shape: readonly number[],
  byteOffset: number,
): NdArray<TensorData[T]> {
  const data: TypedArray = new constructors[dtype](buffer as ArrayBuffer, byteOffset, sizeOf(shape))
  return ndarray(data, [...shape]) as NdArray<TensorData[T]>
}

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, dim) => size * dim, 1)
}

/** Byte offset of the tensor's first element in its buffer, which is what a WASM kernel takes. */
export function byteOffsetOf(tensor: Tensor): number {
  return tensor.data.byteOffset + tensor.offset * tensor.data.BYTES_PER_ELEMENT
}

export interface Shaped {
  readonly shape: readonly number[]
}

/** The logical shape of a matrix, for `bindShapes`. */
export function matrixShape(matrix: Matrix): Shaped {
  return { shape: [matrix.rows, matrix.cols] }
}

/**
 * Match each tensor against its dimension letters; the first use of a letter binds it. Returns the bound sizes.
 * Throws ShapeError with the letters that were bound before, and by what.
 */
export function bindShapes<D extends string>(
  op: string,
  args: readonly (readonly [name: string, t: Shaped, dims: readonly D[]])[],
): Record<D, number> {
  const bound = {} as Record<D, number>
  const seen: string[] = []
  for (const [name, { shape }, dims] of args) {
    const wanted = dims.map(d => (d in bound ? `${d}=${bound[d]}` : d)).join(', ')
    const fits = shape.length === dims.length && dims.every((d, i) => (bound[d] ?? shape[dims.indexOf(d)]) === shape[i])
    if (!fits) {
      const because = seen.length ? `; bound by ${seen.join(', ')}` : ''
      throw new ShapeError(`${op}: ${name} is (${shape.join(', ')}), expected (${wanted})${because}`)
    }
    dims.forEach((d, i) => {
      bound[d] = shape[i]
    })
    seen.push(`${name} (${shape.join(', ')})`)
  }
  return bound
}
