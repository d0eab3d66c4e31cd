/**
 * Products in f32 with AVX-512 that leave out what is multiplied by zero, in machine code: after ReLU and dropout, two
 * thirds of all activations and deltas are. Each number of c is one chain of fused additions in the order of k, over what
 * is not zero in its row of a: its bits depend on the operands alone, not on how the product is cut. Any thread.
 *
 * c (m, n) = a · b, in parts of up to 64 of k and 192 of n: the panel of b is packed, so that it lies in the first-level
 * cache; a word of each row of a says where it is not zero; for each such number, a row of the panel is added, so many
 * times, to a row of c, which is in registers. Subnormal numbers count as zero: a CPU takes a hundred times as long for
 * them, and deltas of a network that has learned its rows are full of them.
 *
 * Test: npx tap dist/test/tensor/sparse.test.js   Bench: npm run bench -- step --backends onednn
 */
import {
  type Assembler,
  at,
  k,
  merging,
  R8,
  R9,
  R10,
  R11,
  R13,
  R14,
  R15,
  RAX,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  scaledAt,
  zeroing,
  zmm,
} from './assembler.js'
import { argument, begin, count, pointer } from './calling-convention.js'
import { transpose } from './transpose.js'

export const LANES = 16
const BYTES = 64
/** Vectors of a panel's row, at most. */
export const WIDEST = 12
/** Numbers of k that a word of a row has bits for. */
const WORD = 64
export const WORD_BYTES = 8
const PANEL_BYTES = 40960
/** Rows of a panel: the panel, and rows of a and c, fit the first-level cache. */
export const depthOf = (vectors: number): number =>
  Math.min(WORD, Math.floor(PANEL_BYTES / (vectors * BYTES * LANES)) * LANES)

/** Rows of a that are multiplied at once, at most. */
export const MOST_ROWS = 512
/** Lines that are asked for with each row. */
export const LINES_AHEAD = 4
/** Bytes of such a row where a is transposed first. */
export const TURNED_ROW = WORD * 4

/** Where the block has what, in bytes: first what MXCSR was, and is while sums are made. */
const CALLERS_MODE_AT = 112
const MODE_AT = 116
const WORDS_AT = 128
export const PANEL_AT = WORDS_AT + MOST_ROWS * WORD_BYTES
export const TURNED_AT = PANEL_AT + PANEL_BYTES
export const SPARSE_BLOCK_BYTES = TURNED_AT + MOST_ROWS * TURNED_ROW

/** Round to nearest, no exceptions; results that are subnormal become zero, and operands that are count as it. */
const SUBNORMALS_ARE_ZERO = 0x1f80 | 0x8040

/** Of a block at its beginning, of an arena that begins at this address. */
export function startBlock(block: DataView, base: number): void {
  block.setBigUint64(0, BigInt(base), true)
  block.setUint32(MODE_AT, SUBNORMALS_ARE_ZERO, true)
}

/** Whether a lies in the arena, or in the block. */
export type Where = 'arena' | 'block'

function rowsOfA(code: Assembler, where: Where): void {
  if (where === 'arena') pointer(code, A, 0)
  else {
    count(code, A, 0)
    code.add(A, RDI)
  }
}
const [A, STRIDE, LEFT, WORDS] = [RCX, RDX, RSI, R8]

/**
 * words(a, aStride, rows, valid...): says of each row which of up to 64 numbers are not zero; `valid`: four masks of 16
 * bits, of those that are there. Returns how many there are in all rows.
 */
export function rowWords(where: Where): Assembler {
  const code = begin()
  const [word, total] = [R9, R10]
  rowsOfA(code, where)
  count(code, STRIDE, 1)
  count(code, LEFT, 2)
  const valid = [2, 3, 4, 5].map(k)
  for (const [i, mask] of valid.entries()) code.loadMask(mask, argument(3 + i))
  code.mov(WORDS, RDI)
  code.add(WORDS, WORDS_AT)
  code.clear(total)
  code.loop(LEFT, 1, () => {
    for (const [i, mask] of valid.entries()) code.vmovups(zmm(i), at(A, BYTES * i), zeroing(mask))
    const [low, high, other] = [k(6), k(7), k(0)]
    code.vptestmd(low, zmm(0), zmm(0))
    code.vptestmd(other, zmm(1), zmm(1))
    code.kunpckwd(low, other, low)
    code.vptestmd(high, zmm(2), zmm(2))
    code.vptestmd(other, zmm(3), zmm(3))
    code.kunpckwd(high, other, high)
    code.kunpckdq(low, high, low)
    code.kmovq(word, low)
    code.store(at(WORDS), word)
    code.popcnt(word, word)
    code.add(total, word)
    code.add(A, STRIDE)
    code.add(WORDS, WORD_BYTES)
  })
  code.mov(RAX, total)
  code.ret()
  return code
}

/**
 * multiply(a, aStride, rows, c, cStride, mask, first, ahead, aheadStep, panel): rows of c from those of a and the panel,
 * or those added to it; `first`: which of the words is that of the first row, in bytes; `mask`: of the last vector;
 * `panel`: where it is in the arena, 0: where it was packed. With each row,
 * four lines are asked for that are read later: nothing of a step's weights is in a cache. (Of what the update reads, it
 * did not pay: it waits for memory all the same.)
 */
