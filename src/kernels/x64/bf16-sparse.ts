/**
 * Products in bf16 that skip zeros, in place of a library's: whether they can run here, what they cost, and one product
 * bound to its shape. Where too little of a is zero, the library multiplies. Any thread.
 */
import { hasFlags } from '../cpu.js'
import { BF16_BYTES, BF16_COLUMNS, BLOCK_ROW_BYTES, PAIR_BYTES } from '../layouts.js'
import type { Bf16BlocksShape, BindBf16Blocks } from '../products.js'
import { type ArgumentBlock, type BoundKernel, openBlock } from './argument-block.js'
import {
  AHEAD_BYTES,
  BF16_SPARSE_BLOCK_BYTES,
  initialiseBlock,
  LIST_NUMBERS,
  lists,
  MOST_BLOCKS,
  MOST_ROWS,
  multiplyLists,
  packPanel,
} from './bf16-sparse-kernels.js'
import { wordsOf } from './calling-convention.js'
import { mayRun, obstacle } from './cpu.js'
import { openCode } from './executable-memory.js'
import { BF16_LISTS, bf16MultiplySignature, bf16PanelSignature } from './product-signatures.js'

const NEEDED = ['avx512f', 'avx512bw', 'avx512_vbmi2', 'avx512_bf16', 'popcnt']
/** Share of numbers that are not zero up to which skipping the others pays. */
const DENSEST = 0.7
/** Share of numbers that are not zero after ReLU and dropout, once a network learns. */
const USUAL = 0.2

/** Reason why zeros cannot be skipped in bf16 here, as far as the CPU decides; null where they can. With AMX libraries are faster. */
export function bf16SparseObstacle(): string | null {
  const missing = obstacle(NEEDED)
  if (missing) return missing
  return hasFlags(['amx_tile']) ? 'the CPU has AMX, where products in bf16 with their zeros are faster' : null
}

export const mayLeaveOutZerosInBf16 = (): boolean => mayRun(NEEDED) && bf16SparseObstacle() === null

/** Note beside a library's kernel in bf16, for skipping zeros decides bits; null where the library multiplies alone. */
export async function bf16SparseTitle(): Promise<string | null> {
  const works = mayLeaveOutZerosInBf16() && (await openCode()) !== null
  return works ? 'zeros left out in AVX512-BF16' : null
}

/** Blocks that are multiplied at once. */
export const sparseBlocks = MOST_BLOCKS

/**
 * Cycles for each of k and each number of the result: two listed numbers take two cycles a block; sums are loaded and stored
 * once for 64 of k, rows listed for each group of blocks; panels are packed for all rows. Each number, for blocks that are
 * a little larger than others may leave fewer of them.
 */
export function bf16SparseCost(rows: number, columns: number): number {
  const blocks = Math.ceil(columns / BF16_COLUMNS)
  const groups = Math.ceil(blocks / MOST_BLOCKS)
  const cycles = rows * (blocks * (USUAL * 1.25 + 0.08) + groups * 0.375) + 4 * blocks
  return cycles / (rows * columns)
}

interface Bf16SparseCode {
  readonly block: ArgumentBlock
  readonly lists: BoundKernel
  /** Kernels by number of blocks minus one. */
  readonly packers: readonly BoundKernel[]
  readonly overwriting: readonly BoundKernel[]
  readonly adding: readonly BoundKernel[]
}

/** Words of the arguments: the same for any number of blocks. */
const LISTS = wordsOf(BF16_LISTS)
const PANEL = wordsOf(bf16PanelSignature(1))
const MULTIPLY = wordsOf(bf16MultiplySignature(1))

/** Bytes of a block's panel, which lie together. */
const PANEL_BYTES = (LIST_NUMBERS / 2) * PAIR_BYTES

/** Offsets in an arena have 32 bits. */
const isOffset = (offset: number): boolean => offset >= 0 && offset < 2 ** 32

