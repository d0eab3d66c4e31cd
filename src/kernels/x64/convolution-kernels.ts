/**
 * Machine code of convolutions in f32: no patch is gathered, for in a picture with a border of zeros, channels last, the values of a patch
 * that lie in one row of it are next to each other, `size · channels` of them. Each number of a result is one chain of fused additions, in
 * the order of row, column, channel, or of positions: its bits do not depend on how many are computed at once. Pure; any thread.
 *
 * Up to 14 rows of a result by two vectors are in registers: of 31 vector registers 28 are sums, so that the two loads of a cycle feed both
 * units that multiply. Direct convolution in registers: Georganas et al., Anatomy of High-Performance Deep Learning Convolutions on SIMD
 * Architectures, 2018.
 *
 * Test: node dist/test/kernels/x64/convolutions.test.js   Bench: npm run bench -- conv
 */
import type { PatchSizes } from '../products.js'
import {
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
  RBP,
  RBX,
  RCX,
  RDX,
  type Register,
  RSI,
  zmm,
} from './assembler.js'
import { begin, type Loadable } from './calling-convention.js'
import { F32_BYTES, VECTOR_BYTES } from './constants.js'
import { CLEAR, patchGradientSignature, patchProductSignature } from './product-signatures.js'

/** Rows of a result in registers, and vectors of each. */
export const MOST_ROWS = 14
export const MOST_VECTORS = 2

/** Even parts of `length`, of MOST_ROWS at most: how many whole ones, of how much, and the rest. */
export function partsOf(length: number): { readonly whole: number; readonly rows: number; readonly rest: number } {
  const rows = Math.ceil(length / Math.ceil(length / MOST_ROWS))
  const whole = Math.floor(length / rows)
  return { whole, rows, rest: length - whole * rows }
}

/** Emits `part` for each part of `length`, in a loop over those of the same size. */
function eachPart(code: Assembler, length: number, left: Register, part: (rows: number) => void): void {
  const { whole, rows, rest } = partsOf(length)
  code.set(left, whole)
  code.loop(left, 1, () => part(rows))
  if (rest > 0) part(rest)
}

const [B0, FACTOR] = [28, zmm(30)]
const sumOf = (vectors: number, row: number, v: number) => zmm(row * vectors + v)

/** sums += factors at `a`, `aStep` apart, by vectors at `b`. */
function multiplyAdd(
  code: Assembler,
  rows: number,
  vectors: number,
  [a, aAt, aStep]: readonly [Register, number, number],
  [b, bAt]: readonly [Register, number],
): void {
  for (let v = 0; v < vectors; v++) code.vmovups(zmm(B0 + v), at(b, bAt + VECTOR_BYTES * v))
  for (let row = 0; row < rows; row++) {
    code.vbroadcastss(FACTOR, at(a, aAt + aStep * row))
    for (let v = 0; v < vectors; v++) code.vfmadd231ps(sumOf(vectors, row, v), FACTOR, zmm(B0 + v))
  }
}

/** Emits `visit` for each sum. */
function eachSum(rows: number, vectors: number, visit: (row: number, v: number) => void): void {
  for (let row = 0; row < rows; row++) for (let v = 0; v < vectors; v++) visit(row, v)
}

const clearSums = (code: Assembler, rows: number, vectors: number) =>
  eachSum(rows, vectors, (row, v) => {
    const sum = sumOf(vectors, row, v)
    code.vpxord(sum, sum, sum)
  })

const storeSums = (code: Assembler, rows: number, vectors: number, [to, toRow]: readonly [Register, number]) =>
  eachSum(rows, vectors, (row, v) => {
    code.vmovups(at(to, toRow * row + VECTOR_BYTES * v), sumOf(vectors, row, v))
  })

