/**
 * Batch and layer normalisation, forward and backward. Places and extents of matrices are as in layout.ts; vectors of
 * units (scale, shift, sums) are contiguous.
 *
 * Sums are f64 and run in the order of the rows (batch) or, in four lanes, of the columns (layer): their bits depend on
 * nothing but the numbers, they lose nothing that shows in f32, and these kernels wait for memory more than they compute.
 * Columns past the last are zero and stay zero.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.
import { high, low, nonFinite4 } from './math'
import { flush } from './optimizers'

/** Four numbers rounded to f32. */
// @ts-ignore: decorator
@inline
function rounded(a: v128, b: v128): v128 {
  return i32x4.shuffle(f32x4.demote_f64x2_zero(a), f32x4.demote_f64x2_zero(b), 0, 1, 4, 5)
}

// @ts-ignore: decorator
@inline
function inverseRoot(variance: v128, epsilon: v128): v128 {
  return f64x2.div(f64x2.splat(1), f64x2.sqrt(f64x2.add(variance, epsilon)))
}

/** ((a0 + a1) + (b0 + b1)). */
// @ts-ignore: decorator
@inline
function total(a: v128, b: v128): f64 {
  return f64x2.extract_lane(a, 0) + f64x2.extract_lane(a, 1) + (f64x2.extract_lane(b, 0) + f64x2.extract_lane(b, 1))
}

/** All bits in the lanes of the first `left` columns. */
// @ts-ignore: decorator
@inline
function inside(left: i32): v128 {
  return i32x4.gt_s(i32x4.splat(left), i32x4(0, 1, 2, 3))
}
// @ts-ignore: decorator
@inline
function masked(x: v128, mask: v128, second: bool): v128 {
  return v128.and(x, second ? i32x4.shuffle(mask, mask, 2, 2, 3, 3) : i32x4.shuffle(mask, mask, 0, 0, 1, 1))
}

/**
 * For each column of z (rows, ...): mean and variance over the rows, factors = scale / √(variance + epsilon),
 * normed = (z - mean) / √(variance + epsilon), z = normed · scale. Overwrites all of them but scale.
 */
export function batch_norm(
  z: usize, zPanel: usize, zRow: usize, normed: usize, nPanel: usize, nRow: usize, rows: i32, panels: i32, vectors: i32,
  scale: usize, mean: usize, variance: usize, factors: usize, epsilon: f64,
): void {
  const count = f64x2.splat(<f64>rows)
  const eps = f64x2.splat(epsilon)
  for (; panels > 0; panels--) {
    for (let q: usize = 0; q < <usize>vectors; q++) {
      const column = z + (q << 4)
      let m0 = f64x2.splat(0)
      let m1 = m0
      let at = column
      for (let r = rows; r > 0; r--) {
        const x = v128.load(at)
        m0 = f64x2.add(m0, low(x))
        m1 = f64x2.add(m1, high(x))
        at += zRow
      }
      m0 = f64x2.div(m0, count)
      m1 = f64x2.div(m1, count)

      let v0 = f64x2.splat(0)
      let v1 = v0
      at = column
      for (let r = rows; r > 0; r--) {
        const x = v128.load(at)
        const d0 = f64x2.sub(low(x), m0)
        const d1 = f64x2.sub(high(x), m1)
        v0 = f64x2.add(v0, f64x2.mul(d0, d0))
        v1 = f64x2.add(v1, f64x2.mul(d1, d1))
        at += zRow
      }
      v0 = f64x2.div(v0, count)
      v1 = f64x2.div(v1, count)
      const i0 = inverseRoot(v0, eps)
      const i1 = inverseRoot(v1, eps)
      const g = v128.load(scale)
      v128.store(mean, rounded(m0, m1))
      v128.store(variance, rounded(v0, v1))
      v128.store(factors, f32x4.mul(g, rounded(i0, i1)))

      at = column
      let to = normed + (q << 4)
      for (let r = rows; r > 0; r--) {
        const x = v128.load(at)
        const n = rounded(f64x2.mul(f64x2.sub(low(x), m0), i0), f64x2.mul(f64x2.sub(high(x), m1), i1))
        v128.store(to, n)
        v128.store(at, f32x4.mul(n, g))
        at += zRow
        to += nRow
      }
      scale += 16
      mean += 16
      variance += 16
      factors += 16
    }
    z += zPanel
    normed += nPanel
  }
}

