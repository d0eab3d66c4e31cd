/**
 * A backend with a memory of its own, for tests. Tensors come filled with NaN, so that what a kernel leaves unwritten,
 * or reads without leave, shows; they are read and written by logical (row, column), in whatever form the backend keeps
 * them; and a kernel can be run under guard: every byte it changes outside of its outputs is found.
 */

import type { NdArray } from 'ndarray'
import type { Backend, BiasTensors, KernelContext, Kernels, WeightTensors } from '../../src/kernels/backend.js'
import { patchSize, type Window } from '../../src/model/convolution.js'
import { createArena, Reservations, viewSlot } from '../../src/tensor/arena.js'
import { Purpose, philox } from '../../src/tensor/random.js'
import {
  type ByteTensor,
  type Dtype,
  type FloatTensor,
  type IntTensor,
  type Matrix,
  type Tensor,
  type TensorData,
  viewTensor,
} from '../../src/tensor/tensor.js'

/** A tensor as a (rows, cols) table: row-major, in panels, or a vector, which has one row. */
export interface Sheet {
  readonly rows: number
  readonly cols: number
  readonly tensor: Tensor
}

/** Rows [row, row + rows) and columns [col, col + cols) of a sheet. */
export interface Region {
  readonly sheet: Sheet
  readonly row: number
  readonly rows: number
  readonly col: number
  readonly cols: number
}

const LAB_BYTES = 48 << 20
const WIDEST = 512
/** No window of a test needs more scratch. */
const LARGEST_SHAPE = { height: 20, width: 20, channels: 80 }
const LARGEST_WINDOW: Window = { input: LARGEST_SHAPE, output: LARGEST_SHAPE, size: 7, stride: 1, top: 0, left: 0 }

export class Lab {
  readonly backend: Backend
  readonly kernels: Kernels
  readonly #memory: WebAssembly.Memory
  #reservations = new Reservations()
  /** Offset of the first tensor, after the scratch. */
  #begin = 0

  private constructor(backend: Backend, context: Omit<KernelContext, 'scratchByteOffset'>) {
    this.backend = backend
    this.#memory = context.memory
    this.kernels = backend.instantiate({ ...context, scratchByteOffset: this.reset() })
  }

  /** `openNative` gives a native backend its products over the lab's memory. */
  static async open(
    backend: Backend,
    openNative: (memory: WebAssembly.Memory) => Promise<KernelContext['native']> = async () => null,
  ): Promise<Lab> {
    const memory = createArena(LAB_BYTES)
    return new Lab(backend, { memory, module: await backend.compile(), native: await openNative(memory) })
  }

  /** Gives back every tensor. Returns where the scratch lies. */
  reset(): number {
    this.#reservations = new Reservations()
    const bytes = Math.max(
      this.backend.scratchBytes(WIDEST, 1000, null),
      this.backend.convolutionScratchBytes(LARGEST_WINDOW),
    )
    const scratch = this.#reservations.reserve('scratch', 'uint8', [bytes])
    this.#begin = this.#reservations.bytes
    return scratch.byteOffset
  }

  /** The nearest number that this backend can hold. */
  round(x: number): number {
    return this.backend.dtype === 'float32' ? Math.fround(x) : x
  }

  /** (B, cols), every row NaN, padding zero. */
  matrix(rows: number, cols: number): Matrix {
    const tensor = this.#float('matrix', this.backend.matrixShape(rows, cols))
    const physicalRows = tensor.shape[tensor.dimension - 2]
    fill(whole({ rows: physicalRows, cols, tensor }), () => Number.NaN)
    return { rows, cols, tensor }
  }

  /** Feature maps (B · positions, channels), or rows of features (B, F); every row NaN, padding zero. */
  maps(rows: number, cols: number): Matrix {
    const tensor = this.#float('maps', this.backend.mapsShape(rows, cols))
    fill(whole({ rows, cols, tensor }), () => Number.NaN)
    return { rows, cols, tensor }
  }

