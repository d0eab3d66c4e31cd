/** Transpositions: of 16 x 16 lanes in registers, and of rows of a matrix into the argument block. Pure; any thread. */
import { type Assembler, at, R8, R9, R10, R11, R14, RAX, RCX, RDI, RDX, RSI, type Vector, zmm } from './assembler.js'
import { begin, type Loadable } from './calling-convention.js'
import { LANES, VECTOR_BYTES } from './constants.js'
import { TRANSPOSE_BLOCKS, TRANSPOSE_NUMBERS } from './product-signatures.js'

/** Transposes 16 x 16 lanes, zmm 0 to 15, through 16 to 31; `store` gets each row of the result, in no order. */
export function transpose(code: Assembler, store: (row: number, vector: Vector) => void): void {
  for (let r = 0; r < LANES; r += 2) {
    code.vunpckps('low', zmm(16 + r), zmm(r), zmm(r + 1))
    code.vunpckps('high', zmm(17 + r), zmm(r), zmm(r + 1))
  }
  // zmm(r + c), r a multiple of 4: in quarter q, column 4q + c of rows r to r + 3.
  for (let r = 0; r < LANES; r += 4) {
    code.vunpckpd('low', zmm(r), zmm(16 + r), zmm(18 + r))
    code.vunpckpd('high', zmm(r + 1), zmm(16 + r), zmm(18 + r))
    code.vunpckpd('low', zmm(r + 2), zmm(17 + r), zmm(19 + r))
    code.vunpckpd('high', zmm(r + 3), zmm(17 + r), zmm(19 + r))
  }
  const halves = [
    [0, 1],
    [2, 3],
  ] as const
  for (let c = 0; c < 4; c++) {
    for (const [half, [q0, q1]] of halves.entries()) {
      const [above, below] = [zmm(16 + 4 * c + half), zmm(18 + 4 * c + half)]
      code.vshuff32x4(above, zmm(c), zmm(4 + c), [q0, q1, q0, q1])
      code.vshuff32x4(below, zmm(8 + c), zmm(12 + c), [q0, q1, q0, q1])
    }
  }
  for (let c = 0; c < 4; c++) {
    for (const [half, [q0, q1]] of halves.entries()) {
      const [above, below] = [zmm(16 + 4 * c + half), zmm(18 + 4 * c + half)]
      for (const [i, q] of [q0, q1].entries()) {
        const result = zmm(4 * half + 2 * (c & 1) + i)
        code.vshuff32x4(result, above, below, [i, 2 + i, i, 2 + i])
        store(4 * q + c, result)
      }
    }
  }
}

/**
 * Transposes 16 rows, 16 numbers of each in a step, into columns in the block, where `to` moves by `toStep` with each step.
 */
export function transposeBlocks(): Loadable {
  const { code, load, loadOffset } = begin(TRANSPOSE_BLOCKS)
  const kept = [R14]
  code.push(...kept)
  const [from, stride, left, to, row, toStride, toStep, place] = [RCX, RDX, RSI, R8, R9, R10, R11, R14]
  load(from, 'from')
  load(stride, 'fromStride')
  load(left, 'steps')
  loadOffset(to, 'to')
  code.add(to, RDI)
  load(toStride, 'toStride')
  load(toStep, 'toStep')
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
    code.add(from, VECTOR_BYTES)
    code.add(to, toStep)
  })
  code.pop(...kept)
  code.ret()
  return { signature: TRANSPOSE_BLOCKS, code }
}

/** Transposes rows into the block number by number, of any counts. */
export function transposeNumbers(): Loadable {
  const { code, load, loadOffset } = begin(TRANSPOSE_NUMBERS)
  const kept = [R14]
  code.push(...kept)
  const [from, stride, left, numbers, to, toStride, number, place] = [RCX, RDX, RSI, R8, R9, R10, R11, R14]
  load(from, 'from')
  load(stride, 'fromStride')
  load(left, 'rows')
  loadOffset(to, 'to')
  code.add(to, RDI)
  load(toStride, 'toStride')
  code.loop(left, 1, () => {
    code.mov(number, from)
    code.mov(place, to)
    load(numbers, 'numbers')
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
  return { signature: TRANSPOSE_NUMBERS, code }
}
