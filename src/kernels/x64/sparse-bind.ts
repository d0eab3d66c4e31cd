/**
 * One product that skips zeros, bound to its shape: a part of a is looked at first, and where too little of it is zero, the
 * library multiplies. Then a is multiplied in runs of rows, b in panels that fit the first-level cache. The calls of a small product
 * are listed when it is multiplied first (sparse-lists.ts). Any thread.
 */
import type { NativeGemm, ProductShape } from '../products.js'
import type { ArgumentBlock, BoundKernel } from './argument-block.js'
import { type Loadable, wordsOf } from './calling-convention.js'
import { F32_BYTES, LANES, VECTOR_BYTES } from './constants.js'
import {
  addRowsSignature,
  multiplySignature,
  packSignature,
  rowWordsSignature,
  TRANSPOSE_BLOCKS,
  TRANSPOSE_NUMBERS,
} from './product-signatures.js'
import type { Space } from './signature.js'
import {
  addRows,
  depthOf,
  LINES_AHEAD,
  MOST_ROWS,
  multiplyRows,
  PANEL_AT,
  packRows,
  rowWords,
  TRANSPOSED_AT,
  TRANSPOSED_ROW,
  UNION_AT,
  WORD_BYTES,
  WORD_NUMBERS,
} from './sparse-kernels.js'
import { type Look, openLists } from './sparse-lists.js'
import { FEW_ROWS, type Partition, partitionOf, vectorsOf } from './sparse-partition.js'
import { transposeBlocks, transposeNumbers } from './transpose.js'

/** Share of numbers that are not zero up to which skipping the others pays. */
const DENSEST = 0.7
/** Terms of a sum up to which a library's call does not pay: products of the deltas of ten classes, say. */
const FEW = 16

/** The block of a thread, and kernels over it: assembled when the first product is bound that needs them. */
export interface SparseCode {
  readonly block: ArgumentBlock
  /** Kernel by its key: the same one for the same key. */
  kernel(key: string, make: () => Loadable): BoundKernel
}

/** Words of the arguments: the same whatever the kernels are made for. */
const WORDS = wordsOf(rowWordsSignature('arena'))
const VALID = [WORDS.valid0, WORDS.valid1, WORDS.valid2, WORDS.valid3]
const MULTIPLY = wordsOf(multiplySignature('arena', 1, 0))
const ADD = wordsOf(addRowsSignature(0))
const PACK = wordsOf(packSignature(1, null))
const BLOCKS = wordsOf(TRANSPOSE_BLOCKS)
const NUMBERS = wordsOf(TRANSPOSE_NUMBERS)

/** Transposes (rows, numbers) at an offset in the arena to a place in the block. */
type Transpose = (from: number, fromStride: number, rows: number, numbers: number, to: number, toStride: number) => void

function bindTranspose(words: Uint32Array, blocks: BoundKernel, numbersOneByOne: BoundKernel): Transpose {
  return (from, fromStride, rows, numbers, to, toStride) => {
    const steps = Math.floor(numbers / LANES)
    const whole = steps * LANES
    for (let row = 0; row < rows; row += LANES) {
      const lanes = Math.min(LANES, rows - row)
      const done = lanes === LANES ? whole : 0
      if (done > 0) {
        words[BLOCKS.from] = from + row * fromStride
        words[BLOCKS.fromStride] = fromStride
        words[BLOCKS.steps] = steps
        words[BLOCKS.to] = to + row * F32_BYTES
        words[BLOCKS.toStride] = toStride
        words[BLOCKS.toStep] = LANES * toStride
        blocks()
      }
      if (done === numbers) continue
      words[NUMBERS.from] = from + row * fromStride + done * F32_BYTES
      words[NUMBERS.fromStride] = fromStride
      words[NUMBERS.rows] = lanes
      words[NUMBERS.numbers] = numbers - done
      words[NUMBERS.to] = to + done * toStride + row * F32_BYTES
      words[NUMBERS.toStride] = toStride
      numbersOneByOne()
    }
  }
}

/** Prepares rows of a over [from, from + numbers) of k; returns how many numbers are not zero. */
type Prepare = (a: number, row: number, rows: number, from: number, numbers: number) => number

