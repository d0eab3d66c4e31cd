/**
 * Kernels between the matrix products: bias with an activation and dropout, and their backward pass. Places and extents
 * of matrices are as in layout.ts. Subnormal deltas are flushed to zero: in every product that follows they would be
 * slow on some CPUs.
 *
 * With any activation but ReLU training keeps a second matrix, the derivatives: the derivative times dropout's factor. The way
 * back only multiplies by it, so nothing has to be found again from outputs that dropout has scaled or set to 0.
 */
import { activate4, slope4 } from './activations'
import { nonFinite4 } from './math'
import { flush } from './optimizers'
import { philox4 } from './philox'

/** max(x, 0) that keeps a NaN; one instruction, which f32x4.max is not. */
// @ts-expect-error: decorator
@inline
function relu4(x: v128): v128 {
  return f32x4.pmax(x, f32x4.splat(0))
}

/** z = relu(z + bias) in place. Returns 1 if a z + bias was not finite. */
export function bias_relu(
  z: usize, zPanel: usize, zRow: usize, rows: i32, panels: i32, vectors: i32, bias: usize,
): i32 {
  let bad = f32x4.splat(0)
  const bytes = <usize>vectors << 4
  for (; panels > 0; panels--) {
    let at = z
    if (vectors == 3) {
      // A panel keeps its bias in registers: half the time.
      const b0 = v128.load(bias)
      const b1 = v128.load(bias, 16)
      const b2 = v128.load(bias, 32)
      for (let r = rows; r > 0; r--) {
        const others = v128.or(biasRelu4(at + 16, b1), biasRelu4(at + 32, b2))
        bad = v128.or(bad, v128.or(biasRelu4(at, b0), others))
        at += zRow
      }
    } else {
      for (let r = rows; r > 0; r--) {
        for (let j: usize = 0; j < bytes; j += 16) bad = v128.or(bad, biasRelu4(at + j, v128.load(bias + j)))
        at += zRow
      }
    }
    z += zPanel
    bias += bytes
  }
  return i32(v128.any_true(bad))
}

/** Adds the bias to four values and applies ReLU, in place. Returns a mask of those where z + bias was not finite. */
// @ts-expect-error: decorator
@inline
function biasRelu4(z: usize, bias: v128): v128 {
  const x = f32x4.add(v128.load(z), bias)
  v128.store(z, relu4(x))
  return nonFinite4(x)
}

/**
 * z = relu(z + bias) · mask · scale in place; z and bias begin at vector `first` of the layer. Unit u of a row is kept if
 * word u % 4 of counter (⌊u/4⌋, layer, samples[row], epoch) is at least the threshold. `scratch` takes 64 bytes.
 * Returns 1 if a z + bias was not finite.
 */
export function bias_relu_dropout(
  z: usize, zPanel: usize, zRow: usize, rows: i32, panels: i32, vectors: i32, first: u32, bias: usize,
  samples: usize, scratch: usize, k0: u32, k1: u32, layer: u32, epoch: u32, threshold: u32, scale: f32,
): i32 {
  const least = i32x4.splat(threshold)
  const factor = f32x4.splat(scale)
  let bad = f32x4.splat(0)
  for (; panels > 0; panels--) {
    let group = z
    for (let r = 0; r < rows; r += 4) {
      // Lanes past the last row read other samples' indices; their masks are not used.
      const sample = samples + (<usize>r << 2)
      const lanes = min(4, rows - r)
      for (let q = 0; q < vectors; q++) {
        philox4(scratch, first + <u32>q, layer, sample, epoch, k0, k1)
        const b = v128.load(bias + (<usize>q << 4))
        let at = group + (<usize>q << 4)
        let words = scratch
        for (let l = lanes; l > 0; l--) {
          const keep = i32x4.ge_u(v128.load(words), least)
          const x = f32x4.add(v128.load(at), b)
          bad = v128.or(bad, nonFinite4(x))
          v128.store(at, v128.and(f32x4.mul(relu4(x), factor), keep))
          at += zRow
          words += 16
        }
      }
      group += zRow << 2
    }
    z += zPanel
    bias += <usize>vectors << 4
    first += vectors
  }
  return i32(v128.any_true(bad))
}

/** dx = a > 0 ? dx · scale : 0, in place. Returns 1 if a result is not finite. */
export function relu_backward(
  dx: usize, dxPanel: usize, dxRow: usize, a: usize, aPanel: usize, aRow: usize, rows: i32, panels: i32, vectors: i32,
  scale: f32,
): i32 {
  const factor = f32x4.splat(scale)
  const zero = f32x4.splat(0)
  let bad = zero
  let bytes = <usize>vectors << 4
  // Rows that touch, as a panel's do, are one.
  if (dxRow == bytes && aRow == bytes) {
    bytes *= rows
    rows = 1
  }
  for (; panels > 0; panels--) {
    let to = dx
    let from = a
    for (let r = rows; r > 0; r--) {
      for (let j: usize = 0; j < bytes; j += 16) {
        const x = v128.and(f32x4.mul(v128.load(to + j), factor), f32x4.gt(v128.load(from + j), zero))
        bad = v128.or(bad, nonFinite4(x))
        v128.store(to + j, flush(x))
      }
      to += dxRow
      from += aRow
    }
    dx += dxPanel
    a += aPanel
  }
  return i32(v128.any_true(bad))
}

/**
 * z = f(z + bias) in place; of its columns `width` are the layer's, and those after them are set to 0, which not every f
 * leaves there. Overwrites the derivatives with f'(z + bias); a pointer of 0: there are none. Returns 1 if a z + bias was not
 * finite.
 */
