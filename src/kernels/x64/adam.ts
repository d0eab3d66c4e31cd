/** Adam's update, as in wasm/assembly/optimizers.ts: the same operations in the same order. Pure: becomes code in code.ts. */
import { type Assembler, at, R8, R9, R10, R11, R13, R14, R15, RCX, RDX, type Register, RSI, zmm } from './assembler.js'
import { argument, begin, count, pointer } from './calling-convention.js'
import { BYTES, constant, flush, LANES } from './emit-helpers.js'

/** Ahead of what is read, into the next page: there the processor does not look by itself. */
const PREFETCH = 2048

/** Where adam runs: the arrays, and what has been read already; `i` is overwritten. */
interface AdamRegisters {
  readonly w: Register
  readonly m: Register
  readonly v: Register
  readonly g: Register
  readonly i: Register
}

/** Nine numbers from argument `first` on, and what subnormal numbers are known by; all vectors from 16 to 27. */
export function adamConstants(code: Assembler, first: number): void {
  for (let n = 0; n < 9; n++) code.vbroadcastss(zmm(16 + n), argument(first + n))
  code.vbroadcastss(zmm(25), constant('smallestNormal'))
  code.vbroadcastss(zmm(26), constant('magnitude'))
}

/** One vector, n after the one at i from where the arrays begin; leaves the weights in `wi`. */
export function adamVector(
  code: Assembler,
  { w, m, v, g, i }: AdamRegisters,
  n = 0,
  wi = zmm(0),
  ahead = at(i, PREFETCH),
): void {
  const [step, beta1, rest1, beta2, rest2, correction2, epsilon, decay, weightDecay] = [
    16, 17, 18, 19, 20, 21, 22, 23, 24,
  ].map(zmm)
  const limits = { smallest: zmm(25), magnitude: zmm(26), scratch: zmm(27) }
  const [gi, mi, vi, term] = [zmm(8), zmm(9), zmm(10), zmm(11)]
  const disp = BYTES * n
  for (const array of [w, m, v]) code.prefetchw(at(array, ahead.disp + disp, ahead.base))
  code.vmovups(wi, at(w, disp, i))
  code.vmulps(gi, decay, wi)
  code.vaddps(gi, gi, at(g, disp, i))
  code.vmulps(mi, beta1, at(m, disp, i))
  code.vmulps(term, rest1, gi)
  code.vaddps(mi, mi, term)
  flush(code, mi, limits)
  code.vmovups(at(m, disp, i), mi)
  code.vmulps(vi, beta2, at(v, disp, i))
  code.vmulps(term, gi, gi)
  code.vmulps(term, rest2, term)
  code.vaddps(vi, vi, term)
  flush(code, vi, limits)
  code.vmovups(at(v, disp, i), vi)
  code.vmulps(vi, vi, correction2)
  code.vsqrtps(vi, vi)
  code.vaddps(vi, vi, epsilon)
  code.vmulps(mi, step, mi)
  code.vdivps(mi, mi, vi)
  code.vmulps(term, weightDecay, wi)
  code.vaddps(mi, mi, term)
  code.vsubps(wi, wi, mi)
  code.vmovups(at(w, disp, i), wi)
}

/** adam(w, m, v, g, n, stepSize, beta1, rest1, beta2, rest2, correction2, epsilon, decay, weightDecay). */
export function adam(): Assembler {
  const code = begin()
  const registers = { w: RCX, m: RDX, v: RSI, g: R8, i: R10 }
  const left = R9
  for (const [n, register] of [RCX, RDX, RSI, R8].entries()) pointer(code, register, n)
  count(code, left, 4)
  adamConstants(code, 5)
  code.clear(registers.i)
  code.loop(left, LANES, () => {
    adamVector(code, registers)
    code.add(registers.i, BYTES)
  })
  code.ret()
  return code
}

/** adam_rows(w, m, v, g, n, rows, row, gRow, stepSize, ...); the next row is asked for. */
export function adamRows(): Assembler {
  const code = begin()
  const kept = [R13, R14, R15]
  code.push(...kept)
  const registers = { w: RCX, m: RDX, v: RSI, g: R8, i: R10 }
  const ahead = R13
  const arrays = [RCX, RDX, RSI]
  const [left, rows, row, gRow] = [R9, R11, R14, R15]
  for (const [n, register] of [...arrays, R8].entries()) pointer(code, register, n)
  count(code, rows, 5)
  count(code, row, 6)
  count(code, gRow, 7)
  adamConstants(code, 8)
  code.loop(rows, 1, () => {
    count(code, left, 4)
    code.clear(registers.i)
    code.mov(ahead, row)
    code.loop(left, LANES, () => {
      adamVector(code, registers, 0, zmm(0), at(ahead))
      code.add(registers.i, BYTES)
      code.add(ahead, BYTES)
    })
    for (const array of arrays) code.add(array, row)
    code.add(registers.g, gRow)
  })
  code.pop(...kept)
  code.ret()
  return code
}