function bindPrepare(
  words: Uint32Array,
  { transposesA, aRow, bRow }: Partition,
  transpose: Transpose,
  findWords: BoundKernel,
): Prepare {
  return (a, row, rows, from, numbers) => {
    if (transposesA) transpose(a + from * aRow + row * F32_BYTES, aRow, numbers, rows, TRANSPOSED_AT, TRANSPOSED_ROW)
    words[WORDS.a] = transposesA ? TRANSPOSED_AT : a + row * aRow + from * F32_BYTES
    words[WORDS.aStride] = transposesA ? TRANSPOSED_ROW : aRow
    words[WORDS.rows] = rows
    words[WORDS.bRow] = bRow
    for (let i = 0; i < VALID.length; i++) {
      const lanes = Math.min(Math.max(numbers - i * LANES, 0), LANES)
      words[VALID[i]] = (1 << lanes) - 1
    }
    return findWords()
  }
}

/** Packs `numbers` rows of b, `width` columns of each, into the panel in the block; `mask`: lanes of the last vector. */
type Pack = (b: number, numbers: number, width: number, isLast: boolean, mask: number) => void

function bindPack(
  words: Uint32Array,
  partition: Partition,
  transpose: Transpose,
  packers: readonly BoundKernel[],
): Pack {
  const { transposesB, bRow, vectors, lastVectors } = partition
  return (b, numbers, width, isLast, mask) => {
    if (transposesB) {
      return transpose(b, bRow, width, numbers, PANEL_AT, (isLast ? lastVectors : vectors) * VECTOR_BYTES)
    }
    words[PACK.b] = b
    words[PACK.bStride] = bRow
    words[PACK.rows] = numbers
    words[PACK.mask] = mask
    packers[isLast ? 1 : 0]()
  }
}

interface Multiply {
  /**
   * Multiplies rows of a by the panel. Meanwhile it prefetches another panel: `aheadRows` rows of `aheadBytes` bytes, at
   * `ahead`; a run of rows of a for each `linesAhead` lines of them.
   */
  prefetching(
    run: BoundKernel,
    a: number,
    c: number,
    rows: number,
    ahead: number,
    aheadRows: number,
    aheadBytes: number,
  ): void
  /** Multiplies rows of a by panels, and prefetches of the panels behind them what the table says, as evenly as can be. */
  tabled(run: BoundKernel, a: number, c: number, rows: number, ahead: number): void
}

function bindMultiply(words: Uint32Array, { transposesA, aRow, bRow, cRow, linesAhead, groups }: Partition): Multiply {
  const runBytes = linesAhead * VECTOR_BYTES
  const rowBytes = transposesA ? TRANSPOSED_ROW : aRow
  /** Multiplies `rows` rows from `first` on. */
  const multiply = (
    run: BoundKernel,
    a: number,
    c: number,
    first: number,
    rows: number,
    ahead: number,
    aheadStep: number,
  ) => {
    words[MULTIPLY.a] = a + first * rowBytes
    words[MULTIPLY.aStride] = rowBytes
    words[MULTIPLY.rows] = rows
    words[MULTIPLY.c] = c + first * cRow
    words[MULTIPLY.first] = first * WORD_BYTES
    words[MULTIPLY.ahead] = ahead
    words[MULTIPLY.aheadStep] = aheadStep
    run()
  }
  return {
    prefetching(run, a, c, rows, ahead, aheadRows, aheadBytes) {
      for (let first = 0, prefetched = 0; first < rows; prefetched += runBytes) {
        const prefetches = prefetched < aheadBytes
        const count = prefetches ? Math.min(aheadRows, rows - first) : rows - first
        // Prefetch a line that is in the cache if nothing is wanted.
        multiply(run, a, c, first, count, prefetches ? ahead + prefetched : c, prefetches ? bRow : 0)
        first += count
      }
    },
    tabled(run, a, c, rows, ahead) {
      // While calls are listed, the union is an older one: only what is prefetched depends on it.
      const entries = groups * (bitsOf(words[UNION_AT / 4]) + bitsOf(words[UNION_AT / 4 + 1]))
      multiply(run, a, c, 0, rows, ahead, Math.max(1, Math.ceil(entries / rows)))
    },
  }
}

/** Number of bits that are set in a word of 32. */
function bitsOf(word: number): number {
  let count = 0
  for (let bits = word; bits !== 0; bits &= bits - 1) count++
  return count
}

