/**
 * exp, log and finiteness, from operations that WASM specifies exactly, so that their bits are the same everywhere.
 */

/**
 * exp(x) for x <= 0, elementwise; below -87 it is 0. Relative error < 2e-7.
 * Range reduction x = n·ln 2 + r with ln 2 in two parts, then the degree-6 polynomial of Cephes' expf.
 */
// @ts-expect-error: decorator
@inline
export function exp4(x: v128): v128 {
  const inRange = f32x4.ge(x, f32x4.splat(-87))
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.44269504088896341)))
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)))
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.12194440e-4)))
  const p = f32x4.add(expm1Of(r), f32x4.splat(1))
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23)
  // A NaN compares false with everything: it must come out as NaN, not as 0.
  const value = v128.and(f32x4.mul(p, power), inRange)
  return v128.bitselect(value, x, f32x4.eq(x, x))
}

/** exp(r) - 1 for |r| <= ln 2 / 2: r + r² · polynomial. */
// @ts-expect-error: decorator
@inline
export function expm1Of(r: v128): v128 {
  let p = f32x4.splat(1.9875691500e-4)
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1))
  return f32x4.add(f32x4.mul(f32x4.mul(p, r), r), r)
}

/** Natural logarithm of a positive, normal f64; relative error < 1e-15. The algorithm of FreeBSD's e_log.c. */
export function log64(x: f64): f64 {
  if (!(x > 0) || x == Infinity) return x == 0 ? -Infinity : x < 0 ? NaN : x
  const bits = reinterpret<u64>(x)
  let high = <u32>(bits >> 32)
  let k = <i32>(high >> 20) - 1023
  high = (high & 0x000fffff) + 0x95f64
  k += <i32>(high >> 20) & 1
  const mantissa = ((bits & 0x000fffffffffffff) | 0x3ff0000000000000)
  // Halve it where it is above √2, so that f lies in [√½ - 1, √2 - 1].
  const f = (high & 0x100000 ? reinterpret<f64>(mantissa - 0x0010000000000000) : reinterpret<f64>(mantissa)) - 1.0
  const s = f / (2.0 + f)
  const z = s * s
  const w = z * z
  const t1 = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
  const t2 =
    z * (6.666666666666735130e-01 + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)))
  const halfSquare = 0.5 * f * f
  const dk = <f64>k
  return dk * 6.93147180369123816490e-01 - (halfSquare - (s * (halfSquare + t1 + t2) + dk * 1.90821492927058770002e-10) - f)
}

/** All bits set in the lanes that hold an infinity or a NaN. */
// @ts-expect-error: decorator
@inline
export function nonFinite4(x: v128): v128 {
  const exponent = i32x4.splat(0x7f800000)
  return i32x4.eq(v128.and(x, exponent), exponent)
}

/** The first two of four numbers, and the last two, in f64. */
// @ts-ignore: decorator
@inline
export function low(x: v128): v128 {
  return f64x2.promote_low_f32x4(x)
}
// @ts-ignore: decorator
@inline
export function high(x: v128): v128 {
  return f64x2.promote_low_f32x4(i32x4.shuffle(x, x, 2, 3, 2, 3))
}
