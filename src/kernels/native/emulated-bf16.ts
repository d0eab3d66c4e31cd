/**
 * Products in bf16 on a CPU that has none: operands are widened, which is exact, and multiplied in f32. The same roundings,
 * sums in another order, many times slower: for tests, and to see what bf16 does to an experiment. Any thread.
 */

import { loadKoffi } from '../../ffi/koffi.js'
import { BF16_COLUMNS } from '../layouts.js'
import type { BindBf16, NativeGemm } from '../products.js'

/** Value of a library's `bf16.kernel`, and so in every manifest. */
export const EMULATED_BF16 = 'emulated in f32'
/** Variable that, set to `emulate`, allows bf16 on a CPU without instructions for it. */
export const BF16_VARIABLE = 'GRADLOOM_BF16'

export async function emulateBf16(gemm: NativeGemm, memory: WebAssembly.Memory, base: number): Promise<BindBf16> {
  const koffi = await loadKoffi()
  return ({ m, k, accumulate }) => {
    const a = new Uint32Array(m * k)
    const b = new Uint32Array(k * BF16_COLUMNS)
    const [aAt, bAt] = [Number(koffi.address(a)), Number(koffi.address(b))]
    const run = gemm.bind({
      ...{ form: 'nn', m, n: BF16_COLUMNS, k, lda: k, ldb: BF16_COLUMNS, ldc: BF16_COLUMNS, accumulate },
    })
    return (aFrom, bFrom, c) => {
      const rows = new Uint16Array(memory.buffer, aFrom - base, a.length)
      for (let i = 0; i < a.length; i++) a[i] = rows[i] << 16
      const pairs = new Uint32Array(memory.buffer, bFrom - base, b.length / 2)
      for (let i = 0; i < pairs.length; i++) {
        const at = Math.floor(i / BF16_COLUMNS) * 2 * BF16_COLUMNS + (i % BF16_COLUMNS)
        b[at] = pairs[i] << 16
        b[at + BF16_COLUMNS] = pairs[i] & 0xffff0000
      }
      run(aAt, bAt, c)
    }
  }
}
