/**
 * Kernels over a native library's matrix products. Matrices are plain row-major (rows, cols), rows padded to whole
 * vectors; what happens between products runs in WASM SIMD on the same memory. Instantiated once per thread.
 *
 * The bits of a product depend on its shape, so whatever is cut here is cut by the network and the mini-batch alone.
 *
 * Test: npx tap dist/test/tensor/kernels.test.js   Bench: npm run bench -- step --backends blas onednn
 */
import type { OptimizerStep } from '../../model/optimizer.js'
import { byteOffsetOf, type FloatTensor, type Matrix } from '../../tensor/tensor.js'
import { instantiateWasm, type WasmExports } from '../abi.js'
import type {
  Backend,
  BiasTensors,
  BiasUpdate,
  BlockKernel,
  Columns,
  KernelContext,
  Kernels,
  Tile,
  WeightTensors,
  WeightUpdate,
} from '../backend.js'
import { augmentScratchBytes, bindAugment } from '../module/augment.js'
import { bindElementwise, DROPOUT_SCRATCH_BYTES } from '../module/elementwise.js'
import { bindNorms } from '../module/norm.js'
import type { PartOf } from '../module/part.js'
import type { NativeGemm, ProductForm } from '../products.js'
import { checkBiasUpdate, checkLinear, checkLinearBackward, checkWeightUpdate } from '../shapes.js'
import { adamNumbers, bindOptimizer, bindRuns, type EachRun, isAdam } from '../wasm/update.js'
import { mayLeaveOutZeros, sparseCost } from '../x64/sparse-products.js'

const ELEMENT_BYTES = 4
const VECTOR = 4
/** Columns that a row is padded to: a cache line, so that blocks of columns share none. */
const LINE = 16
/**
 * Long rows of weights and moments: the update then runs at the speed of memory. The gradient of a tile fits the
 * second-level cache, and a panel of deltas is packed for many inputs where zeros are left out. (48 x 2048 is as fast,
 * 192 x 256 takes 1.1 times as long.)
 */
const TILE = { inputs: 96, outputs: 1024 }

const padded = (cols: number): number => Math.ceil(cols / LINE) * LINE
const vectorsOf = (cols: number): number => Math.ceil(cols / VECTOR)

export function nativeBackend(name: 'blas' | 'onednn'): Backend {
  const sparse = mayLeaveOutZeros()
  return {
    name,
    dtype: 'float32',
    cutsDecideBits: true,
    tileUnit: { inputs: LINE, outputs: LINE },
    bestTile: TILE,
    blockColumns: LINE,
    blockRows: 1,
    ...(sparse ? { blockCost: sparseCost } : {}),
    // Shards are for `allReduce: "buffers"` alone: the more rows, the better the products.
    shardRows: () => 128,
    scratchBytes: (widest, _rows, augmentation) =>
      Math.max(
        DROPOUT_SCRATCH_BYTES + Math.max(TILE.inputs * TILE.outputs, padded(widest)) * ELEMENT_BYTES,
        augmentScratchBytes(augmentation),
      ),
    matrixShape: (rows, cols) => [rows, padded(cols)],
    weightShape: (inputs, outputs) => [inputs, padded(outputs)],
    derivedShape: () => null,
    biasShape: outputs => [padded(outputs)],
    compile: async () => (await import('../module/compile.js')).compileWasm(),
    instantiate,
  }
}

/** Where a row-major matrix lies: bytes of its first element and of a row, elements of a row. */
interface Rows {
  readonly at: number
  readonly stride: number
  readonly elems: number
}

function rowsAt(tensor: FloatTensor): Rows {
  const elems = tensor.shape[1]
  return { at: byteOffsetOf(tensor), stride: elems * ELEMENT_BYTES, elems }
}

const allColumns = (cols: number): Columns => ({ start: 0, end: cols })

const partOf: PartOf = ({ cols, tensor }) => {
  const { at, stride } = rowsAt(tensor)
  return (row, { start, end } = allColumns(cols)) => ({
    place: [at + row * stride + start * ELEMENT_BYTES, 0, stride],
    panels: 1,
    vectors: vectorsOf(end - start),
    offset: start * ELEMENT_BYTES,
  })
}

