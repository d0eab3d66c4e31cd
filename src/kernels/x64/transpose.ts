/** A transposition in registers, of 16 x 16 lanes. Pure; any thread. */
import { type Assembler, type Vector, zmm } from './assembler.js'
import { LANES } from './constants.js'

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
