/**
 * Machine code of products in f32 that skip zeros: after ReLU and dropout, two thirds of all activations and deltas are zero.
 * Each number of c is one chain of fused additions in the order of k, over the numbers of its row of a that are not zero: its
 * bits depend on the operands alone, not on how the product is partitioned. Pure; any thread.
 *
 * c (m, n) = a · b, in parts of up to 64 of k and 128 or 192 of n: the panel of b is packed, so that it lies in the first-level
 * cache; a word of each row of a has a bit for each number that is not zero; for each such number, a row of the panel times
 * the number is added to a row of c, which is in registers. Subnormal numbers count as zero: a CPU takes a hundred times as
 * long for them, and deltas of a network that has learned its samples are full of them.
 *
 * Test: node dist/test/kernels/x64/sparse-products.test.js   Bench: npm run bench -- step --backends onednn
 */
import {
  at,
  k,
  merging,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  type Register,
  RSI,
  scaledAt,
  type Vector,
  zeroing,
  zmm,
} from './assembler.js'
import { begin, type Loadable } from './calling-convention.js'
import { F32_BYTES, LANES, VECTOR_BYTES } from './constants.js'
import { addRowsSignature, multiplySignature, packSignature, rowWordsSignature } from './product-signatures.js'
import type { Space } from './signature.js'

/** Vectors in a row of a panel, at most. */
export const WIDEST = 12
/** Numbers of a row that one word has bits for. */
export const WORD_NUMBERS = 64
export const WORD_BYTES = 8
const PANEL_BYTES = 40960
/** Rows of a panel whose rows have this many vectors: the panel, and rows of a and c, fit the first-level cache. */
export const depthOf = (vectors: number): number =>
  Math.min(WORD_NUMBERS, Math.floor(PANEL_BYTES / (vectors * VECTOR_BYTES * LANES)) * LANES)

/** Rows of a that are multiplied at once, at most. */
export const MOST_ROWS = 512
/** Cache lines that are prefetched with each row of a, where there are rows enough for a panel. */
export const LINES_AHEAD = 4
/** Lines of a row of a that its words need, and that the words after them do. */
const WORD_LINES = (WORD_NUMBERS * F32_BYTES) / VECTOR_BYTES
/** Bytes of a row of a where a is transposed first, into the block. */
export const TRANSPOSED_ROW = WORD_NUMBERS * F32_BYTES

const TABLE_ENTRY_BYTES = 4

/**
 * Parts of the block behind the arguments, in bytes: MXCSR of the caller, MXCSR for sums, words of rows, the union of all words, where the rows
 * of b begin that it names, panel, rows of a.
 */
const CALLERS_MODE_AT = 112
const MODE_AT = 116
const WORDS_AT = 128
export const UNION_AT = WORDS_AT + MOST_ROWS * WORD_BYTES
const TABLE_AT = UNION_AT + VECTOR_BYTES
const TABLE_ENTRIES = WORD_NUMBERS * Math.ceil(WIDEST / LINES_AHEAD) + MOST_ROWS
export const PANEL_AT = TABLE_AT + TABLE_ENTRIES * TABLE_ENTRY_BYTES
export const TRANSPOSED_AT = PANEL_AT + PANEL_BYTES
export const SPARSE_BLOCK_BYTES = TRANSPOSED_AT + MOST_ROWS * TRANSPOSED_ROW

/** MXCSR: round to nearest, no exceptions; subnormal results become zero, and subnormal operands count as zero. */
const SUBNORMALS_ARE_ZERO = 0x1f80 | 0x8040

/** Writes the constants of a new block. */
export function initialiseBlock(block: DataView): void {
  block.setUint32(MODE_AT, SUBNORMALS_ARE_ZERO, true)
}

const [A, STRIDE, LEFT, WORDS] = [RCX, RDX, RSI, R8]
const VALID = ['valid0', 'valid1', 'valid2', 'valid3'] as const

/**
 * Finds which of up to 64 numbers of each row are not zero: a word of 64 bits for each row, in the block. `space`: where a
 * lies. Returns how many there are in all rows. `prefetches`: also what the next words of the rows are made of. `groups`, unless 0: writes
 * their union too, and a table of so many groups of lines of each row of b that it names, rows `bRow` bytes apart, and the last entry for each
 * row of a once more.
 */
