/** Adam's update, as in module/assembly/optimizers.ts: the same operations in the same order. Pure; any thread. */
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
  RCX,
  RDX,
  type Register,
  RSI,
  zmm,
} from './assembler.js'
import { begin } from './calling-convention.js'
import { LANES, VECTOR_BYTES } from './constants.js'
import { constant, flush } from './emit-helpers.js'
import { ADAM, ADAM_ROWS, ADAM_VALUES, type AdamValue } from './signatures.js'

/** Prefetch distance in bytes, into the next page: hardware prefetchers stop at the end of one. */
const PREFETCH = 2048

/** Registers of the update: the arrays, and the bytes of each that are done. */
interface AdamRegisters {
  readonly w: Register
  readonly m: Register
  readonly v: Register
  readonly g: Register
  readonly i: Register
}

/** Loads the scalars of the update, and the bounds of subnormal numbers, into vectors 16 to 26; 27 is scratch. */
export function adamConstants(code: Assembler, argument: (name: AdamValue) => Address): void {
  for (const [n, name] of ADAM_VALUES.entries()) code.vbroadcastss(zmm(16 + n), argument(name))
  code.vbroadcastss(zmm(25), constant('smallestNormal'))
  code.vbroadcastss(zmm(26), constant('magnitude'))
}

/** Updates vector n behind byte i of the arrays; leaves the weights in `wi`. */
export function adamVector(
  code: Assembler,
  { w, m, v, g, i }: AdamRegisters,
  n = 0,
  wi = zmm(0),
  ahead = at(i, PREFETCH),
  momentsAhead = ahead,
): void {
  const [stepSize, beta1, oneMinusBeta1, beta2, oneMinusBeta2, invBiasCorrection2, epsilon, l2, decoupledDecay] = [
    16, 17, 18, 19, 20, 21, 22, 23, 24,
  ].map(zmm)
  const limits = { smallest: zmm(25), magnitude: zmm(26), scratch: zmm(27) }
  const [gi, mi, vi, term] = [zmm(8), zmm(9), zmm(10), zmm(11)]
  const disp = VECTOR_BYTES * n
  code.prefetchw(at(w, ahead.disp + disp, ahead.base))
  for (const array of [m, v]) code.prefetchw(at(array, momentsAhead.disp + disp, momentsAhead.base))
  code.vmovups(wi, at(w, disp, i))
  code.vmulps(gi, l2, wi)
  code.vaddps(gi, gi, at(g, disp, i))
  code.vmulps(mi, beta1, at(m, disp, i))
  code.vmulps(term, oneMinusBeta1, gi)
  code.vaddps(mi, mi, term)
  flush(code, mi, limits)
  code.vmovups(at(m, disp, i), mi)
  code.vmulps(vi, beta2, at(v, disp, i))
  code.vmulps(term, gi, gi)
  code.vmulps(term, oneMinusBeta2, term)
  code.vaddps(vi, vi, term)
  flush(code, vi, limits)
  code.vmovups(at(v, disp, i), vi)
  code.vmulps(vi, vi, invBiasCorrection2)
  code.vsqrtps(vi, vi)
  code.vaddps(vi, vi, epsilon)
  code.vmulps(mi, stepSize, mi)
  code.vdivps(mi, mi, vi)
  code.vmulps(term, decoupledDecay, wi)
  code.vaddps(mi, mi, term)
  code.vsubps(wi, wi, mi)
  code.vmovups(at(w, disp, i), wi)
}

/** One run of parameters; arguments: ADAM. */
export function adam(): Assembler {
  const { code, argument, load } = begin(ADAM)
  const registers = { w: RCX, m: RDX, v: RSI, g: R8, i: R10 }
  const left = R9
  for (const name of ['w', 'm', 'v', 'g'] as const) load(registers[name], name)
  load(left, 'n')
  adamConstants(code, argument)
  code.clear(registers.i)
  code.loop(left, LANES, () => {
    adamVector(code, registers)
    code.add(registers.i, VECTOR_BYTES)
  })
  code.ret()
  return code
}

/** Rows of parameters, of which the next is prefetched; arguments: ADAM_ROWS. */
export function adamRows(): Assembler {
  const { code, argument, load } = begin(ADAM_ROWS)
  const kept = [R12, R13, R14, R15]
  code.push(...kept)
  const registers = { w: RCX, m: RDX, v: RSI, g: R8, i: R10 }
  const [ahead, momentsAhead] = [R13, RAX]
  const [left, rows, row, mRow, gRow] = [R9, R11, R14, R12, R15]
  for (const name of ['w', 'm', 'v', 'g'] as const) load(registers[name], name)
  load(rows, 'rows')
  load(row, 'row')
  load(mRow, 'mRow')
  load(gRow, 'gRow')
  adamConstants(code, argument)
  code.loop(rows, 1, () => {
    load(left, 'n')
    code.clear(registers.i)
    code.mov(ahead, row)
    code.mov(momentsAhead, mRow)
    code.loop(left, LANES, () => {
      adamVector(code, registers, 0, zmm(0), at(ahead), at(momentsAhead))
      for (const register of [registers.i, ahead, momentsAhead]) code.add(register, VECTOR_BYTES)
    })
    code.add(registers.w, row)
    for (const array of [registers.m, registers.v]) code.add(array, mRow)
    code.add(registers.g, gRow)
  })
  code.pop(...kept)
  code.ret()
  return code
}
