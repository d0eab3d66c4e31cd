/** Weights of one block of 64 columns: their bf16 layouts, as in module/assembly/bf16.ts, and their update. Pure; any thread. */

import { adamConstants, adamVector } from './adam.js'
import {
  type Assembler,
  at,
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
  type Register,
  RSI,
  zmm,
} from './assembler.js'
import { pair, rounding } from './bf16-layouts.js'
import { begin } from './calling-convention.js'
import { BF16_ROW_BYTES, BLOCK_ROW_BYTES, GROUP, LANES, PAIR_BYTES, VECTOR_BYTES } from './constants.js'
import { constant, ROWS_AT } from './emit-helpers.js'
import { BF16_ADAM } from './signatures.js'
import { transpose } from './transpose.js'

/** Writes both bf16 layouts of a block of weights; arguments: BF16_WEIGHTS. */
export function weights(): Assembler {
  return blockOfWeights(false)
}

/** Updates a block of weights, then writes its bf16 layouts; arguments: BF16_ADAM. */
export function updatedWeights(): Assembler {
  return blockOfWeights(true)
}

/**
 * Writes rows of weights in pairs to what products read, past the caches: it is not needed before the next step. One pair
 * after another, so that computing and memory do not wait for each other.
 */
function blockOfWeights(updates: boolean): Assembler {
  const { code, argument, load, loadOffset } = begin(BF16_ADAM)
  const kept = [RBP, RBX, R13, R14, R15]
  code.push(...kept)
  const [w, m, v, g, i, left, to] = [RCX, RDX, RSI, R8, R10, R9, R11]
  const [transposed, transposedBlock, group, rowAt, pairsLeft] = [RBX, R14, R15, R13, RBP]
  load(w, 'w')
  load(left, 'rows')
  load(to, 'pairs')
  if (updates) {
    load(m, 'm')
    load(v, 'v')
    load(g, 'g')
  }
  loadOffset(transposed, 'transposed')
  code.unlessZero(transposed, () => code.add(transposed, RAX))
  load(transposedBlock, 'transposedBlock')
  code.add(transposedBlock, -PAIR_BYTES)
  if (updates) adamConstants(code, argument)
  const upper = zmm(12)
  code.vbroadcastss(upper, constant('upper'))
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  const set = (register: Register, value: number) => {
    code.clear(register)
    code.add(register, value)
  }
  code.clear(i)
  set(group, 4)
  code.loop(left, GROUP, () => {
    set(pairsLeft, GROUP / 2)
    code.mov(rowAt, RDI)
    code.loop(pairsLeft, 1, () => {
      const xs = [0, 1, 2, 3, 4, 5, 6, 7].map(zmm)
      for (const [n, x] of xs.entries()) {
        if (updates) adamVector(code, { w, m, v, g, i }, n, x)
        else code.vmovups(x, at(w, VECTOR_BYTES * n, i))
        round(x)
        code.vpsrld(zmm(8), x, 16)
        code.vpmovdw(at(rowAt, ROWS_AT + (VECTOR_BYTES / 2) * n), zmm(8))
      }
      for (let n = 0; n < 4; n++) {
        const [a, b] = [xs[n], xs[4 + n]]
        pair(code, a, b, upper)
        code.vmovntps(at(to, VECTOR_BYTES * n), a)
      }
      code.add(i, 2 * BLOCK_ROW_BYTES)
      code.add(rowAt, 2 * BF16_ROW_BYTES)
      code.add(to, PAIR_BYTES)
    })
    code.unlessZero(transposed, () => {
      // 32 pairs of columns, or 16.
      transposeHalf(code, transposed, 0)
      load(pairsLeft, 'transposedPairs')
      code.add(pairsLeft, -LANES)
      code.unlessZero(pairsLeft, () => transposeHalf(code, transposed, 1))
      if (updates) adamConstants(code, argument)
      code.vbroadcastss(upper, constant('upper'))
      rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
      code.add(transposed, VECTOR_BYTES)
      code.add(group, -1)
      code.ifZero(group, () => {
        set(group, 4)
        code.add(transposed, transposedBlock)
      })
    })
  })
  code.sfence()
  code.pop(...kept)
  code.ret()
  return code
}

/** Transposes half of the columns of 16 rows in bf16: a pair of columns becomes one vector. Overwrites all vectors. */
function transposeHalf(code: Assembler, to: Register, half: number): void {
  for (let r = 0; r < GROUP; r++) code.vmovups(zmm(r), at(RDI, ROWS_AT + BF16_ROW_BYTES * r + VECTOR_BYTES * half))
  transpose(code, (row, vector) => code.vmovntps(at(to, PAIR_BYTES * (LANES * half + row)), vector))
}