export function bias_activate(
  z: usize, zPanel: usize, zRow: usize, derivatives: usize, gPanel: usize, gRow: usize, rows: i32, panels: i32, vectors: i32,
  bias: usize, code: i32, width: i32,
): i32 {
  let bad = f32x4.splat(0)
  const bytes = <usize>vectors << 4
  for (; panels > 0; panels--) {
    const own = <usize>max(width, 0) << 2
    let at = z
    let derivative = derivatives
    for (let r = rows; r > 0; r--) {
      for (let j: usize = 0; j < bytes; j += 16) {
        const x = f32x4.add(v128.load(at + j), v128.load(bias + j))
        bad = v128.or(bad, nonFinite4(x))
        const a = activate4(x, code)
        v128.store(at + j, flush(a))
        if (derivatives != 0) v128.store(derivative + j, flush(slope4(x, a, code)))
      }
      for (let j = own; j < bytes; j += 4) {
        store<f32>(at + j, 0)
        if (derivatives != 0) store<f32>(derivative + j, 0)
      }
      at += zRow
      derivative += gRow
    }
    z += zPanel
    if (derivatives != 0) derivatives += gPanel
    bias += bytes
    width -= vectors << 2
  }
  return i32(v128.any_true(bad))
}

/**
 * z and, unless there are none (0), derivatives, times `scale` where a unit is kept, else 0; they begin at vector `first` of
 * the layer. Unit u of a row is kept if word u % 4 of counter (⌊u/4⌋, layer, samples[row], epoch) is at least the
 * threshold. `scratch` takes 64 bytes.
 */
export function dropout(
  z: usize, zPanel: usize, zRow: usize, derivatives: usize, gPanel: usize, gRow: usize, rows: i32, panels: i32, vectors: i32,
  first: u32, samples: usize, scratch: usize, k0: u32, k1: u32, layer: u32, epoch: u32, threshold: u32, scale: f32,
): void {
  const least = i32x4.splat(threshold)
  const factor = f32x4.splat(scale)
  for (; panels > 0; panels--) {
    for (let r = 0; r < rows; r += 4) {
      // Lanes past the last row read other samples' indices; their masks are not used.
      const sample = samples + (<usize>r << 2)
      const lanes = min(4, rows - r)
      for (let q = 0; q < vectors; q++) {
        philox4(scratch, first + <u32>q, layer, sample, epoch, k0, k1)
        let at = z + r * zRow + (<usize>q << 4)
        let derivative = derivatives + r * gRow + (<usize>q << 4)
        for (let l = 0; l < lanes; l++) {
          const keep = i32x4.ge_u(v128.load(scratch + (<usize>l << 4)), least)
          v128.store(at, v128.and(f32x4.mul(v128.load(at), factor), keep))
          if (derivatives != 0) v128.store(derivative, v128.and(f32x4.mul(v128.load(derivative), factor), keep))
          at += zRow
          derivative += gRow
        }
      }
    }
    z += zPanel
    if (derivatives != 0) derivatives += gPanel
    first += vectors
  }
}

/** dx = dx · derivative where the derivative is not 0, else 0, in place. Returns 1 if a result is not finite. */
export function derivative_backward(
  dx: usize, dxPanel: usize, dxRow: usize, derivatives: usize, gPanel: usize, gRow: usize, rows: i32, panels: i32,
  vectors: i32,
): i32 {
  const zero = f32x4.splat(0)
  let bad = zero
  const bytes = <usize>vectors << 4
  for (; panels > 0; panels--) {
    let to = dx
    let from = derivatives
    for (let r = rows; r > 0; r--) {
      for (let j: usize = 0; j < bytes; j += 16) {
        const derivative = v128.load(from + j)
        const x = v128.and(f32x4.mul(v128.load(to + j), derivative), f32x4.ne(derivative, zero))
        bad = v128.or(bad, nonFinite4(x))
        v128.store(to + j, flush(x))
      }
      to += dxRow
      from += gRow
    }
    dx += dxPanel
    derivatives += gPanel
  }
  return i32(v128.any_true(bad))
}

/** g (vectors · 4) = column sums of dz (rows, vectors · 4), in row order. Overwrites g, or adds to it. */
export function column_sums(
  g: usize, dz: usize, dzRow: usize, rows: i32, vectors: i32, accumulate: bool,
): void {
  // A panel's three vectors at once: their sums do not wait for each other.
  for (; vectors >= 3; vectors -= 3) {
    let s0 = f32x4.splat(0)
    let s1 = s0
    let s2 = s0
    if (accumulate) {
      s0 = v128.load(g)
      s1 = v128.load(g, 16)
      s2 = v128.load(g, 32)
    }
    let at = dz
    for (let r = rows; r > 0; r--) {
      s0 = f32x4.add(s0, v128.load(at))
      s1 = f32x4.add(s1, v128.load(at, 16))
      s2 = f32x4.add(s2, v128.load(at, 32))
      at += dzRow
    }
    v128.store(g, s0)
    v128.store(g, s1, 16)
    v128.store(g, s2, 32)
    g += 48
    dz += 48
  }
  for (; vectors > 0; vectors--) {
    let sum = accumulate ? v128.load(g) : f32x4.splat(0)
    let at = dz
    for (let r = rows; r > 0; r--) {
      sum = f32x4.add(sum, v128.load(at))
      at += dzRow
    }
    v128.store(g, sum)
    g += 16
    dz += 16
  }
}