/** z = (z + bias - mean) · scale / √(variance + epsilon), in place, by statistics that are given. */
export function batch_norm_score(
  z: usize, zPanel: usize, zRow: usize, rows: i32, panels: i32, vectors: i32,
  scale: usize, bias: usize, mean: usize, variance: usize, epsilon: f64,
): void {
  const eps = f64x2.splat(epsilon)
  for (; panels > 0; panels--) {
    for (let q: usize = 0; q < <usize>vectors; q++) {
      const b = v128.load(bias)
      const m = v128.load(mean)
      const v = v128.load(variance)
      const g = v128.load(scale)
      const o0 = f64x2.sub(low(b), low(m))
      const o1 = f64x2.sub(high(b), high(m))
      const f0 = f64x2.mul(low(g), inverseRoot(low(v), eps))
      const f1 = f64x2.mul(high(g), inverseRoot(high(v), eps))
      let at = z + (q << 4)
      for (let r = rows; r > 0; r--) {
        const x = v128.load(at)
        v128.store(at, rounded(f64x2.mul(f64x2.add(low(x), o0), f0), f64x2.mul(f64x2.add(high(x), o1), f1)))
        at += zRow
      }
      scale += 16
      bias += 16
      mean += 16
      variance += 16
    }
    z += zPanel
  }
}

/** dScale = column sums of dy · normed, dShift = those of dy, in row order. Overwrites both. */
export function norm_sums(
  dScale: usize, dShift: usize, dy: usize, dPanel: usize, dRow: usize, normed: usize, nPanel: usize, nRow: usize,
  rows: i32, panels: i32, vectors: i32,
): void {
  for (; panels > 0; panels--) {
    for (let q: usize = 0; q < <usize>vectors; q++) {
      let s0 = f64x2.splat(0)
      let s1 = s0
      let p0 = s0
      let p1 = s0
      let at = dy + (q << 4)
      let from = normed + (q << 4)
      for (let r = rows; r > 0; r--) {
        const d = v128.load(at)
        const n = v128.load(from)
        s0 = f64x2.add(s0, low(d))
        s1 = f64x2.add(s1, high(d))
        p0 = f64x2.add(p0, f64x2.mul(low(d), low(n)))
        p1 = f64x2.add(p1, f64x2.mul(high(d), high(n)))
        at += dRow
        from += nRow
      }
      v128.store(dScale, rounded(p0, p1))
      v128.store(dShift, rounded(s0, s1))
      dScale += 16
      dShift += 16
    }
    dy += dPanel
    normed += nPanel
  }
}

/** dz = factors · (dy - dShift / rows - normed · dScale / rows), in place of dy. Returns 1 if a result is not finite. */
export function batch_norm_backward(
  dy: usize, dPanel: usize, dRow: usize, normed: usize, nPanel: usize, nRow: usize, rows: i32, panels: i32, vectors: i32,
  dScale: usize, dShift: usize, factors: usize,
): i32 {
  const count = f64x2.splat(<f64>rows)
  let bad = f32x4.splat(0)
  for (; panels > 0; panels--) {
    for (let q: usize = 0; q < <usize>vectors; q++) {
      const sum = v128.load(dShift)
      const product = v128.load(dScale)
      const f = v128.load(factors)
      const s0 = f64x2.div(low(sum), count)
      const s1 = f64x2.div(high(sum), count)
      const p0 = f64x2.div(low(product), count)
      const p1 = f64x2.div(high(product), count)
      const f0 = low(f)
      const f1 = high(f)
      let at = dy + (q << 4)
      let from = normed + (q << 4)
      for (let r = rows; r > 0; r--) {
        const d = v128.load(at)
        const n = v128.load(from)
        const x0 = f64x2.mul(f0, f64x2.sub(f64x2.sub(low(d), s0), f64x2.mul(low(n), p0)))
        const x1 = f64x2.mul(f1, f64x2.sub(f64x2.sub(high(d), s1), f64x2.mul(high(n), p1)))
        const x = rounded(x0, x1)
        bad = v128.or(bad, nonFinite4(x))
        v128.store(at, flush(x))
        at += dRow
        from += nRow
      }
      dScale += 16
      dShift += 16
      factors += 16
    }
    dy += dPanel
    normed += nPanel
  }
  return i32(v128.any_true(bad))
}

/**
 * For each row of z (rows, width) + bias: mean and variance over its columns, inverses[row] = 1 / √(variance + epsilon),
 * normed = (z + bias - mean) · inverse, z = normed · scale. Overwrites all of them; `normed` 0: only z.
 */
