/**
 * Optimizers over n contiguous floats, n a multiple of 4; formulas in src/model/optimizer.ts. Subnormal moments are
 * flushed to zero by compare and mask: they would make the update many times slower, and on every CPU alike.
 */

// @ts-expect-error: decorator
@inline const SMALLEST_NORMAL: f32 = 1.1754943508222875e-38

/** Subnormal numbers become zero. */
// @ts-expect-error: decorator
@inline
export function flush(x: v128): v128 {
  return v128.and(x, f32x4.ge(f32x4.abs(x), f32x4.splat(SMALLEST_NORMAL)))
}

/** g += decay · w, then w, m, v are updated in place. */
export function adam(
  w: usize, m: usize, v: usize, g: usize, n: i32,
  stepSize: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32, correction2: f32, epsilon: f32, decay: f32,
): void {
  const step = f32x4.splat(stepSize)
  const b1 = f32x4.splat(beta1)
  const r1 = f32x4.splat(rest1)
  const b2 = f32x4.splat(beta2)
  const r2 = f32x4.splat(rest2)
  const c2 = f32x4.splat(correction2)
  const eps = f32x4.splat(epsilon)
  const l2 = f32x4.splat(decay)
  for (; n > 0; n -= 4) {
    const wi = v128.load(w)
    const gi = f32x4.add(v128.load(g), f32x4.mul(l2, wi))
    const mi = flush(f32x4.add(f32x4.mul(b1, v128.load(m)), f32x4.mul(r1, gi)))
    const vi = flush(f32x4.add(f32x4.mul(b2, v128.load(v)), f32x4.mul(r2, f32x4.mul(gi, gi))))
    v128.store(m, mi)
    v128.store(v, vi)
    const change = f32x4.div(f32x4.mul(step, mi), f32x4.add(f32x4.sqrt(f32x4.mul(vi, c2)), eps))
    v128.store(w, f32x4.sub(wi, change))
    w += 16
    m += 16
    v += 16
    g += 16
  }
}

/** g += decay · w, then w and v are updated in place. */
export function momentum(
  w: usize, v: usize, g: usize, n: i32, stepSize: f32, beta: f32, rest: f32, decay: f32,
): void {
  const step = f32x4.splat(stepSize)
  const b = f32x4.splat(beta)
  const r = f32x4.splat(rest)
  const l2 = f32x4.splat(decay)
  for (; n > 0; n -= 4) {
    const wi = v128.load(w)
    const gi = f32x4.add(v128.load(g), f32x4.mul(l2, wi))
    const vi = flush(f32x4.add(f32x4.mul(b, v128.load(v)), f32x4.mul(r, gi)))
    v128.store(v, vi)
    v128.store(w, f32x4.sub(wi, f32x4.mul(step, vi)))
    w += 16
    v += 16
    g += 16
  }
}

/** w -= stepSize · (g + decay · w). */
export function sgd(w: usize, g: usize, n: i32, stepSize: f32, decay: f32): void {
  const step = f32x4.splat(stepSize)
  const l2 = f32x4.splat(decay)
  for (; n > 0; n -= 4) {
    const wi = v128.load(w)
    const gi = f32x4.add(v128.load(g), f32x4.mul(l2, wi))
    v128.store(w, f32x4.sub(wi, f32x4.mul(step, gi)))
    w += 16
    g += 16
  }
}

/** to += from, n floats. */
export function add(to: usize, from: usize, n: i32): void {
  for (; n > 0; n -= 4) {
    v128.store(to, f32x4.add(v128.load(to), v128.load(from)))
    to += 16
    from += 16
  }
}
