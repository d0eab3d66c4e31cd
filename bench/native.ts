/**
 * A native library's products for benchmarks, and what it reaches at best: the fastest of some square products whose
 * operands stay in the caches. Runs in the thread that will call it.
 */
import { performance } from 'node:perf_hooks'
import { BF16_COLUMNS, BLOCK_ROW_BYTES } from '../src/kernels/layouts.js'
import type { NativeProducts } from '../src/kernels/products.js'
import { type Slot, viewSlot } from '../src/tensor/arena.js'
import type { Piece } from './gemm-products.js'

/** Rows and columns to try: 27 KB to 1.8 MB of operands. */
const CACHED_SIZES = [48, 96, 128, 192, 256, 384]
const LARGEST = Math.max(...CACHED_SIZES)
/** Less than this at once cannot be timed well. */
const SHORTEST_FLOPS = 50e6
const TRIES = 5

/** Floats that `cachedProduct` needs. */
export const CACHED_FLOATS = 3 * LARGEST * LARGEST

export interface CachedProduct extends Piece {
  /** Shape such as "128 x 128". */
  readonly size: string
}

/** The fastest product of square matrices in the slot, which has CACHED_FLOATS. */
export function cachedProduct(
  { gemm, base }: NativeProducts,
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
    return { size: `${size} x ${size}`, flops: flops * times, run }
  })
  return fastest(tried)
}

const BF16_SHAPES = [128, 256].flatMap(m => [256, 512, 1024].map(k => ({ m, k })))

/** Rate in bf16, in the shape that the backend multiplies in: (m, k) · (k, 64). */
export function cachedBf16Product(
  { bf16, base }: NativeProducts,
  memory: WebAssembly.Memory,
  slot: Slot<'float32'>,
): CachedProduct {
  if (!bf16) throw new TypeError('cachedBf16Product: the library has no products in bf16')
  const { data } = viewSlot(memory, slot)
  new Uint16Array(data.buffer, data.byteOffset, 2 * data.length).fill(0x3f80) // 1 in bf16
  const tried = BF16_SHAPES.map(({ m, k }) => {
    const cBlock = m * BLOCK_ROW_BYTES
    const multiply = bf16.bind({ m, k, accumulate: false, blocks: 1, bBlock: 0, cBlock })
    const a = base + slot.byteOffset
    const b = a + 2 * m * k
    const c = b + 2 * k * BF16_COLUMNS
    const flops = 2 * m * k * BF16_COLUMNS
    const times = Math.ceil(SHORTEST_FLOPS / flops)
    const run = () => {
      for (let i = 0; i < times; i++) multiply(a, b, c)
    }
    return { size: `${m} x ${k} and ${k} x ${BF16_COLUMNS}`, flops: flops * times, run }
  })
  return fastest(tried)
}

function fastest(tried: readonly CachedProduct[]): CachedProduct {
  const rates = tried.map(piece => Math.max(...Array.from({ length: TRIES }, () => rateOf(piece))))
  return tried[rates.indexOf(Math.max(...rates))]
}

function rateOf({ flops, run }: Piece): number {
  const started = performance.now()
  run()
  return flops / (performance.now() - started)
}