function instantiate({ memory, module, scratchByteOffset, native }: KernelContext): Kernels {
  if (!module) throw new TypeError('native.instantiate: module is null, expected what compile() returned')
  const portable = instantiateWasm(module, memory)
  const wasm = native?.faster?.(portable) ?? portable
  const products = native ? productsOf(native.gemm, native.base) : noProducts
  const gradientScratch = scratchByteOffset + DROPOUT_SCRATCH_BYTES

  return {
    linear(out, x, w) {
      checkLinear(out, x, w)
      return product(products, 'nn', out, x, w.master)
    },

    linearBackward(dx, dz, w) {
      checkLinearBackward(dx, dz, w)
      return product(products, 'nt', dx, dz, w.master)
    },

    ...bindElementwise(wasm, scratchByteOffset, partOf),
    ...bindAugment(wasm, memory, scratchByteOffset),
    ...bindNorms(wasm, partOf),
    weightUpdate: (w, x, dz) => bindWeightUpdate(wasm, products, gradientScratch, w, x, dz),
    biasUpdate: (bias, dz) => bindBiasUpdate(wasm, gradientScratch, bias, dz),
    derive: () => () => {},
    storeRow({ master, outputs }, i, values) {
      master.data.set(values.subarray(0, outputs), master.index(i, 0))
    },
    loadRow({ master, outputs }, i, values) {
      const from = master.index(i, 0)
      values.set(master.data.subarray(from, from + outputs) as Float32Array)
    },
  }
}

/** c (m, n) = a · b, or plus that; a, b, c: byte offsets in the arena; rows of c have ldc elements. */
type Multiply = (m: number, n: number, k: number, a: number, b: number, c: number, ldc: number) => void
/** The products of one form between matrices whose rows have so many elements. */
type Products = (shape: { form: ProductForm; lda: number; ldb: number; accumulate?: boolean }) => Multiply

/** Each size is bound at its first use. Blocks of a layer have few sizes: a list is searched faster than a map. */
function productsOf(gemm: NativeGemm, base: number): Products {
  return ({ accumulate = false, ...shape }) => {
    const known: { m: number; n: number; k: number; ldc: number; run: ReturnType<NativeGemm['bind']> }[] = []
    return (m, n, k, a, b, c, ldc) => {
      let bound = known.find(size => size.m === m && size.n === n && size.k === k && size.ldc === ldc)
      if (!bound) {
        bound = { m, n, k, ldc, run: gemm.bind({ ...shape, accumulate, m, n, k, ldc }) }
        known.push(bound)
      }
      bound.run(base + a, base + b, base + c)
    }
  }
}

/** Where weights are only stored and loaded, no library is open. */
const noProducts: Products = () => () => {
  throw new TypeError('native: the library is not open in this thread')
}

/** out = a · w, or a · wᵀ as `nt`: then the columns of out are rows of w. */
function product(products: Products, form: 'nn' | 'nt', out: Matrix, a: Matrix, w: FloatTensor): BlockKernel {
  const to = rowsAt(out.tensor)
  const from = rowsAt(a.tensor)
  const weights = rowsAt(w)
  const multiply = products({ form, lda: from.elems, ldb: weights.elems })
  return (row, rows, { start, end } = allColumns(out.cols)) => {
    const b = weights.at + start * (form === 'nn' ? ELEMENT_BYTES : weights.stride)
    const c = to.at + row * to.stride + start * ELEMENT_BYTES
    multiply(rows, end - start, a.cols, from.at + row * from.stride, b, c, to.elems)
  }
}

