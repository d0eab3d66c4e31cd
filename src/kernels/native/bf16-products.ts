/**
 * Matrix products in bf16: a block of the result is computed in 64 columns at a time, each in the thread's scratch, and
 * finished from there while it is in cache. Runs in workers.
 */
import { byteOffsetOf, type Matrix } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { ActivationSpec, BlockKernel, Columns, Kernels, WeightTensors } from '../backend.js'
import { BF16_BYTES, BF16_COLUMNS, BLOCK_ROW_BYTES, F32_BYTES, PAIR_BYTES } from '../layouts.js'
import { bindMask, DROPOUT_SCRATCH_BYTES } from '../module/elementwise.js'
import type { Bf16BlocksShape, BindBf16Blocks, NativeGemm, NativeProducts } from '../products.js'
import { checkLinear, checkLinearBackward } from '../shapes.js'
import { depthOf, layoutsOf, transposedOf } from './bf16-layouts.js'
import { bindTransposed } from './bf16-rounding.js'
import { allColumns } from './row-major.js'

const VECTOR = 4
const LINE_BYTES = 64

export interface MultiplyBf16 {
  /** c = a · b, or plus that, in 64-column blocks of b and c; all are byte offsets in the arena. */
  run(shape: Bf16BlocksShape, a: number, b: number, c: number): void
  /** Blocks of a product that is worth its call. */
  readonly blocks: number
}

const isSame = (a: Bf16BlocksShape, b: Bf16BlocksShape): boolean =>
  a.m === b.m &&
  a.k === b.k &&
  a.accumulate === b.accumulate &&
  a.blocks === b.blocks &&
  a.bBlock === b.bBlock &&
  a.cBlock === b.cBlock

/** Binds each shape at its first use. A layer has few: a list is searched faster than a map. */
export function bf16ProductsOf(native: NativeProducts | null): MultiplyBf16 {
  if (!native) {
    const run = () => {
      throw new TypeError('bf16: the library is not open in this thread')
    }
    return { run, blocks: 1 }
  }
  const { bf16, base } = native
  if (!bf16) throw new TypeError('bf16: the library has no products in bf16')
  const known: { shape: Bf16BlocksShape; run: ReturnType<BindBf16Blocks> }[] = []
  return {
    blocks: bf16.blocks,
    run(shape, a, b, c) {
      let bound = known.find(of => isSame(of.shape, shape))
      if (!bound) {
        bound = { shape, run: bf16.bind(shape) }
        known.push(bound)
      }
      bound.run(base + a, base + b, base + c)
    },
  }
}

/** Bytes of the scratch in front of the products: masks are drawn there while products wait for theirs. */
const PRODUCTS_AT = DROPOUT_SCRATCH_BYTES
export const productScratchBytes = (rows: number, blocks: number): number =>
  PRODUCTS_AT + depthOf(rows) * blocks * BLOCK_ROW_BYTES

/** Bytes of b that are prefetched for the next product where several blocks are one. */
const BEGIN_BYTES = 8192

/**
 * Finishes 64 columns of a product, of which the rows [row, row + rows) are at `product`; returns whether all are finite.
 * The operand of the next product begins at `ahead`: `aheadRow` bytes of it may be prefetched for each row.
 */
type FinishBlock = (
  product: number,
  row: number,
  rows: number,
  column: number,
  ahead: number,
  aheadRow: number,
) => boolean

/** Context that the products of one thread share. */
interface Context {
  readonly wasm: WasmExports
  readonly native: NativeProducts | null
  readonly multiply: MultiplyBf16
  readonly scratch: number
}