/** Offsets in an arena have 32 bits. */
const isOffset = (offset: number): boolean => offset >= 0 && offset < 2 ** 32

/** The kernels of a product, assembled here unless this thread has them. */
function kernelsOf(code: SparseCode, partition: Partition) {
  const { transposesA, transposesB, vectors, lastVectors, linesAhead, groups } = partition
  const space: Space = transposesA ? 'block' : 'arena'
  const prefetches = !transposesA && partition.isLarge
  const widths = [vectors, lastVectors]
  // Behind the last panel the next part of k is prefetched, of which it is not known yet what is needed.
  const multipliers = (adds: boolean) =>
    widths.map((of, i) => {
      const tabled = groups > 0 && i === 0
      const lines = tabled ? LINES_AHEAD : linesAhead
      return code.kernel(`multiply ${space} ${of} ${adds} ${lines} ${tabled}`, () =>
        multiplyRows(space, of, adds, lines, tabled),
      )
    })
  return {
    overwriting: multipliers(false),
    adding: multipliers(true),
    words: code.kernel(`words ${space} ${prefetches} ${groups}`, () => rowWords(space, prefetches, groups)),
    blocks: code.kernel('transpose blocks', transposeBlocks),
    numbers: code.kernel('transpose numbers', transposeNumbers),
    packers: transposesB
      ? []
      : widths.map(of => code.kernel(`pack ${of} ${groups > 0}`, () => packRows(of, groups > 0))),
  }
}

/** Product of few rows of a, all at once for each part of k: rows of b are then in a cache for all but the first. */
function bindFew(code: SparseCode, { m, n, k, lda, ldb, ldc, accumulate }: ProductShape, prepare: Prepare) {
  const { words } = code.block
  const [overwriting, adding] = [false, true].map(adds => code.kernel(`add rows ${adds}`, () => addRows(adds)))
  const whole = Math.ceil(n / LANES) - 1
  const mask = (1 << (n - whole * LANES)) - 1
  return (a: number, b: number, c: number): void => {
    for (let from = 0; from < k; from += WORD_NUMBERS) {
      prepare(a, 0, m, from, Math.min(WORD_NUMBERS, k - from))
      const run = accumulate || from > 0 ? adding : overwriting
      words[ADD.b] = b + from * ldb * F32_BYTES
      words[ADD.bStride] = ldb * F32_BYTES
      words[ADD.whole] = whole
      words[ADD.mask] = mask
      for (let row = 0; row < m; row++) {
        words[ADD.a] = a + (row * lda + from) * F32_BYTES
        words[ADD.c] = c + row * ldc * F32_BYTES
        words[ADD.first] = row * WORD_BYTES
        run()
      }
    }
  }
}

/** Parts of k, in its middle and whole if one is, that stand for all of a. Blocks of the same width look at the same; the last one may be narrower. */
function samplesOf(n: number, k: number, blockColumns: number): readonly { from: number; numbers: number }[] {
  const widths = [Math.min(blockColumns, n), n % blockColumns || blockColumns]
  const depths = new Set(widths.map(width => depthOf(vectorsOf(Math.min(width, n)))))
  return Array.from(depths, depth => {
    const from = Math.floor((Math.ceil(k / depth) - 1) / 2) * depth
    return { from, numbers: Math.min(depth, k - from) }
  })
}