  /** The weight of a convolution, as `weight`; what a backend derives is not checked for what is written. */
  convolutionWeight(window: Window, moments = 0): WeightTensors {
    const shape = this.backend.convolutionDerivedShape(window, { training: true, first: false })
    const { derived: _, ...weight } = this.weight(patchSize(window), window.output.channels, moments)
    return { ...weight, derived: shape && this.#float('derived', shape) }
  }

  /** (I, O) with moments and, where the backend has one, a transposed form; NaN, padding zero. */
  weight(inputs: number, outputs: number, moments = 0): WeightTensors {
    const { weightShape, derivedShape } = this.backend
    const tensor = (name: string) => this.#float(name, weightShape(inputs, outputs))
    const turned = derivedShape(inputs, outputs, { training: true, first: false })
    const weight = {
      inputs,
      outputs,
      master: tensor('master'),
      moments: Array.from({ length: moments }, (_, i) => tensor(`moment ${i}`)),
      derived: turned && this.#float('derived', turned),
    }
    for (const sheet of weightSheets(weight)) fill(whole(sheet), () => Number.NaN)
    return weight
  }

  /** A buffer of the master's form, for `accumulate`; NaN, padding zero. */
  weightBuffer(inputs: number, outputs: number): Sheet & { tensor: FloatTensor } {
    const sheet = { rows: inputs, cols: outputs, tensor: this.weight(inputs, outputs).master }
    return sheet
  }

  /** (O) and its moments, NaN, padding zero. */
  bias(outputs: number, moments = 0): BiasTensors {
    return {
      outputs,
      master: this.biasBuffer(outputs).tensor,
      moments: Array.from({ length: moments }, () => this.biasBuffer(outputs).tensor),
    }
  }

  biasBuffer(outputs: number): Sheet & { tensor: FloatTensor } {
    const sheet = vector(outputs, this.#float('bias', this.backend.biasShape(outputs)))
    fill(whole(sheet), () => Number.NaN)
    return sheet
  }

  integers(values: readonly number[]): IntTensor {
    const tensor = this.#tensor('integers', 'int32', [values.length])
    tensor.data.set(values)
    return tensor
  }

  bytes(rows: number, cols: number, value: () => number): ByteTensor {
    const tensor = this.#tensor('bytes', 'uint8', [rows, cols])
    tensor.data.forEach((_, i) => {
      tensor.data[i] = value()
    })
    return tensor
  }

  /** (rows, cols) float32 in every backend. */
  singles(rows: number, cols: number): FloatTensor {
    const tensor = this.#tensor('singles', 'float32', [rows, cols])
    tensor.data.fill(Number.NaN)
    return tensor
  }

  /** (length) float32 in every backend. */
  single(length: number): FloatTensor {
    const tensor = this.#tensor('single', 'float32', [length])
    tensor.data.fill(Number.NaN)
    return tensor
  }

  doubles(length: number): FloatTensor {
    const tensor = this.#tensor('doubles', 'float64', [length])
    tensor.data.fill(Number.NaN)
    return tensor
  }

  /** Runs a kernel, and says which bytes outside of `outputs` it changed; scratch is its own. */
  guarded<T>(outputs: readonly Region[], kernel: () => T): { readonly result: T; readonly strays: string } {
    const bytes = new Uint8Array(this.#memory.buffer, this.#begin, this.#reservations.bytes - this.#begin)
    const before = new Uint8Array(bytes)
    const result = kernel()
    for (const region of outputs) {
      const { data } = region.sheet.tensor
      const { dtype } = region.sheet.tensor as NdArray<TensorData[Dtype]>
      const kept = viewTensor(before.buffer, dtype, [data.length], data.byteOffset - this.#begin).data
      eachCell(region, index => {
        kept[index] = data[index]
      })
    }
    return { result, strays: Buffer.compare(before, bytes) === 0 ? '' : this.#firstStray(before, bytes) }
  }

  #firstStray(before: Uint8Array, after: Uint8Array): string {
    const at = this.#begin + before.findIndex((byte, i) => byte !== after[i])
    const slot = this.#reservations.slots.findLast(({ byteOffset }) => byteOffset <= at)!
    return `wrote to ${slot.name} (${slot.shape.join(', ')}) at its byte ${at - slot.byteOffset}, outside of its outputs`
  }

  #float(name: string, shape: readonly number[]): FloatTensor {
    return this.#tensor(name, this.backend.dtype, shape)
  }

  #tensor<T extends Dtype>(name: string, dtype: T, shape: readonly number[]): NdArray<TensorData[T]> {
    const tensor = viewSlot(this.#memory, this.#reservations.reserve(name, dtype, shape))
    tensor.data.fill(0)
    return tensor
  }
}

export const vector = <T extends Tensor>(length: number, tensor: T): Sheet & { tensor: T } => ({
  rows: 1,
  cols: length,
  tensor,
})

export const whole = (sheet: Sheet): Region => ({ sheet, row: 0, rows: sheet.rows, col: 0, cols: sheet.cols })

export const rowsOf = (sheet: Sheet, row: number, rows: number): Region => ({ ...whole(sheet), row, rows })

/** Master, moments and, where the backend derives that, the transposed form of a weight, each as its own table. */
export function weightSheets({ inputs, outputs, master, moments, derived }: WeightTensors): Sheet[] {
  const sheets: Sheet[] = [master, ...moments].map(tensor => ({ rows: inputs, cols: outputs, tensor }))
  return derived && derived.dimension > 1 ? [...sheets, { rows: outputs, cols: inputs, tensor: derived }] : sheets
}

/** Visits a region row by row: index into the tensor's data, row, column. */
export function eachCell(
  { sheet, row, rows, col, cols }: Region,
  visit: (index: number, r: number, c: number) => void,
) {
  const { tensor } = sheet
  const width = tensor.shape[2]
  for (let r = row; r < row + rows; r++) {
    for (let c = col; c < col + cols; c++) {
      const index =
        tensor.dimension === 3
          ? tensor.index(Math.floor(c / width), r, c % width)
          : tensor.dimension === 2
            ? tensor.index(r, c)
            : tensor.index(c)
      visit(index, r, c)
    }
  }
}

export function fill(region: Region, value: (r: number, c: number) => number): void {
  const { data } = region.sheet.tensor
  eachCell(region, (index, r, c) => {
    data[index] = value(r, c)
  })
}

/** The region's numbers, row by row. */
export function read(region: Region): Float64Array {
  const { data } = region.sheet.tensor
  const values = new Float64Array(region.rows * region.cols)
  let n = 0
  eachCell(region, index => {
    values[n++] = data[index]
  })
  return values
}

/** Uniform in [-1, 1), on f32's grid, so that every backend is given the same numbers. */
export function randoms(seed: number): () => number {
  const words = new Uint32Array(4)
  let n = 0
  return () => {
    if (n % 4 === 0) philox(words, n / 4, 0, 0, 0, seed, Purpose.augmentation)
    return (words[n++ % 4] >>> 8) / 2 ** 23 - 1
  }
}
