/**
 * A native library's products for benchmarks, and what it reaches at best: the fastest of some square products whose
 * operands stay in the caches. Runs in the thread that will call it.
 */
import { performance } from 'node:perf_hooks'
import { type Slot, viewSlot } from '../src/tensor/arena.js'
import type { NativeGemm, NativeLibrary } from '../src/tensor/kernels/native/gemm.js'
import { addressOf } from '../src/tensor/kernels/native/memory.js'
import { openNative } from '../src/tensor/kernels/native/open.js'
import type { Piece } from './gemm-products.js'

/** Rows and columns to try: 27 KB to 1.8 MB of operands. */
const CACHED_SIZES = [48, 96, 128, 192, 256, 384]
const LARGEST = Math.max(...CACHED_SIZES)
/** Less than this at once cannot be timed well. */
const SHORTEST_FLOPS = 50e6
const TRIES = 5

export interface OpenLibrary {
  readonly gemm: NativeGemm
  /** Address of the arena's first byte. */
  readonly base: number
}

export async function openLibrary(library: NativeLibrary, memory: WebAssembly.Memory): Promise<OpenLibrary> {
  return { ...(await openNative(library)), base: await addressOf(memory) }
}

/** Floats that `cachedProduct` needs. */
export const CACHED_FLOATS = 3 * LARGEST * LARGEST

export interface CachedProduct extends Piece {
  readonly size: number
}

/** The fastest product of square matrices in the slot, which has CACHED_FLOATS. */
export function cachedProduct(
  { gemm, base }: OpenLibrary,
  memory: WebAssembly.Memory,
  slot: Slot<'float32'>,
): CachedProduct {
  viewSlot(memory, slot).data.fill(1)
  const tried = CACHED_SIZES.map(size => {
    const shape = { form: 'nn', m: size, n: size, k: size, lda: size, ldb: size, ldc: size, accumulate: false } as const
    const multiply = gemm.bind(shape)
    const [a, b, c] = [0, 1, 2].map(i => base + slot.byteOffset + i * 4 * LARGEST * LARGEST)
    const flops = 2 * size ** 3
    const times = Math.ceil(SHORTEST_FLOPS / flops)
    const run = () => {
      for (let i = 0; i < times; i++) multiply(a, b, c)
    }
    return { size, flops: flops * times, run }
  })
  const rates = tried.map(piece => Math.max(...Array.from({ length: TRIES }, () => rateOf(piece))))
  return tried[rates.indexOf(Math.max(...rates))]
}

function rateOf({ flops, run }: Piece): number {
  const started = performance.now()
  run()
  return flops / (performance.now() - started)
}