function bindWeightUpdate(
  wasm: WasmExports,
  products: Products,
  scratch: number,
  w: WeightTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
): WeightUpdate {
  checkWeightUpdate(w, x, dz)
  const apply = bindOptimizer(wasm)
  const master = rowsAt(w.master)
  const moments = w.moments.map(byteOffsetOf)
  const xs = rowsAt(x.tensor)
  const dzs = rowsAt(dz.tensor)

  /** Whole lines, as rows are padded: past the last column dz is zero, and so is the gradient. */
  const widthOf = ({ outputStart, outputEnd }: Tile) => padded(outputEnd - outputStart)
  const placeOf = ({ inputStart, outputStart }: Tile) => inputStart * master.stride + outputStart * ELEMENT_BYTES

  /** g = xᵀ · dz over the tile, or plus that; rows of g have gElems elements. */
  const gradientInto = (accumulate: boolean) => {
    const multiply = products({ form: 'tn', lda: xs.elems, ldb: dzs.elems, accumulate })
    return (g: number, gElems: number, tile: Tile, row: number, rows: number) => {
      const a = xs.at + row * xs.stride + tile.inputStart * ELEMENT_BYTES
      const b = dzs.at + row * dzs.stride + tile.outputStart * ELEMENT_BYTES
      multiply(tile.inputEnd - tile.inputStart, widthOf(tile), rows, a, b, g, gElems)
    }
  }
  const gradient = gradientInto(false)
  const addedGradient = gradientInto(true)

  /** Rows of g have gElems elements. Where tile and g hold whole rows, all is contiguous. */
  const update = (g: number, gElems: number, tile: Tile, step: OptimizerStep) => {
    const width = widthOf(tile)
    const height = tile.inputEnd - tile.inputStart
    const whole = width === master.elems && width === gElems
    if (isAdam(step) && !whole && step.clip === Number.POSITIVE_INFINITY) {
      const [m, v] = moments.map(moment => moment + placeOf(tile))
      const rows = [width, height, master.stride, gElems * ELEMENT_BYTES] as const
      const numbers = adamNumbers(step, step.decay, step.weightDecay)
      return wasm.adam_rows(master.at + placeOf(tile), m, v, g, ...rows, ...numbers)
    }
    const n = whole ? height * width : width
    for (let i = 0; i < (whole ? 1 : height); i++) {
      const offset = placeOf(tile) + i * master.stride
      const at = moments.map(moment => moment + offset)
      apply(master.at + offset, at, g + i * gElems * ELEMENT_BYTES, n, 'weight', step)
    }
  }

  const eachRun: EachRun = (tile, visit) => {
    const width = widthOf(tile)
    const height = tile.inputEnd - tile.inputStart
    const whole = width === master.elems
    for (let i = 0; i < (whole ? 1 : height); i++)
      visit(placeOf(tile) + i * master.stride, whole ? height * width : width)
  }

  return {
    fused(tile, rows, step) {
      eachPart(tile, part => {
        const width = widthOf(part)
        gradient(scratch, width, part, 0, rows)
        update(scratch, width, part, step)
      })
    },
    accumulate(buffer, tile, row, rows, first) {
      const into = first ? gradient : addedGradient
      into(byteOffsetOf(buffer) + placeOf(tile), master.elems, tile, row, rows)
    },
    reduce(buffers, tile, step) {
      const [sum, ...others] = buffers.map(buffer => byteOffsetOf(buffer) + placeOf(tile))
      const n = widthOf(tile)
      for (let i = 0; i < tile.inputEnd - tile.inputStart; i++) {
        const offset = i * master.stride
        for (const other of others) wasm.add(sum + offset, other + offset, n)
      }
      update(sum, master.elems, tile, step)
    },
    limit({ start, end }, limit) {
      const at = master.at + start * ELEMENT_BYTES
      wasm.limit_columns(at, master.stride, w.inputs, vectorsOf(end - start), limit)
    },
    ...bindRuns(wasm, master.at, eachRun),
  }
}

/** A tile in parts whose gradient fits the scratch: mostly the tile itself. */
function eachPart(tile: Tile, visit: (part: Tile) => void): void {
  for (let inputStart = tile.inputStart; inputStart < tile.inputEnd; inputStart += TILE.inputs) {
    const inputEnd = Math.min(inputStart + TILE.inputs, tile.inputEnd)
    for (let outputStart = tile.outputStart; outputStart < tile.outputEnd; outputStart += TILE.outputs) {
      const outputEnd = Math.min(outputStart + TILE.outputs, tile.outputEnd)
      visit({ inputStart, inputEnd, outputStart, outputEnd })
    }
  }
}

function bindBiasUpdate(
  wasm: WasmExports,
  scratch: number,
  bias: BiasTensors,
  dz: Matrix, // (B, O)
): BiasUpdate {
  checkBiasUpdate(bias, dz)
  const apply = bindOptimizer(wasm)
  const master = byteOffsetOf(bias.master)
  const moments = bias.moments.map(byteOffsetOf)
  const dzs = rowsAt(dz.tensor)
  const vectors = vectorsOf(bias.outputs)

  const sums = (g: number, row: number, rows: number, add: boolean) =>
    wasm.column_sums(g, dzs.at + row * dzs.stride, dzs.stride, rows, vectors, Number(add))
  const update = (g: number, step: OptimizerStep) => apply(master, moments, g, VECTOR * vectors, 'bias', step)

  return {
    fused(rows, step) {
      sums(scratch, 0, rows, false)
      update(scratch, step)
    },
    accumulate: (buffer, row, rows, first) => sums(byteOffsetOf(buffer), row, rows, !first),
    reduce(buffers, step) {
      const [sum, ...others] = buffers.map(byteOffsetOf)
      for (const other of others) wasm.add(sum, other, VECTOR * vectors)
      update(sum, step)
    },
  }
}