/** `dense` multiplies where too little of a is zero; where the shape has several blocks, in any of them. */
export function bindSparse(
  code: SparseCode,
  shape: ProductShape,
  dense: ReturnType<NativeGemm['bind']>,
): ReturnType<NativeGemm['bind']> {
  const { m, n, k, accumulate, densest = DENSEST } = shape
  const { words, base } = code.block
  const partition = partitionOf(shape)
  const { transposesA, transposesB, aRow, bRow, cRow, vectors, lastVectors, columns, panels, depth, groups } = partition
  const kernels = kernelsOf(code, partition)
  const transpose = bindTranspose(words, kernels.blocks, kernels.numbers)
  const prepare = bindPrepare(words, partition, transpose, kernels.words)
  const pack = bindPack(words, partition, transpose, kernels.packers)
  const multiply = bindMultiply(words, partition)
  const { block = { rows: m, columns: n } } = shape
  const isWhole = block.rows >= m && block.columns >= n
  const samples = samplesOf(n, k, block.columns)
  const few = m <= FEW_ROWS && shape.form === 'nn' ? bindFew(code, shape, prepare) : null
  const isPrepared = few === null && isWhole && k <= depth && m <= MOST_ROWS

  /** Offset from b of the panel that begins at (from, column). */
  const panelAt = (from: number, column: number) =>
    transposesB ? column * bRow + from * F32_BYTES : from * bRow + column * F32_BYTES

  /** Multiplies rows of a over [from, from + numbers) of k by all panels. */
  const multiplyPanels = (a: number, b: number, c: number, rows: number, from: number, numbers: number) => {
    const runs = accumulate || from > 0 ? kernels.adding : kernels.overwriting
    const inPlace = partition.isPacked || (partition.liesWell && (base + b) % VECTOR_BYTES === 0)
    for (let column = 0, count = 1; column < n; column += count * columns) {
      const width = Math.min(columns, n - column)
      const isLast = column + columns >= n
      const tabled = groups > 0 && !isLast
      // Panels that are read in place are multiplied by one call, all but the last.
      count = tabled && inPlace ? panels - 1 : 1
      const mask = (1 << (width - ((isLast ? lastVectors : vectors) - 1) * LANES)) - 1
      const panel = b + panelAt(from, column)
      if (!inPlace) pack(panel, numbers, width, isLast, mask)
      words[MULTIPLY.panel] = inPlace ? panel : 0
      words[MULTIPLY.panelStride] = inPlace ? bRow : (isLast ? lastVectors : vectors) * VECTOR_BYTES
      const nextFrom = isLast ? from + depth : from
      const nextColumn = isLast ? 0 : column + columns
      const nextNumbers = Math.max(Math.min(depth, k - nextFrom), 0)
      const nextWidth = Math.min(columns, n - nextColumn)
      const aheadRows = transposesB ? nextWidth : nextNumbers
      const aheadBytes = nextNumbers === 0 ? 0 : (transposesB ? nextNumbers : nextWidth) * F32_BYTES
      words[MULTIPLY.cStride] = cRow
      words[MULTIPLY.mask] = mask
      words[MULTIPLY.panels] = count
      const [run, to, ahead] = [runs[isLast ? 1 : 0], c + column * F32_BYTES, b + panelAt(nextFrom, nextColumn)]
      if (tabled) multiply.tabled(run, a, to, rows, ahead)
      else multiply.prefetching(run, a, to, rows, ahead, aheadRows, aheadBytes)
    }
  }

  const multiplyAll = (a: number, b: number, c: number): void => {
    if (few !== null) {
      few(a, b, c)
      return
    }
    for (let row = 0; row < m; row += MOST_ROWS) {
      const rows = Math.min(MOST_ROWS, m - row)
      for (let from = 0; from < k; from += depth) {
        const numbers = Math.min(depth, k - from)
        if (!isPrepared) prepare(a, row, rows, from, numbers)
        const rowsOfA = transposesA ? TRANSPOSED_AT : a + row * aRow + from * F32_BYTES
        multiplyPanels(rowsOfA, b, c + row * cRow, rows, from, numbers)
      }
    }
  }

  // Each block looks at its own rows; what is looked at is prepared as well.
  const looks: Look[] = []
  for (let row = 0; row < m && (k > FEW || isPrepared); row += block.rows) {
    const rows = Math.min(block.rows, m - row, MOST_ROWS)
    for (const { from, numbers } of samples) {
      const most = k > FEW ? densest * numbers * rows : Number.POSITIVE_INFINITY
      looks.push({ count: a => prepare(a + row * aRow, 0, rows, from, numbers), most })
    }
  }
  const lists = openLists(code.block, looks, multiplyAll)

  return (aAt, bAt, cAt) => {
    const a = aAt - base
    const b = bAt - base
    const c = cAt - base
    if (!isOffset(a) || !isOffset(b) || !isOffset(c)) return dense(aAt, bAt, cAt)
    const listed = lists.find(a, b, c)
    if (listed !== null) {
      for (let i = 0; i < listed.counts.length; i++) {
        if (listed.counts[i]() > looks[i].most) return dense(aAt, bAt, cAt)
      }
      listed.multiply()
      return
    }
    for (const { count, most } of looks) if (count(a) > most) return dense(aAt, bAt, cAt)
    multiplyAll(a, b, c)
    lists.add(a, b, c)
  }
}
