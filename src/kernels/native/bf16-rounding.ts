/**
 * Kernels between the products, followed by the rounding of what they wrote: every kernel that writes a batch matrix also writes its bf16
 * layouts, which the next product reads. Runs in workers.
 */
import type { Matrix } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { Columns, Kernels } from '../backend.js'
import { BF16_BYTES, BF16_COLUMNS, F32_BYTES, PAIR_BYTES } from '../layouts.js'
import { depthOf, layoutsOf, widthOf } from './bf16-layouts.js'
import { allColumns } from './row-major.js'

const VECTOR = 4
const OCTET = 8

type RoundRows = (row: number, rows: number, columns?: Columns) => void

/** Writes the bf16 rows that products read as a. */
function bindRows(wasm: WasmExports, matrix: Matrix): RoundRows {
  const { at, stride, rowsAt, depth } = layoutsOf(matrix)
  return (row, rows, { start, end } = allColumns(matrix.cols)) => {
    const to = rowsAt + (row * depth + start) * BF16_BYTES
    const octets = (depthOf(end) - start) / OCTET
    wasm.bf16_rows(to, depth * BF16_BYTES, at + row * stride + start * F32_BYTES, stride, rows, octets)
  }
}

/** Writes the transposed layout of activations, which gradients read. `row` is a multiple of BF16_DEPTH. */
export function bindTransposed(wasm: WasmExports, matrix: Matrix): RoundRows {
  const { at, stride, transposedAt, capacity } = layoutsOf(matrix)
  return (row, rows, { start, end } = allColumns(matrix.cols)) => {
    const to = transposedAt + (start * capacity + row) * BF16_BYTES
    const from = at + row * stride + start * F32_BYTES
    const vectors = (widthOf(end) - start) / VECTOR
    wasm.bf16_columns(to, capacity * BF16_BYTES, from, stride, rows, vectors, depthOf(rows))
  }
}

/** Writes both layouts of activations; gradients read the second, so it is for training alone. */
function bindActivations(wasm: WasmExports, matrix: Matrix) {
  const [asRows, asTransposed] = [bindRows(wasm, matrix), bindTransposed(wasm, matrix)]
  return (row: number, rows: number, training: boolean, columns?: Columns) => {
    asRows(row, rows, columns)
    if (training) asTransposed(row, rows, columns)
  }
}

/** Writes both layouts of deltas. `row` is a multiple of BF16_DEPTH. */
function bindDeltas(wasm: WasmExports, matrix: Matrix): RoundRows {
  const asRows = bindRows(wasm, matrix)
  const { at, stride, pairsAt, pairsBlockBytes } = layoutsOf(matrix)
  return (row, rows, columns = allColumns(matrix.cols)) => {
    asRows(row, rows, columns)
    for (let start = columns.start; start < columns.end; start += BF16_COLUMNS) {
      const to = pairsAt + (start / BF16_COLUMNS) * pairsBlockBytes + (row / 2) * PAIR_BYTES
      wasm.bf16_pairs(to, at + row * stride + start * F32_BYTES, stride, rows, depthOf(rows))
    }
  }
}

type Rounded = Pick<
  Kernels,
  | 'gather'
  | 'biasActivate'
  | 'dropout'
  | 'softmaxLoss'
  | 'squaredLoss'
  | 'sigmoidLoss'
  | 'activateBackward'
  | 'batchNormBackward'
  | 'layerNormBackward'
>

/** Kernels that also round their output. */
export function withRounding(wasm: WasmExports, kernels: Rounded): Rounded {
  return {
    gather(...args) {
      const gather = kernels.gather(...args)
      const round = bindActivations(wasm, args[0])
      return (row, rows) => {
        gather(row, rows)
        round(row, rows, true)
      }
    },
    biasActivate(...args) {
      const activate = kernels.biasActivate(...args)
      const round = bindActivations(wasm, args[0])
      return (row, rows, epoch, training, columns) => {
        const finite = activate(row, rows, epoch, training, columns)
        round(row, rows, training, columns)
        return finite
      }
    },
    dropout(...args) {
      const drop = kernels.dropout(...args)
      const round = bindActivations(wasm, args[0])
      return (row, rows, epoch) => {
        drop(row, rows, epoch)
        round(row, rows, true)
      }
    },
    softmaxLoss: args => roundDeltas(kernels.softmaxLoss(args), bindDeltas(wasm, args.z)),
    squaredLoss: args => roundDeltas(kernels.squaredLoss(args), bindDeltas(wasm, args.z)),
    sigmoidLoss: args => roundDeltas(kernels.sigmoidLoss(args), bindDeltas(wasm, args.z)),
    activateBackward(...args) {
      const backward = kernels.activateBackward(...args)
      const round = bindDeltas(wasm, args[0])
      return (row, rows, columns) => {
        const finite = backward(row, rows, columns)
        round(row, rows, columns)
        return finite
      }
    },
    batchNormBackward(...args) {
      const backward = kernels.batchNormBackward(...args)
      const round = bindDeltas(wasm, args[0])
      return (rows, columns) => {
        const finite = backward(rows, columns)
        round(0, rows, columns)
        return finite
      }
    },
    layerNormBackward(...args) {
      const backward = kernels.layerNormBackward(...args)
      const round = bindDeltas(wasm, args[0])
      return (row, rows) => {
        const finite = backward(row, rows)
        round(row, rows)
        return finite
      }
    },
  }
}

type Loss = (row: number, rows: number, deltaScale: number) => boolean

/** Rounds the deltas of a loss; when it only scores, nothing reads its output. */
function roundDeltas(loss: Loss, round: RoundRows): Loss {
  return (row, rows, deltaScale) => {
    const finite = loss(row, rows, deltaScale)
    if (deltaScale > 0) round(row, rows)
    return finite
  }
}