export function multiplyRows(where: Where, vectors: number, adds: boolean): Assembler {
  const code = begin()
  const kept = [RBX, R13, R14, R15]
  code.push(...kept)
  code.stmxcsr(at(RDI, CALLERS_MODE_AT))
  code.ldmxcsr(at(RDI, MODE_AT))
  const [word, c, cStride, place, row, panel] = [R9, R10, R11, RAX, R14, R15]
  const [ahead, step] = [R13, RBX]
  const [mask, factor] = [k(1), zmm(31)]
  rowsOfA(code, where)
  pointer(code, c, 3)
  pointer(code, ahead, 7)
  count(code, STRIDE, 1)
  count(code, LEFT, 2)
  count(code, cStride, 4)
  code.loadMask(mask, argument(5))
  count(code, step, 8)
  count(code, WORDS, 6)
  code.add(WORDS, RDI)
  code.add(WORDS, WORDS_AT)
  count(code, word, 9)
  code.mov(panel, RDI)
  code.add(panel, PANEL_AT)
  code.unlessZero(word, () => {
    code.mov(panel, RAX)
    code.add(panel, word)
  })
  const sums = Array.from({ length: vectors }, (_, v) => zmm(v))
  const last = (v: number) => v === vectors - 1
  code.loop(LEFT, 1, () => {
    code.mov(word, at(WORDS))
    for (let line = 0; line < LINES_AHEAD; line++) code.prefetcht1(at(ahead, BYTES * line))
    // The next row of c: its sums begin with it.
    for (let v = 0; v < vectors; v++) code.prefetchw(at(c, BYTES * v, cStride))
    code.add(ahead, step)
    const store = () => {
      for (const [v, sum] of sums.entries()) code.vmovups(at(c, BYTES * v), sum, last(v) ? merging(mask) : null)
    }
    if (!adds) for (const sum of sums) code.vpxord(sum, sum, sum)
    code.unlessZero(word, () => {
      if (adds) {
        for (const [v, sum] of sums.entries()) code.vmovups(sum, at(c, BYTES * v), last(v) ? zeroing(mask) : null)
      }
      const findRow = () => {
        code.imul(row, place, vectors * BYTES)
        code.add(row, panel)
        code.vbroadcastss(factor, scaledAt(A, 0, place, 4))
      }
      code.eachSetBit(word, place, findRow, () => {
        for (const [v, sum] of sums.entries()) code.vfmadd231ps(sum, factor, at(row, BYTES * v))
      })
      if (adds) store()
    })
    if (!adds) store()
    code.add(A, STRIDE)
    code.add(c, cStride)
    code.add(WORDS, WORD_BYTES)
  })
  code.ldmxcsr(at(RDI, CALLERS_MODE_AT))
  code.pop(...kept)
  code.ret()
  return code
}

/** packRows(b, bStride, rows, mask): rows of b become rows of the panel; `mask`: of the last vector. */
export function packRows(vectors: number): Assembler {
  const code = begin()
  const [from, stride, left, to] = [RCX, RDX, RSI, R8]
  pointer(code, from, 0)
  count(code, stride, 1)
  count(code, left, 2)
  code.loadMask(k(1), argument(3))
  code.mov(to, RDI)
  code.add(to, PANEL_AT)
  code.loop(left, 1, () => {
    for (let v = 0; v < vectors; v++) {
      code.vmovups(zmm(v), at(from, BYTES * v), v === vectors - 1 ? zeroing(k(1)) : null)
      code.vmovups(at(to, BYTES * v), zmm(v))
    }
    code.add(from, stride)
    code.add(to, vectors * BYTES)
  })
  code.ret()
  return code
}

/**
 * turn(from, fromStride, steps, to, toStride, toStep): 16 rows, 16 numbers of each in a step, become columns; `to` is a
 * place in the block, which moves by `toStep` with each step.
 */
export function turn(): Assembler {
  const code = begin()
  const kept = [R14]
  code.push(...kept)
  const [from, stride, left, to, row, toStride, toStep, place] = [RCX, RDX, RSI, R8, R9, R10, R11, R14]
  pointer(code, from, 0)
  count(code, stride, 1)
  count(code, left, 2)
  count(code, to, 3)
  code.add(to, RDI)
  count(code, toStride, 4)
  count(code, toStep, 5)
  code.loop(left, 1, () => {
    code.mov(row, from)
    for (let r = 0; r < LANES; r++) {
      code.vmovups(zmm(r), at(row))
      code.add(row, stride)
    }
    transpose(code, (r, vector) => {
      code.imul(place, toStride, r)
      code.add(place, to)
      code.vmovups(at(place), vector)
    })
    code.add(from, BYTES)
    code.add(to, toStep)
  })
  code.pop(...kept)
  code.ret()
  return code
}

/** turnNumbers(from, fromStride, rows, numbers, to, toStride): the same one by one, of any counts. */
export function turnNumbers(): Assembler {
  const code = begin()
  const kept = [R14]
  code.push(...kept)
  const [from, stride, left, numbers, to, toStride, number, place] = [RCX, RDX, RSI, R8, R9, R10, R11, R14]
  pointer(code, from, 0)
  count(code, stride, 1)
  count(code, left, 2)
  count(code, to, 4)
  code.add(to, RDI)
  count(code, toStride, 5)
  code.loop(left, 1, () => {
    code.mov(number, from)
    code.mov(place, to)
    count(code, numbers, 3)
    code.loop(numbers, 1, () => {
      code.mov32(RAX, at(number))
      code.store32(at(place), RAX)
      code.add(number, 4)
      code.add(place, toStride)
    })
    code.add(from, stride)
    code.add(to, 4)
  })
  code.pop(...kept)
  code.ret()
  return code
}
