/**
 * Machine code of products in bf16 that skip zeros, on CPUs with AVX512-BF16. `vdpbf16ps` adds the products of two
 * neighbours of k, of which both are seldom zero. So of each row of a, the numbers that are not zero are listed side by side
 * with their places, and for each two of the list the rows of b at their places are interleaved in registers: unpacking
 * runs beside the products, on other ports. (Skipping pairs that are both zero instead took 1.1 to 1.2 times as long, with
 * 35 % of all numbers not zero.) Pure; any thread.
 *
 * c (m, 64 · blocks) = a · b, in parts of 64 of k and up to 256 of n: the panel of b is packed, so that it lies in the
 * first-level cache. Each number of c is one chain of additions, two after another for each two of the list, in the order of
 * k: its bits depend on the operands alone, not on how the product is partitioned. Subnormal numbers count as zero in the
 * instruction itself.
 *
 * Test: node dist/test/kernels/x64/bf16-sparse.test.js   Bench: npm run bench -- step --backends onednn
 */
import {
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
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  scaledAt,
  zeroing,
  zmm,
} from './assembler.js'
import { begin, type Loadable } from './calling-convention.js'
import { BF16_ROW_BYTES, BLOCK_ROW_BYTES, F32_BYTES, PAIR_BYTES, VECTOR_BYTES } from './constants.js'
import { BF16_LISTS, bf16MultiplySignature, bf16PanelSignature } from './product-signatures.js'

/** Numbers of a row that one list has room for, and rows of a panel. */
export const LIST_NUMBERS = 64
/** Rows of a that are multiplied at once, at most. */
export const MOST_ROWS = 256
/** 64-column blocks that are multiplied at once, at most: their sums are half of all vectors. */
export const MOST_BLOCKS = 4
/** Cache lines that are prefetched with each row. */
const LINES_AHEAD = 4
export const AHEAD_BYTES = LINES_AHEAD * VECTOR_BYTES

/** A list: up to 64 numbers, then up to 64 places, of a byte each. */
const PLACES_AT = 2 * LIST_NUMBERS
const LIST_BYTES = PLACES_AT + LIST_NUMBERS

/** Parts of the block behind the arguments, in bytes: constants, pairs in each list, lists, panel. */
const LOW_AT = 96
const ALL_PLACES_AT = 128
const NO_PLACE_AT = ALL_PLACES_AT + VECTOR_BYTES
const COUNTS_AT = NO_PLACE_AT + VECTOR_BYTES
const LISTS_AT = COUNTS_AT + MOST_ROWS * F32_BYTES
const PANEL_AT = LISTS_AT + MOST_ROWS * LIST_BYTES
/** The last row of a panel is zeros, for lists of an odd length. */
const NO_PLACE = LIST_NUMBERS
export const BF16_SPARSE_BLOCK_BYTES = PANEL_AT + (LIST_NUMBERS + 1) * MOST_BLOCKS * BF16_ROW_BYTES

/** Writes the constants of a new block. */
export function initialiseBlock(block: DataView): void {
  block.setUint32(LOW_AT, 0xffff, true)
  for (let i = 0; i < VECTOR_BYTES; i++) {
    block.setUint8(ALL_PLACES_AT + i, i)
    block.setUint8(NO_PLACE_AT + i, NO_PLACE)
  }
}

/** Lists the numbers of rows of a that are not zero; arguments: BF16_LISTS. Returns how many there are in all rows. */
export function lists(): Loadable {
  const { code, argument, load } = begin(BF16_LISTS)
  const [a, stride, left, list, counts, total, lower, all] = [RCX, RDX, RSI, R8, R9, RAX, R10, R11]
  load(a, 'a')
  load(stride, 'aStride')
  load(left, 'rows')
  code.loadMask(k(1), argument('mask'))
  code.mov(list, RDI)
  code.add(list, LISTS_AT)
  code.mov(counts, RDI)
  code.add(counts, COUNTS_AT)
  code.clear(total)
  const [places, noPlace] = [zmm(30), zmm(31)]
  code.vmovups(places, at(RDI, ALL_PLACES_AT))
  code.vmovups(noPlace, at(RDI, NO_PLACE_AT))
  code.loop(left, 1, () => {
    code.vmovups(zmm(0), at(a))
    code.vmovups(zmm(1), at(a, VECTOR_BYTES), zeroing(k(1)))
    code.vptestmw(k(2), zmm(0), zmm(0))
    code.vptestmw(k(3), zmm(1), zmm(1))
    code.kunpckdq(k(4), k(3), k(2))
    code.kmovq(lower, k(2))
    code.kmovq(all, k(4))
    code.popcnt(lower, lower)
    code.popcnt(all, all)
    code.vpcompressw(zmm(2), zmm(0), zeroing(k(2)))
    code.vpcompressw(zmm(3), zmm(1), zeroing(k(3)))
    code.vmovups(zmm(4), noPlace)
    code.vpcompressb(zmm(4), places, merging(k(4)))
    code.vmovups(at(list), zmm(2))
    // Behind the numbers of the first half: with the zeros behind its own it fills the list.
    code.vmovups(scaledAt(list, 0, lower, 2), zmm(3))
    code.vmovups(at(list, PLACES_AT), zmm(4))
    code.add(total, all)
    code.add(all, 1)
    code.shr(all, 1)
    code.store32(at(counts), all)
    code.add(a, stride)
    code.add(list, LIST_BYTES)
    code.add(counts, F32_BYTES)
  })
  code.ret()
  return { signature: BF16_LISTS, code }
}

/**
 * Copies pairs of rows of b to rows of the panel. 32 columns lie so that unpacking two rows gives two vectors of 16
 * columns: four of the first vector, four of the second, and so on.
 */