/** c (rows · width, 16 · vectors) = patches · b (size · run, …), for `rows` rows of positions. */
export function patchProduct(sizes: PatchSizes): Loadable {
  const { size, run, width, step, rowStep, pictureRow, vectors, bRow, cRow } = sizes
  const signature = patchProductSignature(sizes)
  const { code, load } = begin(signature)
  const kept = [RBX, RBP, R12, R13]
  code.push(...kept)
  const [a, b, c, left] = [RCX, RDX, RSI, R8]
  const [aPart, cPart, parts, fromA, fromB, windowRows, terms] = [R9, R10, R11, RBX, RBP, R12, R13]
  load(a, 'a')
  load(b, 'b')
  load(c, 'c')
  load(left, 'rows')
  const unrolled = [4, 3, 2].find(n => run % n === 0) ?? 1
  code.loop(left, 1, () => {
    code.mov(aPart, a)
    code.mov(cPart, c)
    eachPart(code, width, parts, rows => {
      clearSums(code, rows, vectors)
      code.mov(fromA, aPart)
      code.mov(fromB, b)
      code.set(windowRows, size)
      code.loop(windowRows, 1, () => {
        code.set(terms, run / unrolled)
        code.loop(terms, 1, () => {
          for (let term = 0; term < unrolled; term++) {
            multiplyAdd(code, rows, vectors, [fromA, F32_BYTES * term, step], [fromB, bRow * term])
          }
          code.add(fromA, F32_BYTES * unrolled)
          code.add(fromB, bRow * unrolled)
        })
        code.add(fromA, pictureRow - F32_BYTES * run)
      })
      storeSums(code, rows, vectors, [cPart, cRow])
      code.add(aPart, step * rows)
      code.add(cPart, cRow * rows)
    })
    code.add(a, rowStep)
    code.add(c, cRow * width)
  })
  code.pop(...kept)
  code.ret()
  return { signature, code }
}

/**
 * c (size · run, 16 · vectors) = patches, transposed, · b (rows · width, …), over `rows` rows of positions; if `adds`, sums continue from
 * what is there.
 */
export function patchGradient(sizes: PatchSizes): Loadable {
  const { size, run, width, step, rowStep, pictureRow, vectors, bRow, cRow } = sizes
  const signature = patchGradientSignature(sizes)
  const { code, load } = begin(signature)
  const kept = [RBX, RBP, R12, R13, R14, R15]
  code.push(...kept)
  const [a, b, c, adds] = [RCX, RDX, RSI, R8]
  const [aPart, parts, fromA, fromB, windowRows, rowsLeft, columns, rows] = [R9, R10, RBX, RBP, R11, R12, R13, R14]
  load(a, 'a')
  load(b, 'b')
  load(c, 'c')
  load(rows, 'rows')
  load(adds, 'adds')
  code.set(windowRows, size)
  code.loop(windowRows, 1, () => {
    code.mov(aPart, a)
    eachPart(code, run, parts, count => {
      clearSums(code, count, vectors)
      code.unlessZero(adds, () => {
        eachSum(count, vectors, (row, v) => code.vmovups(sumOf(vectors, row, v), at(c, cRow * row + VECTOR_BYTES * v)))
      })
      code.mov(fromA, aPart)
      code.mov(fromB, b)
      code.mov(rowsLeft, rows)
      code.loop(rowsLeft, 1, () => {
        code.set(columns, width)
        code.loop(columns, 1, () => {
          multiplyAdd(code, count, vectors, [fromA, 0, F32_BYTES], [fromB, 0])
          code.add(fromA, step)
          code.add(fromB, bRow)
        })
        code.add(fromA, rowStep - step * width)
      })
      storeSums(code, count, vectors, [c, cRow])
      code.add(aPart, F32_BYTES * count)
      code.add(c, cRow * count)
    })
    code.add(a, pictureRow)
  })
  code.pop(...kept)
  code.ret()
  return { signature, code }
}

/** Zeros for the border of a picture: `fill` of a shared array takes ten times as long. */
export function clear(): Loadable {
  const { code, load } = begin(CLEAR)
  const [to, left] = [RCX, RDX]
  load(to, 'to')
  load(left, 'vectors')
  code.vpxord(zmm(0), zmm(0), zmm(0))
  code.loop(left, 1, () => {
    code.vmovups(at(to), zmm(0))
    code.add(to, VECTOR_BYTES)
  })
  code.ret()
  return { signature: CLEAR, code }
}
