/**
 * Activations that take a sigmoid, with their derivatives, and the backward pass of all but ReLU, as in the module's
 * activations.ts and elementwise.ts: the same operations in the same order, none of them fused. One exponential serves the
 * value and the derivative, which the module computes with one for each. Pure; any thread.
 */
import { activationCode } from '../module/activations.js'
import {
  type Assembler,
  at,
  COMPARE,
  k,
  merging,
  R8,
  R9,
  R10,
  R11,
  R14,
  RAX,
  RBX,
  RCX,
  RDX,
  RSI,
  type Vector,
  zeroing,
  zmm,
} from './assembler.js'
import { begin } from './calling-convention.js'
import { VECTOR_BYTES } from './constants.js'
import { check, constant, everywhere, flush, gradientRows, real, returnBad } from './emit-helpers.js'
import { BIAS_ACTIVATE, DERIVATIVE_BACKWARD } from './signatures.js'

const SERVED = ['gelu', 'silu', 'sigmoid'] as const
type Served = (typeof SERVED)[number]
export const ACTIVATION_CODES: readonly number[] = SERVED.map(name => activationCode[name])

/** e = exp(-|x|), as exp4; overwrites n, r and p. */
function exponential(code: Assembler, e: Vector, x: Vector, [n, r, p]: readonly Vector[]): void {
  code.vpandd(e, x, everywhere('magnitude'))
  code.vpord(e, e, everywhere('sign'))
  code.vmulps(n, e, real('log2e'))
  code.vroundps(n, n)
  code.vmulps(p, n, real('ln2High'))
  code.vsubps(r, e, p)
  code.vmulps(p, n, real('ln2Low'))
  code.vsubps(r, r, p)
  code.vbroadcastss(p, { ...real('p5'), broadcast: false })
  for (const next of ['p4', 'p3', 'p2', 'p1', 'p0'] as const) {
    code.vmulps(p, p, r)
    code.vaddps(p, p, real(next))
  }
  code.vmulps(p, p, r)
  code.vmulps(p, p, r)
  code.vaddps(p, p, r)
  code.vaddps(p, p, real('one'))
  code.vcvttps2dq(n, n)
  code.vpaddd(n, n, everywhere('bias'))
  code.vpslld(n, n, 23)
  code.vcmpps(k(1), e, real('least'), COMPARE.greaterOrEqual)
  code.vcmpps(k(2), e, e, COMPARE.unordered)
  // Keep e where it is a NaN.
  code.vmulps(n, p, n, zeroing(k(1)))
  code.vmovups(n, e, merging(k(2)))
  code.vmovups(e, n)
}

/** One vector: a = f(x), and in `slope`, if there is one, f'(x). Overwrites what is given as scratch. */
function activate(
  code: Assembler,
  name: Served,
  x: Vector,
  a: Vector,
  slope: Vector | null,
  scratch: readonly Vector[],
) {
  const [c, inner, e, sum, sigma, ...three] = scratch
  const [square] = three
  if (name === 'gelu') {
    // Beyond 50 the sigmoid is 0 or 1 all the same. A NaN stays one.
    code.vbroadcastss(c, { ...real('before'), broadcast: false })
    code.vmaxps(c, c, x)
    code.vbroadcastss(sum, { ...real('beyond'), broadcast: false })
    code.vminps(c, sum, c)
    code.vmulps(square, c, c)
    code.vmulps(inner, square, real('g3'))
    code.vaddps(inner, inner, real('g1'))
    code.vmulps(inner, c, inner)
    if (slope) {
      // c · (g1 + 3 g3 · c²)
      code.vmulps(slope, square, real('threeG3'))
      code.vaddps(slope, slope, real('g1'))
      code.vmulps(slope, c, slope)
    }
  } else code.vmovups(inner, x)
  exponential(code, e, inner, three)
  code.vaddps(sum, e, real('one'))
  const [zero, upper] = three
  code.vpxord(zero, zero, zero)
  code.vmovups(upper, e)
  code.vcmpps(k(1), inner, zero, COMPARE.greaterOrEqual)
  code.vbroadcastss(sigma, { ...real('one'), broadcast: false })
  code.vmovups(upper, sigma, merging(k(1)))
  code.vdivps(sigma, upper, sum)
  if (name === 'sigmoid') code.vmovups(a, sigma)
  else code.vmulps(a, x, sigma)
  if (!slope) return
  code.vmulps(sum, sum, sum)
  code.vdivps(e, e, sum)
  if (name === 'sigmoid') {
    code.vmovups(slope, e)
    return
  }
  code.vmulps(slope, name === 'gelu' ? slope : x, e)
  code.vaddps(slope, sigma, slope)
}

/** Bias and activation in place, and derivatives; arguments: BIAS_ACTIVATE. */
export function biasActivate(): Assembler {
  const { code, load, loadOffset } = begin(BIAS_ACTIVATE)
  const kept = [RBX, R14]
  code.push(...kept)
  const [z, zRow, g, gRow, left, bias, vectors, i, which] = [RCX, RDX, RSI, R8, R9, R10, R11, R14, RBX]
  load(z, 'z')
  load(zRow, 'zRow')
  loadOffset(g, 'derivatives')
  code.unlessZero(g, () => code.add(g, RAX))
  load(gRow, 'gRow')
  load(left, 'rows')
  load(bias, 'bias')
  load(which, 'code')
  const [x, a, slope, t, smallest, magnitude, bad] = [0, 1, 2, 3, 28, 29, 30].map(zmm)
  const scratch = [4, 5, 6, 7, 8, 9, 10, 11].map(zmm)
  code.vbroadcastss(smallest, constant('smallestNormal'))
  code.vbroadcastss(magnitude, constant('magnitude'))
  code.vpxord(bad, bad, bad)
  const rows = (name: Served, hasDerivatives: boolean) =>
    code.loop(left, 1, () => {
      load(vectors, 'vectors')
      code.clear(i)
      code.loop(vectors, 4, () => {
        code.vmovups(x, at(z, 0, i))
        code.vaddps(x, x, at(bias, 0, i))
        check(code, bad, x, t)
        activate(code, name, x, a, hasDerivatives ? slope : null, scratch)
        flush(code, a, { smallest, magnitude, scratch: t })
        code.vmovups(at(z, 0, i), a)
        if (hasDerivatives) {
          flush(code, slope, { smallest, magnitude, scratch: t })
          code.vmovups(at(g, 0, i), slope)
        }
        code.add(i, VECTOR_BYTES)
      })
      code.add(z, zRow)
      if (hasDerivatives) code.add(g, gRow)
    })
  let before = 0
  for (const [n, name] of SERVED.entries()) {
    code.add(which, before - ACTIVATION_CODES[n])
    before = ACTIVATION_CODES[n]
    code.ifZero(which, () => {
      code.unlessZero(g, () => rows(name, true))
      // After them no rows are left.
      code.ifZero(g, () => rows(name, false))
    })
  }
  code.pop(...kept)
  returnBad(code, bad)
  return code
}

/** Backward pass through an activation with derivatives; arguments: DERIVATIVE_BACKWARD. */
export function derivativeBackward(): Assembler {
  const kernel = begin(DERIVATIVE_BACKWARD)
  return gradientRows(kernel, ['derivatives', 'gRow'], (x, derivative, zero, dx) => {
    kernel.code.vcmpps(k(1), derivative, zero, COMPARE.notEqual)
    kernel.code.vmulps(x, derivative, dx, zeroing(k(1)))
  })
}