export function rowWords(space: Space, prefetches: boolean, groups: number): Loadable {
  const signature = rowWordsSignature(space)
  const { code, argument, load } = begin(signature)
  const [word, total] = [R9, R10]
  const unions = [8, 9, 10, 11].map(zmm)
  load(A, 'a')
  load(STRIDE, 'aStride')
  load(LEFT, 'rows')
  const valid = [2, 3, 4, 5].map(k)
  for (const [i, mask] of valid.entries()) code.loadMask(mask, argument(VALID[i]))
  code.mov(WORDS, RDI)
  code.add(WORDS, WORDS_AT)
  code.clear(total)
  if (groups > 0) for (const union of unions) code.vpxord(union, union, union)
  /** word = bits of the lanes of four vectors that are not zero. */
  const findWord = (vectors: readonly Vector[]) => {
    const [low, high, other] = [k(6), k(7), k(0)]
    for (const [half, to] of [low, high].entries()) {
      code.vptestmd(to, vectors[2 * half], vectors[2 * half])
      code.vptestmd(other, vectors[2 * half + 1], vectors[2 * half + 1])
      code.kunpckwd(to, other, to)
    }
    code.kunpckdq(low, high, low)
    code.kmovq(word, low)
  }
  const numbers = [0, 1, 2, 3].map(zmm)
  code.loop(LEFT, 1, () => {
    for (const [i, mask] of valid.entries()) code.vmovups(numbers[i], at(A, VECTOR_BYTES * i), zeroing(mask))
    if (groups > 0) for (const [i, union] of unions.entries()) code.vpord(union, union, numbers[i])
    // The next words of the row: other rows, and all panels, come between.
    if (prefetches) {
      for (let line = 0; line < WORD_LINES; line++) code.prefetcht1(at(A, VECTOR_BYTES * (WORD_LINES + line)))
    }
    findWord(numbers)
    code.store(at(WORDS), word)
    code.popcnt(word, word)
    code.add(total, word)
    code.add(A, STRIDE)
    code.add(WORDS, WORD_BYTES)
  })
  if (groups > 0) {
    const [place, bRow, entry, row, left] = [RCX, RDX, R8, R11, RSI]
    findWord(unions)
    code.store(at(RDI, UNION_AT), word)
    load(bRow, 'bRow')
    code.mov(entry, RDI)
    code.add(entry, TABLE_AT)
    code.clear(row)
    const addEntry = () => {
      code.store32(at(entry), row)
      code.add(entry, TABLE_ENTRY_BYTES)
    }
    code.unlessZero(word, () => {
      const findRow = () => {
        code.mov(row, place)
        code.multiply(row, bRow)
        for (let group = 0; group < groups; group++) {
          if (group > 0) code.add(row, LINES_AHEAD * VECTOR_BYTES)
          addEntry()
        }
      }
      code.eachSetBit(word, place, findRow, () => {})
    })
    load(left, 'rows')
    code.loop(left, 1, addEntry)
  }
  code.mov(RAX, total)
  code.ret()
  return { signature, code }
}

/**
 * Multiplies rows of a by the panel, into rows of c or, if `adds`, onto them. `first`: the word of the first row, in bytes;
 * `mask`: lanes of the last vector; `panel`: where it is in the arena, or 0 for the packed one in the block; its rows are
 * `panelStride` apart. With each row, `lines` cache lines are prefetched that are read later: nothing of a step's weights is
 * in a cache. They are `aheadStep` bytes behind those of the row before, or, if `tabled`, where the next `aheadStep` entries of the table say:
 * rows of b that no row of a needs are not read from memory. Then `panels` of b, side by side, are multiplied, each while the one behind it is
 * prefetched. (Prefetching what the update reads did not pay: it waits for memory all the same.)
 */
