/**
 * The backends over a native library's products in f32 (of bf16: bf16.ts): matrices are row-major (rows, cols), rows padded to whole
 * vectors; the work between products runs in WASM SIMD on the same memory. Instantiated once per thread.
 *
 * The bits of a product depend on its shape, so whatever is partitioned here is partitioned by the network and the
 * mini-batch alone.
 *
 * Test: node dist/test/kernels/kernels.test.js   Bench: npm run bench -- step --backends blas onednn
 */
import type { FloatTensor, Matrix } from '../../tensor/tensor.js'
import { instantiateWasm } from '../abi.js'
import type { Backend, BlockKernel, KernelContext, Kernels } from '../backend.js'
import { F32_BYTES } from '../layouts.js'
import { augmentScratchBytes, bindAugment } from '../module/augment.js'
import { bindElementwise, DROPOUT_SCRATCH_BYTES } from '../module/elementwise.js'
import { bindNorms } from '../module/norm.js'
import { bindTableUpdate } from '../module/parameter-update.js'
import { checkLinear, checkLinearBackward } from '../shapes.js'
import { mayLeaveOutZeros, sparseCost } from '../x64/sparse-products.js'
import { bindF32BiasUpdate, bindF32Update, TILE } from './f32-update.js'
import { bindMaps, convolutionDerivedShape, convolutionScratchBytes, DENSE_CYCLES, mapsShape } from './maps.js'
import { noProducts, type Products, productsOf } from './products.js'
import { allColumns, LINE, paddedTo, partOf, rowMajor } from './row-major.js'

/** Scratch before that of convolutions: masks, and the gradient of a tile or a bias. */
const CONVOLUTION_SCRATCH = DROPOUT_SCRATCH_BYTES + TILE.inputs * TILE.outputs * F32_BYTES

export function nativeBackend(name: 'blas' | 'onednn'): Backend {
  const sparse = mayLeaveOutZeros()
  return {
    name,
    dtype: 'float32',
    bitsDependOnPartition: true,
    tileUnit: { inputs: LINE, outputs: LINE },
    bestTile: TILE,
    blockColumns: LINE,
    blockRows: 1,
    ...(sparse ? { blockCost: sparseCost } : {}),
    // Shards are for `allReduce: "buffers"` alone: the more rows, the better the products.
    shardRows: () => 128,
    scratchBytes: (widest, _rows, augmentation) =>
      Math.max(
        DROPOUT_SCRATCH_BYTES + Math.max(TILE.inputs * TILE.outputs, paddedTo(widest)) * F32_BYTES,
        augmentScratchBytes(augmentation),
      ),
    matrixShape: (rows, cols) => [rows, paddedTo(cols)],
    weightShape: (inputs, outputs) => [inputs, paddedTo(outputs)],
    derivedShape: () => null,
    biasShape: outputs => [paddedTo(outputs)],
    mapsShape,
    convolutionDerivedShape,
    convolutionScratchBytes: window => CONVOLUTION_SCRATCH + convolutionScratchBytes(window),
    compile: async () => (await import('../module/compile.js')).compileWasm(),
    instantiate: context => instantiate(context, name),
  }
}

function instantiate(
  { memory, module, scratchByteOffset, native }: KernelContext,
  name: keyof typeof DENSE_CYCLES,
): Kernels {
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
    weightUpdate: (w, x, dz) => bindF32Update(wasm, products, gradientScratch, w, x, dz),
    biasUpdate: (bias, dz) => bindF32BiasUpdate(wasm, gradientScratch, bias, dz),
    tableUpdate: table => bindTableUpdate(wasm, table),
    maps: bindMaps({
      ...{ wasm, products, gradientScratch, memory: memory.buffer, denseCycles: DENSE_CYCLES[name] },
      patches: native?.patches ?? null,
      dropoutScratch: scratchByteOffset,
      scratch: scratchByteOffset + CONVOLUTION_SCRATCH,
    }),
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

/** out = a · w, or a · wᵀ as `nt`: then the columns of out are rows of w. */
function product(products: Products, form: 'nn' | 'nt', out: Matrix, a: Matrix, w: FloatTensor): BlockKernel {
  const to = rowMajor(out.tensor)
  const from = rowMajor(a.tensor)
  const weights = rowMajor(w)
  const multiply = products({ form, lda: from.elems, ldb: weights.elems })
  return (row, rows, { start, end, block } = allColumns(out.cols)) => {
    const b = weights.at + start * (form === 'nn' ? F32_BYTES : weights.stride)
    const c = to.at + row * to.stride + start * F32_BYTES
    multiply(rows, end - start, a.cols, from.at + row * from.stride, b, c, to.elems, block)
  }
}
