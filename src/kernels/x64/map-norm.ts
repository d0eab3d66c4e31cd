/**
 * Batch normalisation of feature maps, as in module/assembly/map-norm.ts: the same operations in the same order on each number. Pure; any
 * thread.
 */
import {
  type Address,
  type Assembler,
  at,
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
  zmm,
} from './assembler.js'
import { begin, type KernelCode } from './calling-convention.js'
import { VECTOR_BYTES } from './constants.js'
import { check, constant, flush, returnBad } from './emit-helpers.js'
import { MAP_NORM_BACKWARD, MAP_NORMALISE, MAP_SUMS } from './map-signatures.js'
import { WASM_VECTOR } from './signatures.js'

/** Rows of a block, whose lines stay in the caches while the next channels are visited: 2 to the power of these bits. */
const ROW_BITS = 6
/** Vectors of 16 channels that are visited at once, so that lines of a row are read one after the other: 2 to the power of these bits. */
const VECTOR_BITS = 2
const KEPT = [RBX, RBP, R12, R13, R14, R15] as const

/** Work of a kernel on vectors of channels: `column` is the byte of the first of them in a row, `i` counts them. */
interface Channels {
  before(column: Register, i: number): void
  row(a: Address, b: Address, i: number): void
  after?(column: Register, i: number): void
}

/**
 * Visits the rows of two matrices with as many rows and channels: blocks of rows, of each groups of channels, of these all rows.
 * Registers RBX and R15 are left to the kernel; KEPT is on the stack.
 */
function eachBlock<N extends string>(
  { code, load }: KernelCode<N | 'rows' | 'vectors'>,
  [matrixA, rowA]: readonly [N, N],
  [matrixB, rowB]: readonly [N, N],
  { before, row, after }: Channels,
): void {
  const [a, strideA, b, strideB, blocks, count, left] = [RCX, RDX, RSI, R8, R9, R10, R11]
  const [groups, column, ofA, ofB] = [R12, R13, R14, RAX]
  load(a, matrixA)
  load(b, matrixB)
  load(strideA, rowA)
  load(strideB, rowB)
  // The first block has the rows that the others, which are full, leave: at least one.
  const full = 2 ** ROW_BITS
  load(count, 'rows')
  code.mov(blocks, count)
  code.add(blocks, full - 1)
  code.shr(blocks, ROW_BITS)
  code.imul(left, blocks, -full)
  code.add(count, full)
  code.add(count, left)
  const visit = (vectors: readonly number[]) => {
    for (const i of vectors) before(column, i)
    code.mov(ofA, a)
    code.mov(ofB, b)
    code.mov(left, count)
    code.loop(left, 1, () => {
      for (const i of vectors) row(at(ofA, VECTOR_BYTES * i, column), at(ofB, VECTOR_BYTES * i, column), i)
      code.add(ofA, strideA)
      code.add(ofB, strideB)
    })
    for (const i of vectors) after?.(column, i)
    code.add(column, VECTOR_BYTES * vectors.length)
  }
  code.loop(blocks, 1, () => {
    code.clear(column)
    for (let bits = VECTOR_BITS; bits >= 0; bits--) {
      load(groups, 'vectors')
      code.imul(groups, groups, WASM_VECTOR)
      code.imul(left, column, -1)
      code.add(groups, left)
      code.shr(groups, Math.log2(VECTOR_BYTES) + bits)
      const vectors = Array.from({ length: 2 ** bits }, (_, i) => i)
      code.unlessZero(groups, () => code.loop(groups, 1, () => visit(vectors)))
    }
    for (const [pointer, stride] of [
      [a, strideA],
      [b, strideB],
    ]) {
      code.mov(left, count)
      code.multiply(left, stride)
      code.add(pointer, left)
    }
    code.clear(count)
    code.add(count, full)
  })
}

/**
 * Sums of channels in f64; arguments: MAP_SUMS. A product of two f32 is exact in f64, so a fused addition has the bits of a product and a
 * sum.
 */