/** Products of a with b, in pairs of rows, in blocks of 64 columns through the scratch; returns whether all are finite. */
function bindBlocks({ multiply, scratch }: Context, out: Matrix, a: Matrix, b: number) {
  const from = layoutsOf(a)
  const bBlock = from.depth * BF16_COLUMNS * BF16_BYTES
  const products = scratch + PRODUCTS_AT
  return (row: number, rows: number, { start, end }: Columns = allColumns(out.cols), finish: FinishBlock): boolean => {
    const all = Math.ceil((end - start) / BF16_COLUMNS)
    const most = Math.ceil(all / Math.ceil(all / multiply.blocks))
    const cBlock = rows * BLOCK_ROW_BYTES
    const prefetched = most === 1 ? bBlock : Math.min(bBlock, BEGIN_BYTES)
    const aheadRow = Math.ceil(prefetched / rows / LINE_BYTES) * LINE_BYTES
    let finite = true
    for (let block = 0; block < all; block += most) {
      const blocks = Math.min(most, all - block)
      const first = b + (start / BF16_COLUMNS + block) * bBlock
      const shape = { m: rows, k: from.depth, accumulate: false, blocks, bBlock, cBlock }
      multiply.run(shape, from.rowsAt + row * from.depth * BF16_BYTES, first, products)
      for (let i = 0; i < blocks; i++) {
        const ahead = first + (blocks + i) * bBlock
        const hasNext = block + blocks + i < all
        const column = start + (block + i) * BF16_COLUMNS
        if (!finish(products + i * cBlock, row, rows, column, ahead, hasNext ? aheadRow : 0)) finite = false
      }
    }
    return finite
  }
}

/** Copies 64 columns of a product from the scratch to their destination. */
function bindPlace({ wasm }: Context, out: Matrix): FinishBlock {
  const { at, stride } = layoutsOf(out)
  return (product, row, rows, column) => {
    const to = at + row * stride + column * F32_BYTES
    wasm.copy_rows(to, stride, product, BLOCK_ROW_BYTES, rows, BLOCK_ROW_BYTES)
    return true
  }
}

type Products = Pick<Kernels, 'linear' | 'linearBackward'> &
  Required<Pick<Kernels, 'linearActivate' | 'linearActivateBackward'>>

/** Binds the products. `activations`: the kernels that finish what the fused ones do not serve, with their rounding. */
export function bindProducts(
  context: Context,
  activations: Pick<Kernels, 'biasActivate' | 'activateBackward'>,
): Products {
  return {
    linear(out, x, w) {
      checkLinear(out, x, w)
      if (!w.derived) return linearInF32(context, out, x, w)
      const multiply = bindBlocks(context, out, x, byteOffsetOf(w.derived))
      const place = bindPlace(context, out)
      return (row, rows, columns) => void multiply(row, rows, columns, place)
    },
    linearBackward(dx, dz, w) {
      checkLinearBackward(dx, dz, w)
      const multiply = bindBlocks(context, dx, dz, transposedOf(w))
      const place = bindPlace(context, dx)
      return (row, rows, columns) => void multiply(row, rows, columns, place)
    },
    linearActivate: (...args) => linearActivate(context, activations, ...args),
    linearActivateBackward: (...args) => linearActivateBackward(context, activations, ...args),
  }
}

/** Products of several blocks leave more in the scratch than a cache keeps until all are done: then every activation follows at once. */
const isFused = ({ type }: ActivationSpec, { multiply }: Context): boolean => type === 'relu' || multiply.blocks > 1

function linearActivate(
  context: Context,
  { biasActivate }: Pick<Kernels, 'biasActivate'>,
  ...[out, x, w, bias, activation, dropout]: Parameters<Products['linearActivate']>
): ReturnType<Products['linearActivate']> {
  checkLinear(out, x, w)
  if (!w.derived || !isFused(activation, context)) return null
  const { wasm, scratch } = context
  const multiply = bindBlocks(context, out, x, byteOffsetOf(w.derived))
  const place = bindPlace(context, out)
  const activate = biasActivate(out, bias, activation, dropout)
  const transpose = bindTransposed(wasm, out)
  const maskOf = bindMask(dropout, scratch)
  const isRelu = activation.type === 'relu'
  const { at, stride, rowsAt, depth } = layoutsOf(out)
  const biasAt = byteOffsetOf(bias.master)
  return (row, rows, epoch, training, columns) => {
    const drops = training && dropout.rate > 0
    const mask = maskOf(row, epoch)
    const finite = multiply(row, rows, columns, (product, row, rows, column, ahead, aheadRow) => {
      if (!isRelu || column + BF16_COLUMNS > depth) {
        place(product, row, rows, column, ahead, aheadRow)
        const end = Math.min(column + BF16_COLUMNS, out.cols)
        return activate(row, rows, epoch, training, { start: column, end })
      }
      const b = biasAt + column * F32_BYTES
      const z = at + row * stride + column * F32_BYTES
      const to = rowsAt + (row * depth + column) * BF16_BYTES
      const block = [z, stride, product, rows, b, to, depth * BF16_BYTES, ahead, aheadRow] as const
      const bad = drops ? wasm.bf16_forward_dropout(...block, column / VECTOR, ...mask) : wasm.bf16_forward(...block)
      return bad === 0
    })
    // Others have been transposed block by block.
    if (training && isRelu) transpose(row, rows, columns)
    return finite
  }
}

