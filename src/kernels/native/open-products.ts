/**
 * Matrix products in the calling thread, over one memory: those of a library, and in their place, where the CPU has AVX-512 or AMX, those
 * of x64/ (f32 without zeros, bf16).
 */

import { addressOf } from '../../ffi/memory.js'
import type { Precision } from '../backend.js'
import { inBlocks } from '../blocks.js'
import type { BindBf16, BindBf16Blocks, NativeLibrary, NativeProducts } from '../products.js'
import { openX64 } from '../x64/accelerate.js'
import { openAmx } from '../x64/amx.js'
import { openBf16Sparse, sparseBlocks } from '../x64/bf16-sparse.js'
import { openPatches } from '../x64/convolutions.js'
import { openSparse } from '../x64/sparse-products.js'
import { EMULATED_BF16, emulateBf16 } from './emulated-bf16.js'
import { openNative } from './open.js'

export async function openProducts(
  library: NativeLibrary,
  precision: Precision,
  memory: WebAssembly.Memory,
): Promise<NativeProducts> {
  const { gemm: whole, bf16 } = await openNative(library)
  const theirs = inBlocks(whole)
  const base = await addressOf(memory)
  const faster = await openX64(memory, precision)
  const sparse = await openSparse(memory)
  const gemm = sparse?.(theirs) ?? theirs
  if (precision === 'f32') return { gemm, bf16: null, base, faster, patches: await openPatches(memory) }
  const patches = null
  const emulated = 'kernel' in library.bf16 && library.bf16.kernel === EMULATED_BF16
  // The operands of the emulation lie outside the arena.
  if (emulated) {
    return { gemm, bf16: { bind: oneByOne(await emulateBf16(theirs, memory, base)), blocks: 1 }, base, faster, patches }
  }
  if (!bf16) return { gemm, bf16, base, faster, patches }
  const amx = await openAmx(memory)
  const dense = oneByOne(amx?.(bf16) ?? bf16)
  const withoutZeros = await openBf16Sparse(memory)
  const products = withoutZeros ? { bind: withoutZeros(dense), blocks: sparseBlocks } : { bind: dense, blocks: 1 }
  return { gemm, bf16: products, base, faster, patches }
}

/** Products with several blocks, each of which is a call. */
export const oneByOne =
  (bind: BindBf16): BindBf16Blocks =>
  ({ blocks, bBlock, cBlock, ...shape }) => {
    const run = bind(shape)
    if (blocks === 1) return run
    return (a, b, c) => {
      for (let block = 0; block < blocks; block++) run(a, b + block * bBlock, c + block * cBlock)
    }
  }