export function mapSums(): Assembler {
  const kernel = begin(MAP_SUMS)
  const { code, load } = kernel
  code.push(...KEPT)
  const [products, sums] = [RBX, R15]
  load(products, 'products')
  load(sums, 'sums')
  const halves = [0, 1] as const
  const product = (i: number, half: number) => zmm(16 + 4 * i + half)
  const sum = (i: number, half: number) => zmm(18 + 4 * i + half)
  // Numbers of 64 bits: a channel has twice as many bytes as in a row.
  const places = (column: Register, i: number) =>
    halves.flatMap(half => {
      const byte = VECTOR_BYTES * (2 * i + half)
      return [
        [product(i, half), scaledAt(products, byte, column, 2)] as const,
        [sum(i, half), scaledAt(sums, byte, column, 2)] as const,
      ]
    })
  eachBlock(kernel, ['a', 'aRow'], ['b', 'bRow'], {
    before(column, i) {
      for (const [vector, place] of places(column, i)) code.vmovups(vector, place)
    },
    row(a, b, i) {
      for (const half of halves) {
        const [x, y] = [zmm(4 * i + 2 * half), zmm(4 * i + 2 * half + 1)]
        const inHalf = (address: Address): Address => ({ ...address, disp: address.disp + (VECTOR_BYTES / 2) * half })
        code.vcvtps2pd(x, inHalf(a))
        code.vcvtps2pd(y, inHalf(b))
        code.vaddpd(sum(i, half), sum(i, half), x)
        code.vfmadd231pd(product(i, half), x, y)
      }
    },
    after(column, i) {
      for (const [vector, place] of places(column, i)) code.vmovups(place, vector)
    },
  })
  code.pop(...KEPT)
  code.ret()
  return code
}

/** The numbers of channels in a table, four vectors for vector i of a group. */
const numbersOf = (i: number) => [0, 1, 2, 3].map(n => zmm(16 + 4 * i + n))

/** Loads the numbers of 16 channels. In the table those of four channels lie side by side, then their next number. */
function loadNumbers(code: Assembler, table: Register, column: Register, i: number): void {
  const entries = numbersOf(i)
  const [low0, low1, high0, high1] = [0, 1, 2, 3].map(zmm)
  for (const [n, entry] of entries.entries()) {
    code.vmovups(entry, scaledAt(table, VECTOR_BYTES * (4 * i + n), column, 4))
  }
  const [e0, e1, e2, e3] = entries
  code.vshuff32x4(low0, e0, e1, [0, 1, 0, 1])
  code.vshuff32x4(low1, e2, e3, [0, 1, 0, 1])
  code.vshuff32x4(high0, e0, e1, [2, 3, 2, 3])
  code.vshuff32x4(high1, e2, e3, [2, 3, 2, 3])
  code.vshuff32x4(e0, low0, low1, [0, 2, 0, 2])
  code.vshuff32x4(e1, low0, low1, [1, 3, 1, 3])
  code.vshuff32x4(e2, high0, high1, [0, 2, 0, 2])
  code.vshuff32x4(e3, high0, high1, [1, 3, 1, 3])
}

/** Normalisation; arguments: MAP_NORMALISE. */
export function mapNormalise(): Assembler {
  const kernel = begin(MAP_NORMALISE)
  const { code, load, loadOffset } = kernel
  code.push(...KEPT)
  const [table, normed] = [RBX, R15]
  load(table, 'table')
  loadOffset(normed, 'normed')
  const rows = (keeps: boolean) =>
    eachBlock(kernel, ['z', 'zRow'], ['normed', 'nRow'], {
      before: (column, i) => loadNumbers(code, table, column, i),
      row(z, place, i) {
        const [mean, meanLow, inverse, scale] = numbersOf(i)
        const x = zmm(i)
        code.vmovups(x, z)
        code.vsubps(x, x, mean)
        code.vsubps(x, x, meanLow)
        code.vmulps(x, x, inverse)
        if (keeps) code.vmovups(place, x)
        code.vmulps(x, x, scale)
        code.vmovups(z, x)
      },
    })
  code.unlessZero(normed, () => rows(true))
  code.mov(RAX, at(RDI))
  code.ifZero(normed, () => rows(false))
  code.pop(...KEPT)
  code.ret()
  return code
}

/** Backward pass; arguments: MAP_NORM_BACKWARD. */
export function mapNormBackward(): Assembler {
  const kernel = begin(MAP_NORM_BACKWARD)
  const { code, load } = kernel
  code.push(...KEPT)
  const table = RBX
  load(table, 'table')
  const [bad, smallest, magnitude] = [12, 13, 14].map(zmm)
  code.vbroadcastss(smallest, constant('smallestNormal'))
  code.vbroadcastss(magnitude, constant('magnitude'))
  code.vpxord(bad, bad, bad)
  eachBlock(kernel, ['dy', 'dRow'], ['normed', 'nRow'], {
    before: (column, i) => loadNumbers(code, table, column, i),
    row(dy, normed, i) {
      const [factor, shift, scale] = numbersOf(i)
      const [x, scratch] = [zmm(2 * i), zmm(2 * i + 1)]
      code.vmulps(scratch, scale, normed)
      code.vmovups(x, dy)
      code.vsubps(x, x, shift)
      code.vsubps(x, x, scratch)
      code.vmulps(x, factor, x)
      check(code, bad, x, scratch)
      flush(code, x, { smallest, magnitude, scratch })
      code.vmovups(dy, x)
    },
  })
  code.pop(...KEPT)
  returnBad(code, bad)
  return code
}
