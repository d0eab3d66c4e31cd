/**
 * Optimizers over n contiguous floats, n a multiple of 4; formulas in src/model/optimizer.ts. Subnormal moments are
 * flushed to zero by compare and mask: they would make the update many times slower, and on every CPU alike. The
 * gradient at g comes without the L2 term decay · w; weightDecay is rate · decay of the decoupled kind.
 */

// @ts-expect-error: decorator
@inline const SMALLEST_NORMAL: f32 = 1.1754943508222875e-38

/** Subnormal numbers become zero. */
// @ts-expect-error: decorator
@inline
export function flush(x: v128): v128 {
  return v128.and(x, f32x4.ge(f32x4.abs(x), f32x4.splat(SMALLEST_NORMAL)))
}

/** w less the change and the decay. Without a decay, the same bits as w - change. */
// @ts-expect-error: decorator
@inline
function less(w: v128, change: v128, weightDecay: v128): v128 {
  return f32x4.sub(w, f32x4.add(change, f32x4.mul(weightDecay, w)))
}

/** beta · mean + rest · x. */
// @ts-expect-error: decorator
@inline
function mean(beta: v128, mean: v128, rest: v128, x: v128): v128 {
  return f32x4.add(f32x4.mul(beta, mean), f32x4.mul(rest, x))
}

/** The gradient with the L2 term: g + decay · w. */
// @ts-expect-error: decorator
@inline
function penalised(g: usize, decay: v128, w: v128): v128 {
  return f32x4.add(v128.load(g), f32x4.mul(decay, w))
}

/** adam and adamw: w, m and v are updated in place. */
export function adam(
  w: usize, m: usize, v: usize, g: usize, n: i32,
  stepSize: f32, beta1: f32, oneMinusBeta1: f32, beta2: f32, oneMinusBeta2: f32, invBiasCorrection2: f32, epsilon: f32,
  decay: f32, weightDecay: f32,
): void {
  const step = f32x4.splat(stepSize)
  const b1 = f32x4.splat(beta1)
  const r1 = f32x4.splat(oneMinusBeta1)
  const b2 = f32x4.splat(beta2)
  const r2 = f32x4.splat(oneMinusBeta2)
  const c2 = f32x4.splat(invBiasCorrection2)
  const eps = f32x4.splat(epsilon)
  const l2 = f32x4.splat(decay)
  const wd = f32x4.splat(weightDecay)
  for (; n > 0; n -= 4) {
    const wi = v128.load(w)
    const gi = penalised(g, l2, wi)
    const mi = flush(mean(b1, v128.load(m), r1, gi))
    const vi = flush(mean(b2, v128.load(v), r2, f32x4.mul(gi, gi)))
    v128.store(m, mi)
    v128.store(v, vi)
    const change = f32x4.div(f32x4.mul(step, mi), f32x4.add(f32x4.sqrt(f32x4.mul(vi, c2)), eps))
    v128.store(w, less(wi, change, wd))
    w += 16
    m += 16
    v += 16
    g += 16
  }
}

/** Adam over rows of n values: rows of w are `row` bytes apart, rows of m and v `mRow`, rows of g `gRow`. */
export function adam_rows(
  w: usize, m: usize, v: usize, g: usize, n: i32, rows: i32, row: usize, mRow: usize, gRow: usize,
  stepSize: f32, beta1: f32, oneMinusBeta1: f32, beta2: f32, oneMinusBeta2: f32, invBiasCorrection2: f32, epsilon: f32,
  decay: f32, weightDecay: f32,
): void {
  for (; rows > 0; rows--) {
    adam(w, m, v, g, n, stepSize, beta1, oneMinusBeta1, beta2, oneMinusBeta2, invBiasCorrection2, epsilon, decay, weightDecay)
    w += row
    m += mRow
    v += mRow
    g += gRow
  }
}

