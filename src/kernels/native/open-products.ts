/**
 * Matrix products in the calling thread, over one memory: those of a library, and in their place, where the CPU has AVX-512 or AMX, those
 * of x64/ (f32 without zeros, bf16).
 */

import { addressOf } from '../../ffi/memory.js'
import type { Precision } from '../backend.js'
import type { NativeLibrary, NativeProducts } from '../products.js'
import { openX64 } from '../x64/accelerate.js'
import { openAmx } from '../x64/amx.js'
import { openSparse } from '../x64/sparse-products.js'
import { EMULATED_BF16, emulateBf16 } from './emulated-bf16.js'
import { openNative } from './open.js'

export async function openProducts(
  library: NativeLibrary,
  precision: Precision,
  memory: WebAssembly.Memory,
): Promise<NativeProducts> {
  const { gemm: theirs, bf16 } = await openNative(library)
  const base = await addressOf(memory)
  const faster = await openX64(memory, precision)
  const sparse = await openSparse(memory)
  const gemm = sparse?.(theirs) ?? theirs
  if (precision === 'f32') return { gemm, bf16: null, base, faster }
  const emulated = 'kernel' in library.bf16 && library.bf16.kernel === EMULATED_BF16
  // The operands of the emulation lie outside the arena.
  if (emulated) return { gemm, bf16: await emulateBf16(theirs, memory, base), base, faster }
  const amx = await openAmx(memory)
  return { gemm, bf16: bf16 && (amx?.(bf16) ?? bf16), base, faster }
}