export function multiplyRows(space: Space, vectors: number, adds: boolean, lines: number, tabled: boolean): Loadable {
  const signature = multiplySignature(space, vectors, WORDS_AT)
  const { code, argument, load, loadOffset } = begin(signature)
  const kept = [RBX, RBP, R12, R13, R14, R15]
  code.push(...kept)
  code.stmxcsr(at(RDI, CALLERS_MODE_AT))
  code.ldmxcsr(at(RDI, MODE_AT))
  const [word, c, cStride, place, row, panel, panelStride] = [R9, R10, R11, RAX, R14, R15, R12]
  const [ahead, step, entry] = [R13, RBX, RBP]
  const [mask, factor] = [k(1), zmm(31)]
  const nextPanel = code.label()
  code.bind(nextPanel)
  load(A, 'a')
  load(c, 'c')
  load(ahead, 'ahead')
  load(STRIDE, 'aStride')
  load(LEFT, 'rows')
  load(cStride, 'cStride')
  code.loadMask(mask, argument('mask'))
  load(step, 'aheadStep')
  load(panelStride, 'panelStride')
  load(WORDS, 'first')
  code.add(WORDS, RDI)
  code.add(WORDS, WORDS_AT)
  loadOffset(word, 'panel')
  code.mov(panel, RDI)
  code.add(panel, PANEL_AT)
  code.unlessZero(word, () => {
    code.mov(panel, RAX)
    code.add(panel, word)
  })
  if (tabled) {
    code.mov(entry, RDI)
    code.add(entry, TABLE_AT)
  }
  const sums = Array.from({ length: vectors }, (_, v) => zmm(v))
  const last = (v: number) => v === vectors - 1
  code.loop(LEFT, 1, () => {
    code.mov(word, at(WORDS))
    const prefetch = (index: Register | null) => {
      for (let line = 0; line < lines; line++) code.prefetcht1(at(ahead, VECTOR_BYTES * line, index))
    }
    if (tabled) {
      code.mov(row, step)
      code.loop(row, 1, () => {
        code.mov32(place, at(entry))
        code.add(entry, TABLE_ENTRY_BYTES)
        prefetch(place)
      })
    } else prefetch(null)
    // The sums of the next row of c begin with it.
    for (let v = 0; v < vectors; v++) code.prefetchw(at(c, VECTOR_BYTES * v, cStride))
    if (!tabled) code.add(ahead, step)
    const store = () => {
      for (const [v, sum] of sums.entries()) code.vmovups(at(c, VECTOR_BYTES * v), sum, last(v) ? merging(mask) : null)
    }
    if (!adds) for (const sum of sums) code.vpxord(sum, sum, sum)
    code.unlessZero(word, () => {
      if (adds) {
        for (const [v, sum] of sums.entries())
          code.vmovups(sum, at(c, VECTOR_BYTES * v), last(v) ? zeroing(mask) : null)
      }
      const findRow = () => {
        code.mov(row, place)
        code.multiply(row, panelStride)
        code.add(row, panel)
        code.vbroadcastss(factor, scaledAt(A, 0, place, 4))
      }
      code.eachSetBit(word, place, findRow, () => {
        for (const [v, sum] of sums.entries()) code.vfmadd231ps(sum, factor, at(row, VECTOR_BYTES * v))
      })
      if (adds) store()
    })
    if (!adds) store()
    code.add(A, STRIDE)
    code.add(c, cStride)
    code.add(WORDS, WORD_BYTES)
  })
  if (tabled) {
    const move = (name: 'c' | 'ahead' | 'panel' | 'panels', by: number) => {
      loadOffset(word, name)
      code.add(word, by)
      code.store32(argument(name), word)
    }
    for (const name of ['c', 'ahead', 'panel'] as const) move(name, VECTOR_BYTES * vectors)
    move('panels', -1)
    code.mov(RAX, at(RDI))
    code.jumpIfNotZero(word, nextPanel)
  }
  code.ldmxcsr(at(RDI, CALLERS_MODE_AT))
  code.pop(...kept)
  code.ret()
  return { signature, code }
}

/**
 * Multiplies a part of one row of a by rows of b where they lie, into a row of c or, if `adds`, onto it: for each number that is
 * not zero, a row of b times the number is added to the row of c, which stays in the first-level cache. Each row of b is read
 * once, from its begin to its end, and those of zeros are not: with few rows of a, memory is what a product waits for.
 */