/** w and v are updated in place. */
export function momentum(
  w: usize, v: usize, g: usize, n: i32, stepSize: f32, beta: f32, oneMinusBeta: f32, decay: f32, weightDecay: f32,
): void {
  const step = f32x4.splat(stepSize)
  const b = f32x4.splat(beta)
  const r = f32x4.splat(oneMinusBeta)
  const l2 = f32x4.splat(decay)
  const wd = f32x4.splat(weightDecay)
  for (; n > 0; n -= 4) {
    const wi = v128.load(w)
    const vi = flush(mean(b, v128.load(v), r, penalised(g, l2, wi)))
    v128.store(v, vi)
    v128.store(w, less(wi, f32x4.mul(step, vi), wd))
    w += 16
    v += 16
    g += 16
  }
}

/** w and v are updated in place. */
export function nesterov(
  w: usize, v: usize, g: usize, n: i32, stepSize: f32, momentum: f32, decay: f32, weightDecay: f32,
): void {
  const step = f32x4.splat(stepSize)
  const mu = f32x4.splat(momentum)
  const l2 = f32x4.splat(decay)
  const wd = f32x4.splat(weightDecay)
  for (; n > 0; n -= 4) {
    const wi = v128.load(w)
    const gi = penalised(g, l2, wi)
    const vi = flush(f32x4.add(f32x4.mul(mu, v128.load(v)), gi))
    v128.store(v, vi)
    v128.store(w, less(wi, f32x4.mul(step, f32x4.add(gi, f32x4.mul(mu, vi))), wd))
    w += 16
    v += 16
    g += 16
  }
}

/** w and v are updated in place. */
export function rmsprop(
  w: usize, v: usize, g: usize, n: i32,
  stepSize: f32, beta: f32, oneMinusBeta: f32, epsilon: f32, decay: f32, weightDecay: f32,
): void {
  const step = f32x4.splat(stepSize)
  const b = f32x4.splat(beta)
  const r = f32x4.splat(oneMinusBeta)
  const eps = f32x4.splat(epsilon)
  const l2 = f32x4.splat(decay)
  const wd = f32x4.splat(weightDecay)
  for (; n > 0; n -= 4) {
    const wi = v128.load(w)
    const gi = penalised(g, l2, wi)
    const vi = flush(mean(b, v128.load(v), r, f32x4.mul(gi, gi)))
    v128.store(v, vi)
    v128.store(w, less(wi, f32x4.div(f32x4.mul(step, gi), f32x4.add(f32x4.sqrt(vi), eps)), wd))
    w += 16
    v += 16
    g += 16
  }
}

/** w and m are updated in place. */
export function lion(
  w: usize, m: usize, g: usize, n: i32,
  stepSize: f32, beta1: f32, oneMinusBeta1: f32, beta2: f32, oneMinusBeta2: f32, decay: f32, weightDecay: f32,
): void {
  const step = f32x4.splat(stepSize)
  const b1 = f32x4.splat(beta1)
  const r1 = f32x4.splat(oneMinusBeta1)
  const b2 = f32x4.splat(beta2)
  const r2 = f32x4.splat(oneMinusBeta2)
  const l2 = f32x4.splat(decay)
  const wd = f32x4.splat(weightDecay)
  for (; n > 0; n -= 4) {
    const wi = v128.load(w)
    const gi = penalised(g, l2, wi)
    const mi = v128.load(m)
    v128.store(m, flush(mean(b2, mi, r2, gi)))
    v128.store(w, less(wi, f32x4.mul(step, sign(mean(b1, mi, r1, gi))), wd))
    w += 16
    m += 16
    g += 16
  }
}

/** 1, -1 or 0; NaN for what is not finite, so that it does not pass for a good step. */
// @ts-expect-error: decorator
@inline
function sign(x: v128): v128 {
  const one = v128.or(v128.and(x, f32x4.splat(-0.0)), f32x4.splat(1))
  return f32x4.add(v128.and(one, f32x4.ne(x, f32x4.splat(0))), f32x4.sub(x, x))
}