function linearActivateBackward(
  context: Context,
  { activateBackward }: Pick<Kernels, 'activateBackward'>,
  ...[dx, dz, w, a, activation, rate]: Parameters<Products['linearActivateBackward']>
): ReturnType<Products['linearActivateBackward']> {
  checkLinearBackward(dx, dz, w)
  if (!isFused(activation, context)) return null
  const { wasm } = context
  const multiply = bindBlocks(context, dx, dz, transposedOf(w))
  const place = bindPlace(context, dx)
  const activate = activateBackward(dx, a, activation, rate)
  const { at, stride, rowsAt, depth, pairsAt, pairsBlockBytes } = layoutsOf(dx)
  const outputs = layoutsOf(a)
  const isRelu = activation.type === 'relu'
  const scale = 1 / (1 - rate)
  return (row, rows, columns) =>
    multiply(row, rows, columns, (product, row, rows, column, ahead, aheadRow) => {
      if (!isRelu || column + BF16_COLUMNS > depth) {
        place(product, row, rows, column, ahead, aheadRow)
        return activate(row, rows, { start: column, end: Math.min(column + BF16_COLUMNS, dx.cols) })
      }
      const pairs = pairsAt + (column / BF16_COLUMNS) * pairsBlockBytes + (row / 2) * PAIR_BYTES
      const bad = wasm.bf16_backward(
        ...([at + row * stride + column * F32_BYTES, stride, product, rows] as const),
        ...([outputs.at + row * outputs.stride + column * F32_BYTES, outputs.stride] as const),
        ...([rowsAt + (row * depth + column) * BF16_BYTES, depth * BF16_BYTES] as const),
        ...([pairs, depthOf(rows), ahead, aheadRow, scale] as const),
      )
      return bad === 0
    })
}

/** out = x · w if no bf16 layout is kept: averages of weights, which are scored and never trained. */
function linearInF32({ native, wasm, scratch }: Context, out: Matrix, x: Matrix, w: WeightTensors): BlockKernel {
  if (!native) throw new TypeError('bf16: the library is not open in this thread')
  const { gemm, base } = native
  const bound = new Map<number, ReturnType<NativeGemm['bind']>>()
  const [to, from] = [layoutsOf(out), layoutsOf(x)]
  const shape = { form: 'nn', n: BF16_COLUMNS, k: w.inputs, lda: from.stride / F32_BYTES } as const
  return (row, rows, { start, end } = allColumns(out.cols)) => {
    let run = bound.get(rows)
    if (!run) {
      run = gemm.bind({ ...shape, m: rows, ldb: BF16_COLUMNS, ldc: BF16_COLUMNS, accumulate: false })
      bound.set(rows, run)
    }
    for (let column = start; column < end; column += BF16_COLUMNS) {
      const block = byteOffsetOf(w.master) + (column / BF16_COLUMNS) * w.inputs * BLOCK_ROW_BYTES
      run(base + from.at + row * from.stride, base + block, base + scratch)
      const place = to.at + row * to.stride + column * F32_BYTES
      wasm.copy_rows(place, to.stride, scratch, BLOCK_ROW_BYTES, rows, BLOCK_ROW_BYTES)
    }
  }
}
