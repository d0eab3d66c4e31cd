/**
 * The backend over oneDNN's products in bf16: operands are rounded to nearest even, sums and everything else stay f32, as do
 * weights and moments. Instantiated once per thread. bf16-layouts.ts has the layouts; this file puts the parts
 * together: products, the rounding of what other kernels write, updates.
 *
 * Test: node dist/test/kernels/bf16.test.js   Bench: npm run bench -- step --backends onednn
 */
import { instantiateWasm } from '../abi.js'
import type { Backend, KernelContext, Kernels } from '../backend.js'
import { BF16_COLUMNS, BF16_DEPTH } from '../layouts.js'
import { bf16SparseCost, mayLeaveOutZerosInBf16, sparseBlocks } from '../x64/bf16-sparse.js'
import { derivedShape, eachBlockOfRow, matrixShape, weightShape, widthOf } from './bf16-layouts.js'
import { bf16ProductsOf, bindProducts, productScratchBytes } from './bf16-products.js'
import { withRounding } from './bf16-rounding.js'
import { bindBlocksUpdate, bindDerive, TILE, updateScratchBytes } from './bf16-update.js'
import { nativeBackend } from './f32.js'

export function bf16Backend(): Backend {
  const f32 = nativeBackend('onednn')
  const sparse = mayLeaveOutZerosInBf16()
  const blocks = sparse ? sparseBlocks : 1
  return {
    ...f32,
    tileUnit: { inputs: BF16_COLUMNS, outputs: BF16_COLUMNS },
    bestTile: TILE,
    blockColumns: BF16_COLUMNS,
    blockRows: BF16_DEPTH,
    ...(sparse ? { blockCost: bf16SparseCost } : {}),
    scratchBytes: (widest, rows, augmentation) =>
      Math.max(
        updateScratchBytes(rows, blocks),
        productScratchBytes(rows, blocks),
        f32.scratchBytes(widest, rows, augmentation),
      ),
    matrixShape,
    weightShape,
    derivedShape: (inputs, outputs, { training, first }) => derivedShape(inputs, outputs, training && !first),
    biasShape: outputs => [widthOf(outputs)],
    instantiate: context => instantiate(context, f32),
  }
}

function instantiate(context: KernelContext, f32: Backend): Kernels {
  const { memory, module, scratchByteOffset: scratch, native } = context
  if (!module) throw new TypeError('bf16.instantiate: module is null, expected what compile() returned')
  const portable = instantiateWasm(module, memory)
  const wasm = native?.faster?.(portable) ?? portable
  const kernels = f32.instantiate(context)
  const rounded = withRounding(wasm, kernels)
  const multiply = bf16ProductsOf(native)
  return {
    ...kernels,
    ...rounded,
    ...bindProducts({ wasm, native, multiply, scratch }, rounded),
    derive: w => bindDerive(wasm, w),
    weightUpdate: (w, x, dz) => bindBlocksUpdate(wasm, multiply, scratch, w, x, dz),
    storeRow(w, i, values) {
      eachBlockOfRow(w, i, (at, start, end) => w.master.data.set(values.subarray(start, end), at))
    },
    loadRow(w, i, values) {
      eachBlockOfRow(w, i, (at, start, end) => {
        values.set(w.master.data.subarray(at, at + end - start) as Float32Array, start)
      })
    },
  }
}