/** w is updated in place. */
export function sgd(w: usize, g: usize, n: i32, stepSize: f32, decay: f32, weightDecay: f32): void {
  const step = f32x4.splat(stepSize)
  const l2 = f32x4.splat(decay)
  const wd = f32x4.splat(weightDecay)
  for (; n > 0; n -= 4) {
    const wi = v128.load(w)
    v128.store(w, less(wi, f32x4.mul(step, penalised(g, l2, wi)), wd))
    w += 16
    g += 16
  }
}

/** Limits n floats to [-limit, limit], in place. A NaN stays one: the pseudo-minimum keeps its first operand. */
export function clip(x: usize, n: i32, limit: f32): void {
  const most = f32x4.splat(limit)
  const least = f32x4.splat(-limit)
  for (; n > 0; n -= 4) {
    v128.store(x, f32x4.pmax(f32x4.pmin(v128.load(x), most), least))
    x += 16
  }
}

/** The sum of n squares, in f64: of every fourth number in order, then those four. */
export function squares(x: usize, n: i32): f64 {
  let s0 = f64x2.splat(0)
  let s1 = s0
  for (; n > 0; n -= 4) {
    const xi = v128.load(x)
    const low = f64x2.promote_low_f32x4(xi)
    const high = f64x2.promote_low_f32x4(i32x4.shuffle(xi, xi, 2, 3, 2, 3))
    s0 = f64x2.add(s0, f64x2.mul(low, low))
    s1 = f64x2.add(s1, f64x2.mul(high, high))
    x += 16
  }
  const s = f64x2.add(s0, s1)
  return f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1)
}

/**
 * Columns of w (rows, vectors · 4), rows `stride` bytes apart: those longer than the limit are scaled down to it. Squares
 * are summed in f64, in row order.
 */
export function limit_columns(w: usize, stride: usize, rows: i32, vectors: i32, limit: f64): void {
  const most = f64x2.splat(limit)
  const one = f64x2.splat(1)
  for (; vectors > 0; vectors--) {
    let s0 = f64x2.splat(0)
    let s1 = s0
    let at = w
    for (let r = rows; r > 0; r--) {
      const x = v128.load(at)
      const low = f64x2.promote_low_f32x4(x)
      const high = f64x2.promote_low_f32x4(i32x4.shuffle(x, x, 2, 3, 2, 3))
      s0 = f64x2.add(s0, f64x2.mul(low, low))
      s1 = f64x2.add(s1, f64x2.mul(high, high))
      at += stride
    }
    s0 = f64x2.sqrt(s0)
    s1 = f64x2.sqrt(s1)
    const long0 = f64x2.gt(s0, most)
    const long1 = f64x2.gt(s1, most)
    if (v128.any_true(v128.or(long0, long1))) {
      const f0 = v128.bitselect(f64x2.div(most, s0), one, long0)
      const f1 = v128.bitselect(f64x2.div(most, s1), one, long1)
      const factor = i32x4.shuffle(f32x4.demote_f64x2_zero(f0), f32x4.demote_f64x2_zero(f1), 0, 1, 4, 5)
      at = w
      for (let r = rows; r > 0; r--) {
        v128.store(at, f32x4.mul(v128.load(at), factor))
        at += stride
      }
    }
    w += 16
  }
}

/** n floats times a factor, in place. */
export function scale(x: usize, n: i32, factor: f32): void {
  const by = f32x4.splat(factor)
  for (; n > 0; n -= 4) {
    v128.store(x, f32x4.mul(v128.load(x), by))
    x += 16
  }
}

/** to += share · (from - to), n floats. */
export function approach(to: usize, from: usize, n: i32, share: f32): void {
  const part = f32x4.splat(share)
  for (; n > 0; n -= 4) {
    const x = v128.load(to)
    v128.store(to, flush(f32x4.add(x, f32x4.mul(part, f32x4.sub(v128.load(from), x)))))
    to += 16
    from += 16
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
