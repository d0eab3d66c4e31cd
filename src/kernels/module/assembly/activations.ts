/**
 * Every activation but ReLU, with its derivative, four numbers at a time. Formulas: src/model/activation.ts. A code is a
 * constant of the whole call, so its branches cost next to nothing beside the exponentials.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.
import { exp4, expm1Of } from './math'

// Codes, as in ../activations.ts.
// @ts-ignore: decorator
@inline const LEAKY_RELU = 1
// @ts-ignore: decorator
@inline const ELU = 2
// @ts-ignore: decorator
@inline const GELU = 3
// @ts-ignore: decorator
@inline const SILU = 4
// @ts-ignore: decorator
@inline const TANH = 5
// @ts-ignore: decorator
@inline const SCALED_TANH = 6
// @ts-ignore: decorator
@inline const SIGMOID = 7

// @ts-ignore: decorator
@inline const SLOPE: f32 = 0.01
/** 2√(2/π), and 0.044715 times that: gelu(x) = x · sigmoid(x · (G1 + G3·x²)). */
// @ts-ignore: decorator
@inline const G1: f32 = 1.5957691216057308
// @ts-ignore: decorator
@inline const G3: f32 = 0.07135481627159725
// @ts-ignore: decorator
@inline const HEIGHT: f32 = 1.7159
// @ts-ignore: decorator
@inline const TWO_THIRDS: f32 = 0.6666666666666666

/** 1 / (1 + exp(-x)), by the exponential of -|x|, which never overflows. */
// @ts-ignore: decorator
@inline
function sigmoid4(x: v128): v128 {
  const e = exp4(f32x4.neg(f32x4.abs(x)))
  const one = f32x4.splat(1)
  return f32x4.div(v128.bitselect(one, e, f32x4.ge(x, f32x4.splat(0))), f32x4.add(one, e))
}

/** Derivative of the sigmoid, e / (1 + e)², to full precision where it is small. */
// @ts-ignore: decorator
@inline
function sigmoidSlope4(x: v128): v128 {
  const e = exp4(f32x4.neg(f32x4.abs(x)))
  const sum = f32x4.add(e, f32x4.splat(1))
  return f32x4.div(e, f32x4.mul(sum, sum))
}

/** Below 0.625 the polynomial of Cephes' tanhf, beyond it (1 - e) / (1 + e) with e = exp(-2|x|). */
// @ts-ignore: decorator
@inline
function tanh4(x: v128): v128 {
  const z = f32x4.mul(x, x)
  let p = f32x4.splat(-5.70498872745e-3)
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.06390887954e-2))
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-5.37397155531e-2))
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(1.33314422036e-1))
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-3.33332819422e-1))
  const near = f32x4.add(f32x4.mul(f32x4.mul(p, z), x), x)
  const magnitude = f32x4.abs(x)
  const one = f32x4.splat(1)
  const e = exp4(f32x4.mul(magnitude, f32x4.splat(-2)))
  const far = f32x4.div(f32x4.sub(one, e), f32x4.add(one, e))
  const signed = v128.or(far, v128.and(x, f32x4.splat(-0.0)))
  return v128.bitselect(near, signed, f32x4.lt(magnitude, f32x4.splat(0.625)))
}

/** exp(x) - 1 for x <= 0, precise near 0 too. */
// @ts-ignore: decorator
@inline
function expm14(x: v128): v128 {
  return v128.bitselect(expm1Of(x), f32x4.sub(exp4(x), f32x4.splat(1)), f32x4.gt(x, f32x4.splat(-0.34)))
}

/** x · (G1 + factor·G3·x²). */
// @ts-ignore: decorator
@inline
function geluInner(x: v128): v128 {
  return f32x4.mul(x, f32x4.add(f32x4.splat(G1), f32x4.mul(f32x4.splat(G3), f32x4.mul(x, x))))
}

export function activate4(x: v128, code: i32): v128 {
  const zero = f32x4.splat(0)
  if (code == LEAKY_RELU) return v128.bitselect(x, f32x4.mul(x, f32x4.splat(SLOPE)), f32x4.gt(x, zero))
  if (code == ELU) return v128.bitselect(x, expm14(f32x4.pmin(x, zero)), f32x4.gt(x, zero))
  if (code == GELU) return f32x4.mul(x, sigmoid4(geluInner(x)))
  if (code == SILU) return f32x4.mul(x, sigmoid4(x))
  if (code == TANH) return tanh4(x)
  if (code == SCALED_TANH) return f32x4.mul(f32x4.splat(HEIGHT), tanh4(f32x4.mul(x, f32x4.splat(TWO_THIRDS))))
  if (code == SIGMOID) return sigmoid4(x)
  return x
}

/** The derivative at x, where the value is a. */
export function slope4(x: v128, a: v128, code: i32): v128 {
  const zero = f32x4.splat(0)
  const one = f32x4.splat(1)
  if (code == LEAKY_RELU) return v128.bitselect(one, f32x4.splat(SLOPE), f32x4.gt(x, zero))
  if (code == ELU) return v128.bitselect(one, f32x4.add(a, one), f32x4.gt(x, zero))
  if (code == GELU) {
    // Beyond 50 the derivative is 0 or 1, and squares do not overflow.
    const c = f32x4.min(f32x4.max(x, f32x4.splat(-50)), f32x4.splat(50))
    const inner = geluInner(c)
    const rise = f32x4.add(f32x4.splat(G1), f32x4.mul(f32x4.splat(3 * G3), f32x4.mul(c, c)))
    return f32x4.add(sigmoid4(inner), f32x4.mul(f32x4.mul(c, rise), sigmoidSlope4(inner)))
  }
  if (code == SILU) return f32x4.add(sigmoid4(x), f32x4.mul(x, sigmoidSlope4(x)))
  if (code == TANH) return f32x4.mul(f32x4.splat(4), sigmoidSlope4(f32x4.mul(x, f32x4.splat(2))))
  if (code == SCALED_TANH) {
    const slope = sigmoidSlope4(f32x4.mul(x, f32x4.splat(2 * TWO_THIRDS)))
    return f32x4.mul(f32x4.splat(4 * HEIGHT * TWO_THIRDS), slope)
  }
  if (code == SIGMOID) return sigmoidSlope4(x)
  return one
}