export function packPanel(blocks: number): Loadable {
  const signature = bf16PanelSignature(blocks)
  const { code, load } = begin(signature)
  const [stride, left, to] = [RDX, RSI, R8]
  const from = [RCX, R9, R10, R11].slice(0, blocks)
  const rowBytes = blocks * BF16_ROW_BYTES
  load(from[0], 'b')
  load(stride, 'bBlock')
  load(left, 'pairs')
  for (let block = 1; block < blocks; block++) {
    code.mov(from[block], from[block - 1])
    code.add(from[block], stride)
  }
  code.mov(to, RDI)
  code.add(to, PANEL_AT)
  const [low, zero] = [zmm(30), zmm(31)]
  code.vbroadcastss(low, at(RDI, LOW_AT))
  code.vpxord(zero, zero, zero)
  for (let i = 0; i < rowBytes; i += VECTOR_BYTES) code.vmovups(at(to, NO_PLACE * rowBytes + i), zero)
  code.loop(left, 1, () => {
    for (let block = 0; block < blocks; block++) {
      for (const half of [0, 1]) {
        const [x, y, p, q] = [0, 1, 2, 3].map(i => zmm(8 * (block % 2) + 4 * half + i))
        code.vmovups(x, at(from[block], 2 * VECTOR_BYTES * half))
        code.vmovups(y, at(from[block], 2 * VECTOR_BYTES * half + VECTOR_BYTES))
        code.vpandd(p, x, low)
        code.vpandd(q, y, low)
        code.vpackusdw(p, p, q)
        code.vpsrld(x, x, 16)
        code.vpsrld(y, y, 16)
        code.vpackusdw(x, x, y)
        const place = block * BF16_ROW_BYTES + VECTOR_BYTES * half
        code.vmovups(at(to, place), p)
        code.vmovups(at(to, rowBytes + place), x)
      }
      code.add(from[block], PAIR_BYTES)
    }
    code.add(to, 2 * rowBytes)
  })
  code.ret()
  return { signature, code }
}

/**
 * Multiplies listed rows by the panel, into rows of c or, if `adds`, onto them. With each row, four cache lines are
 * prefetched that are read later.
 */
export function multiplyLists(blocks: number, adds: boolean): Loadable {
  const signature = bf16MultiplySignature(blocks)
  const { code, load } = begin(signature)
  const kept = [RBX, RBP, R13, R14, R15]
  code.push(...kept)
  const [left, list, counts, pairs, i, first, second, panel, ahead, step] = [
    ...[RSI, R8, R9, RDX, R15, RBX, RBP, R14, R13, RAX],
  ]
  const c = [RCX, R10, R11].slice(0, Math.min(blocks, 3))
  const rowBytes = blocks * BF16_ROW_BYTES
  load(c[0], 'c')
  load(ahead, 'ahead')
  load(step, 'cBlock')
  for (let block = 1; block < c.length; block++) {
    code.mov(c[block], c[block - 1])
    code.add(c[block], step)
  }
  load(left, 'rows')
  load(i, 'first')
  code.imul(list, i, LIST_BYTES)
  code.add(list, RDI)
  code.add(list, LISTS_AT)
  code.imul(counts, i, F32_BYTES)
  code.add(counts, RDI)
  code.add(counts, COUNTS_AT)
  code.mov(panel, RDI)
  code.add(panel, PANEL_AT)
  const sums = Array.from({ length: 4 * blocks }, (_, v) => zmm(v))
  /** The fourth block lies as far behind the third as the third behind the second. */
  const placeOf = (v: number) => {
    const block = Math.floor(v / 4)
    const disp = VECTOR_BYTES * (v % 4)
    return block < 3 ? at(c[block], disp) : at(c[2], disp, step)
  }
  const factor = zmm(31)
  code.loop(left, 1, () => {
    code.mov32(pairs, at(counts))
    for (let line = 0; line < LINES_AHEAD; line++) code.prefetcht1(at(ahead, VECTOR_BYTES * line))
    const store = () => {
      for (const [v, sum] of sums.entries()) code.vmovups(placeOf(v), sum)
    }
    if (!adds) for (const sum of sums) code.vpxord(sum, sum, sum)
    code.unlessZero(pairs, () => {
      if (adds) for (const [v, sum] of sums.entries()) code.vmovups(sum, placeOf(v))
      code.clear(i)
      code.loop(pairs, 1, () => {
        code.movByte(first, scaledAt(list, PLACES_AT, i, 2))
        code.movByte(second, scaledAt(list, PLACES_AT + 1, i, 2))
        code.vbroadcastss(factor, scaledAt(list, 0, i, 4))
        code.imul(first, first, rowBytes)
        code.imul(second, second, rowBytes)
        code.add(i, 1)
        for (let v = 0; v < 2 * blocks; v++) {
          const [x, y, low] = [0, 1, 2].map(n => zmm(16 + 3 * (v % 4) + n))
          code.vmovups(x, at(panel, VECTOR_BYTES * v, first))
          code.vmovups(y, at(panel, VECTOR_BYTES * v, second))
          code.vpunpckwd('low', low, x, y)
          code.vpunpckwd('high', x, x, y)
          code.vdpbf16ps(sums[2 * v], factor, low)
          code.vdpbf16ps(sums[2 * v + 1], factor, x)
        }
      })
      if (adds) store()
    })
    if (!adds) store()
    for (const pointer of c) code.add(pointer, BLOCK_ROW_BYTES)
    code.add(list, LIST_BYTES)
    code.add(counts, F32_BYTES)
    // RAX holds the step from block to block; that of the prefetched lines lies in the block.
    load(pairs, 'aheadStep')
    code.add(ahead, pairs)
  })
  code.pop(...kept)
  code.ret()
  return { signature, code }
}