export function addRows(adds: boolean): Loadable {
  const { code, argument, load } = begin(addRowsSignature(WORDS_AT))
  const kept = [RBX, R13, R14, R15]
  code.push(...kept)
  code.stmxcsr(at(RDI, CALLERS_MODE_AT))
  code.ldmxcsr(at(RDI, MODE_AT))
  const [b, c, bStride, word, row, to, left, whole, place] = [RSI, R10, RDX, R9, R14, R15, R11, R13, RAX]
  const [mask, factor, sum, other] = [k(1), zmm(31), zmm(0), zmm(1)]
  load(A, 'a')
  load(b, 'b')
  load(c, 'c')
  load(bStride, 'bStride')
  load(whole, 'whole')
  code.loadMask(mask, argument('mask'))
  load(WORDS, 'first')
  code.add(WORDS, RDI)
  code.mov(word, at(WORDS, WORDS_AT))
  /** Runs `vector` at each whole vector of the row of c, then at its last one. */
  const eachVector = (vector: (masked: boolean) => void) => {
    code.mov(to, c)
    code.mov(left, whole)
    code.unlessZero(left, () => {
      code.loop(left, 1, () => {
        vector(false)
        code.add(to, VECTOR_BYTES)
        code.add(row, VECTOR_BYTES)
      })
    })
    vector(true)
  }
  if (!adds) {
    code.vpxord(sum, sum, sum)
    eachVector(masked => code.vmovups(at(to), sum, masked ? merging(mask) : null))
  }
  code.unlessZero(word, () => {
    const again = code.label()
    code.bind(again)
    code.tzcnt(place, word)
    code.mov(row, place)
    code.multiply(row, bStride)
    code.add(row, b)
    code.vbroadcastss(factor, scaledAt(A, 0, place, 4))
    code.blsr(word, word)
    eachVector(masked => {
      const lanes = masked ? zeroing(mask) : null
      code.vmovups(sum, at(to), lanes)
      code.vmovups(other, at(row), lanes)
      code.vfmadd231ps(sum, factor, other)
      code.vmovups(at(to), sum, masked ? merging(mask) : null)
    })
    code.jumpIfNotZero(word, again)
  })
  code.ldmxcsr(at(RDI, CALLERS_MODE_AT))
  code.pop(...kept)
  code.ret()
  return { signature: addRowsSignature(WORDS_AT), code }
}

/** Copies rows of b to rows of the panel in the block; if `united`, those that the union names. `mask`: lanes of the last vector. */
export function packRows(vectors: number, united: boolean): Loadable {
  const signature = packSignature(vectors, united ? UNION_AT : null)
  const { code, argument, load } = begin(signature)
  const [from, stride, left, to, row, place] = [RCX, RDX, RSI, R8, R9, R10]
  load(from, 'b')
  load(stride, 'bStride')
  load(left, 'rows')
  code.loadMask(k(1), argument('mask'))
  code.mov(to, RDI)
  code.add(to, PANEL_AT)
  const copyRow = (b: Register, panel: Register) => {
    for (let v = 0; v < vectors; v++) {
      code.vmovups(zmm(v), at(b, VECTOR_BYTES * v), v === vectors - 1 ? zeroing(k(1)) : null)
      code.vmovups(at(panel, VECTOR_BYTES * v), zmm(v))
    }
  }
  if (united) {
    code.mov(left, at(RDI, UNION_AT))
    code.unlessZero(left, () => {
      const findRow = () => {
        code.mov(row, place)
        code.multiply(row, stride)
        code.add(row, from)
        code.imul(place, place, vectors * VECTOR_BYTES)
        code.add(place, to)
      }
      code.eachSetBit(left, place, findRow, () => copyRow(row, place))
    })
  } else {
    code.loop(left, 1, () => {
      copyRow(from, to)
      code.add(from, stride)
      code.add(to, vectors * VECTOR_BYTES)
    })
  }
  code.ret()
  return { signature, code }
}