function bindSparse(
  { block: { words, base }, lists, packers, overwriting, adding }: Bf16SparseCode,
  { m, k, accumulate, blocks, bBlock, cBlock }: Bf16BlocksShape,
  dense: ReturnType<BindBf16Blocks>,
): ReturnType<BindBf16Blocks> {
  const aStride = k * BF16_BYTES
  const pack = packers[blocks - 1]
  const multiplies = [overwriting[blocks - 1], adding[blocks - 1]]
  /** Start of the part of k, in its middle, that stands for all of a. */
  const sample = Math.floor(Math.ceil(k / LIST_NUMBERS) / 2) * LIST_NUMBERS
  const sampledRows = Math.min(m, MOST_ROWS)

  /** Lists rows of a over [from, from + 64) of k; returns how many numbers are not zero. */
  const list = (a: number, row: number, rows: number, from: number): number => {
    words[LISTS.a] = a + row * aStride + from * BF16_BYTES
    words[LISTS.aStride] = aStride
    words[LISTS.rows] = rows
    words[LISTS.mask] = k - from >= LIST_NUMBERS ? 0xffff : 0
    return lists()
  }
  /** Multiplies listed rows by the panel, and meanwhile prefetches the next one, which begins at `next`; 0: there is none. */
  const multiply = (run: BoundKernel, c: number, rows: number, next: number) => {
    for (let first = 0, block = 0; first < rows; block++) {
      const prefetches = next > 0 && block < blocks
      const count = prefetches ? Math.min(PANEL_BYTES / AHEAD_BYTES, rows - first) : rows - first
      words[MULTIPLY.c] = c + first * BLOCK_ROW_BYTES
      words[MULTIPLY.cBlock] = cBlock
      words[MULTIPLY.rows] = count
      words[MULTIPLY.first] = first
      // Prefetch a line that is in the cache if nothing is wanted.
      words[MULTIPLY.ahead] = prefetches ? next + block * bBlock : c
      words[MULTIPLY.aheadStep] = prefetches ? AHEAD_BYTES : 0
      run()
      first += count
    }
  }

  return (aAt, bAt, cAt) => {
    const [a, b, c] = [aAt - base, bAt - base, cAt - base]
    if (!isOffset(a) || !isOffset(b) || !isOffset(c)) return dense(aAt, bAt, cAt)
    const found = list(a, 0, sampledRows, sample)
    if (found > DENSEST * Math.min(LIST_NUMBERS, k - sample) * sampledRows) return dense(aAt, bAt, cAt)
    for (let row = 0; row < m; row += MOST_ROWS) {
      const rows = Math.min(MOST_ROWS, m - row)
      for (let from = 0; from < k; from += LIST_NUMBERS) {
        if (from !== sample || k > LIST_NUMBERS || m > MOST_ROWS) list(a, row, rows, from)
        const panel = b + (from / 2) * PAIR_BYTES
        words[PANEL.b] = panel
        words[PANEL.bBlock] = bBlock
        words[PANEL.pairs] = Math.min(LIST_NUMBERS, k - from) / 2
        pack()
        const run = multiplies[accumulate || from > 0 ? 1 : 0]
        multiply(run, c + row * BLOCK_ROW_BYTES, rows, k - from > LIST_NUMBERS ? panel + PANEL_BYTES : 0)
      }
    }
  }
}

/** Products in the place of a library's. Null where this CPU or this system cannot. All code is assembled here. */
export async function openBf16Sparse(
  memory: WebAssembly.Memory,
): Promise<((library: BindBf16Blocks) => BindBf16Blocks) | null> {
  if (!mayLeaveOutZerosInBf16()) return null
  const block = await openBlock(memory, BF16_SPARSE_BLOCK_BYTES)
  if (!block) return null
  initialiseBlock(block.view)
  const all = Array.from({ length: MOST_BLOCKS }, (_, i) => i + 1)
  const [listing, ...others] = block.bind([
    lists(),
    ...all.map(packPanel),
    ...all.map(blocks => multiplyLists(blocks, false)),
    ...all.map(blocks => multiplyLists(blocks, true)),
  ])
  const of = (which: number) => others.slice(which * MOST_BLOCKS, (which + 1) * MOST_BLOCKS)
  const code: Bf16SparseCode = { block, lists: listing, packers: of(0), overwriting: of(1), adding: of(2) }
  return library => shape => bindSparse(code, shape, library(shape))
}
