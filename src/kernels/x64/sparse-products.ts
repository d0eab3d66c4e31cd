/**
 * Products in f32 that skip zeros, in place of a library's: whether they can run here, what they cost, and the kernels
 * of a thread. Any thread.
 */
import { inBlocks } from '../blocks.js'
import type { NativeGemm } from '../products.js'
import { type BoundKernel, openBlock } from './argument-block.js'
import { LANES } from './constants.js'
import { mayRun, obstacle } from './cpu.js'
import { openCode } from './executable-memory.js'
import { bindSparse, type SparseCode } from './sparse-bind.js'
import { initialiseBlock, SPARSE_BLOCK_BYTES, WIDEST } from './sparse-kernels.js'

const NEEDED = ['avx512f', 'avx512bw', 'fma', 'bmi1', 'popcnt']
/**
 * Kernels of all widths: products of both kinds from the block, and from the arena with a table and without, with few lines ahead and with
 * many; words of rows, with their union and without; packing, transposing; products of few rows.
 */
const MOST_KERNELS = 2 * 3 * 2 * WIDEST + 6 + 2 * WIDEST + 2 + 2
/** Bytes of the longest one are 916. */
const MOST_KERNEL_BYTES = 1024
/** Calls in lists, of all products together: 256 KiB. A step of a small network has a few hundred. */
const LISTED_CALLS = 4096
/** Share of numbers that are not zero after ReLU and dropout. */
const USUAL = 0.35

/** Reason why zeros cannot be skipped here, as far as the CPU decides; null where they can. */
export const sparseObstacle = (): string | null => obstacle(NEEDED)
export const mayLeaveOutZeros = (): boolean => mayRun(NEEDED)

/** Note beside a library's name, for skipping zeros decides bits; null where the library multiplies alone. */
export async function sparseTitle(): Promise<string | null> {
  const works = mayLeaveOutZeros() && (await openCode()) !== null
  return works ? 'zeros left out in AVX-512' : null
}

/** Cycles for each of k: two loads each, or four from sum to sum; the rest of each row's work; and packing the panel. */
export function sparseCost(rows: number, columns: number): number {
  const panels = Math.ceil(columns / (WIDEST * LANES))
  const vectors = Math.ceil(columns / (panels * LANES))
  return panels * (rows * (USUAL * Math.max(4, (vectors + 1) / 2) + 0.6) + 3 * vectors)
}

/** Products in the place of a library's. Null where this CPU or this system cannot. */
export async function openSparse(memory: WebAssembly.Memory): Promise<((library: NativeGemm) => NativeGemm) | null> {
  if (!mayLeaveOutZeros()) return null
  const block = await openBlock(memory, SPARSE_BLOCK_BYTES, LISTED_CALLS)
  if (!block) return null
  initialiseBlock(block.view)
  const fill = block.reserve(MOST_KERNELS, MOST_KERNEL_BYTES)
  const known = new Map<string, BoundKernel>()
  const code: SparseCode = {
    block,
    kernel(key, make) {
      let kernel = known.get(key)
      if (!kernel) {
        kernel = fill(make())
        known.set(key, kernel)
      }
      return kernel
    },
  }
  return library => {
    const one: NativeGemm = { bind: shape => bindSparse(code, shape, library.bind(shape)) }
    const each = inBlocks(one)
    return { bind: shape => (shape.block ? bindSparse(code, shape, each.bind(shape)) : one.bind(shape)) }
  }
}