export function layer_norm(
  z: usize, zPanel: usize, zRow: usize, normed: usize, nPanel: usize, nRow: usize, rows: i32, panels: i32, vectors: i32,
  width: i32, scale: usize, bias: usize, inverses: usize, epsilon: f64,
): void {
  for (; rows > 0; rows--) {
    let s0 = f64x2.splat(0)
    let s1 = s0
    let at = z
    let b = bias
    for (let p = panels; p > 0; p--) {
      for (let q: usize = 0; q < <usize>vectors; q++) {
        const x = v128.load(at + (q << 4))
        const y = v128.load(b)
        s0 = f64x2.add(s0, f64x2.add(low(x), low(y)))
        s1 = f64x2.add(s1, f64x2.add(high(x), high(y)))
        b += 16
      }
      at += zPanel
    }
    const mean = f64x2.splat(total(s0, s1) / <f64>width)

    s0 = f64x2.splat(0)
    s1 = s0
    at = z
    b = bias
    let left = width
    for (let p = panels; p > 0; p--) {
      for (let q: usize = 0; q < <usize>vectors; q++) {
        const x = v128.load(at + (q << 4))
        const y = v128.load(b)
        const mask = inside(left)
        const d0 = masked(f64x2.sub(f64x2.add(low(x), low(y)), mean), mask, false)
        const d1 = masked(f64x2.sub(f64x2.add(high(x), high(y)), mean), mask, true)
        s0 = f64x2.add(s0, f64x2.mul(d0, d0))
        s1 = f64x2.add(s1, f64x2.mul(d1, d1))
        b += 16
        left -= 4
      }
      at += zPanel
    }
    const inverse = 1 / sqrt<f64>(total(s0, s1) / <f64>width + epsilon)
    const factor = f64x2.splat(inverse)

    at = z
    b = bias
    left = width
    let g = scale
    let to = normed
    for (let p = panels; p > 0; p--) {
      for (let q: usize = 0; q < <usize>vectors; q++) {
        const x = v128.load(at + (q << 4))
        const y = v128.load(b)
        const n0 = f64x2.mul(f64x2.sub(f64x2.add(low(x), low(y)), mean), factor)
        const n1 = f64x2.mul(f64x2.sub(f64x2.add(high(x), high(y)), mean), factor)
        const n = v128.and(rounded(n0, n1), inside(left))
        if (normed != 0) v128.store(to + (q << 4), n)
        v128.store(at + (q << 4), f32x4.mul(n, v128.load(g)))
        b += 16
        g += 16
        left -= 4
      }
      at += zPanel
      to += nPanel
    }
    if (normed != 0) {
      store<f64>(inverses, inverse)
      inverses += 8
      normed += nRow
    }
    z += zRow
  }
}

/**
 * With g = dy · scale, for each row: dz = inverse · (g - mean(g) - normed · mean(g · normed)), in place of dy, means over
 * its columns. Returns 1 if a result is not finite.
 */
export function layer_norm_backward(
  dy: usize, dPanel: usize, dRow: usize, normed: usize, nPanel: usize, nRow: usize, rows: i32, panels: i32, vectors: i32,
  width: i32, scale: usize, inverses: usize,
): i32 {
  let bad = f32x4.splat(0)
  for (; rows > 0; rows--) {
    let s0 = f64x2.splat(0)
    let s1 = s0
    let p0 = s0
    let p1 = s0
    let at = dy
    let from = normed
    let g = scale
    for (let p = panels; p > 0; p--) {
      for (let q: usize = 0; q < <usize>vectors; q++) {
        const d = v128.load(at + (q << 4))
        const n = v128.load(from + (q << 4))
        const w = v128.load(g)
        const g0 = f64x2.mul(low(d), low(w))
        const g1 = f64x2.mul(high(d), high(w))
        s0 = f64x2.add(s0, g0)
        s1 = f64x2.add(s1, g1)
        p0 = f64x2.add(p0, f64x2.mul(g0, low(n)))
        p1 = f64x2.add(p1, f64x2.mul(g1, high(n)))
        g += 16
      }
      at += dPanel
      from += nPanel
    }
    const mean = f64x2.splat(total(s0, s1) / <f64>width)
    const product = f64x2.splat(total(p0, p1) / <f64>width)
    const factor = f64x2.splat(load<f64>(inverses))

    at = dy
    from = normed
    g = scale
    let left = width
    for (let p = panels; p > 0; p--) {
      for (let q: usize = 0; q < <usize>vectors; q++) {
        const d = v128.load(at + (q << 4))
        const n = v128.load(from + (q << 4))
        const w = v128.load(g)
        const x0 = f64x2.sub(f64x2.sub(f64x2.mul(low(d), low(w)), mean), f64x2.mul(low(n), product))
        const x1 = f64x2.sub(f64x2.sub(f64x2.mul(high(d), high(w)), mean), f64x2.mul(high(n), product))
        const x = v128.and(rounded(f64x2.mul(factor, x0), f64x2.mul(factor, x1)), inside(left))
        bad = v128.or(bad, nonFinite4(x))
        v128.store(at + (q << 4), flush(x))
        g += 16
        left -= 4
      }
      at += dPanel
      from += nPanel
    }
    inverses += 8
    dy += dRow
    normed += nRow
  }
  return i32(v128.any_true(bad))
}
