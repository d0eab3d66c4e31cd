/** What happens between the matrix products: gather, bias with an activation and dropout, and the way back. */
import { bias_activate_rows, dropout_rows, gate_backward_rows } from './activations'
import { PANEL, ROW_BYTES } from './layout'
import { nonFinite4 } from './math'
import { philox4 } from './philox'

/** out (rows, features in panels) = images[samples[row]] / 255, exactly rounded. Overwrites out; its padding stays as it is. */
export function gather(
  out: usize, outStride: usize, rows: i32, images: usize, features: i32, samples: usize,
): void {
  const scale = f32x4.splat(255)
  const whole = features / PANEL
  for (let p = 0; p <= whole; p++) {
    let to = out + <usize>p * outStride
    const width = min(PANEL, features - p * PANEL)
    for (let r = 0; r < rows; r++) {
      const from = images + <usize>load<u32>(samples + (<usize>r << 2)) * features + p * PANEL
      if (width == PANEL) {
        for (let j: usize = 0; j < <usize>PANEL; j += 4) {
          const halves = i16x8.extend_low_i8x16_u(v128.load32_zero(from + j))
          const words = i32x4.extend_low_i16x8_u(halves)
          v128.store(to + (j << 2), f32x4.div(f32x4.convert_i32x4_u(words), scale))
        }
      } else {
        for (let j = 0; j < width; j++) store<f32>(to + (<usize>j << 2), <f32>load<u8>(from + j) / 255)
      }
      to += ROW_BYTES
    }
  }
}

/** z = relu(z + bias) in place. Returns 1 if a z + bias was not finite. */
export function bias_relu(z: usize, zStride: usize, rows: i32, panels: i32, bias: usize): i32 {
  const zero = f32x4.splat(0)
  let bad = zero
  for (; panels > 0; panels--) {
    const b0 = v128.load(bias)
    const b1 = v128.load(bias, 16)
    const b2 = v128.load(bias, 32)
    let at = z
    for (let r = rows; r > 0; r--) {
      const x0 = f32x4.add(v128.load(at), b0)
      const x1 = f32x4.add(v128.load(at, 16), b1)
      const x2 = f32x4.add(v128.load(at, 32), b2)
      bad = v128.or(bad, v128.or(nonFinite4(x0), v128.or(nonFinite4(x1), nonFinite4(x2))))
      v128.store(at, relu4(x0))
      v128.store(at, relu4(x1), 16)
      v128.store(at, relu4(x2), 32)
      at += ROW_BYTES
    }
    z += zStride
    bias += ROW_BYTES
  }
  return i32(v128.any_true(bad))
}

/** max(x, 0) that keeps a NaN; one instruction, which f32x4.max is not. */
// @ts-expect-error: decorator
@inline
function relu4(x: v128): v128 {
  return f32x4.pmax(x, f32x4.splat(0))
}

/**
 * z = relu(z + bias) · mask · scale in place; z and bias begin at panel `firstPanel` of the layer. Unit u of a row is kept if word u % 4 of counter
 * (⌊u/4⌋, layer, samples[row], epoch) is at least the threshold. `scratch` takes 192 bytes.
 * Returns 1 if a z + bias was not finite.
 */
export function bias_relu_dropout(
  z: usize, zStride: usize, rows: i32, firstPanel: u32, panels: i32, bias: usize, samples: usize, scratch: usize,
  k0: u32, k1: u32, layer: u32, epoch: u32, threshold: u32, scale: f32,
): i32 {
  const least = i32x4.splat(threshold)
  const factor = f32x4.splat(scale)
  let bad = f32x4.splat(0)
  for (let p = 0; p < panels; p++) {
    let at = z
    for (let r = 0; r < rows; r += 4) {
      // Lanes past the last row read other samples' indices; their masks are not used.
      const sample = samples + (<usize>r << 2)
      for (let q: usize = 0; q < 3; q++) philox4(scratch + q * 64, (firstPanel + <u32>p) * 3 + <u32>q, layer, sample, epoch, k0, k1)
      const lanes = min(4, rows - r)
      for (let l = 0; l < lanes; l++) {
        for (let q: usize = 0; q < 3; q++) {
          const keep = i32x4.ge_u(v128.load(scratch + q * 64 + (<usize>l << 4)), least)
          const x = f32x4.add(v128.load(at + (q << 4)), v128.load(bias + (q << 4)))
          bad = v128.or(bad, nonFinite4(x))
          v128.store(at + (q << 4), v128.and(f32x4.mul(relu4(x), factor), keep))
        }
        at += ROW_BYTES
      }
    }
    z += zStride
    bias += ROW_BYTES
  }
  return i32(v128.any_true(bad))
}

/** dx = a > 0 ? dx · scale : 0, in place. Returns 1 if a result is not finite. */
export function relu_backward(
  dx: usize, dxStride: usize, a: usize, aStride: usize, rows: i32, panels: i32, scale: f32,
): i32 {
  const factor = f32x4.splat(scale)
  const zero = f32x4.splat(0)
  let bad = zero
  for (; panels > 0; panels--) {
    let to = dx
    let from = a
    for (let n = rows * 3; n > 0; n--) {
      const x = v128.and(f32x4.mul(v128.load(to), factor), f32x4.gt(v128.load(from), zero))
      bad = v128.or(bad, nonFinite4(x))
      v128.store(to, x)
      to += 16
      from += 16
    }
    dx += dxStride
    a += aStride
  }
  return i32(v128.any_true(bad))
}

/** Vectors of a row of a panel. */
// @ts-ignore: decorator
@inline const VECTORS = 3

/** `bias_activate_rows` for each panel; `width` counts the layer's columns from the first panel on. */
export function bias_activate(
  z: usize, zStride: usize, gates: usize, gateStride: usize, rows: i32, panels: i32, bias: usize, code: i32, width: i32,
): i32 {
  let bad = 0
  for (; panels > 0; panels--) {
    bad |= bias_activate_rows(z, ROW_BYTES, gates, ROW_BYTES, rows, VECTORS, bias, code, min(width, PANEL))
    z += zStride
    if (gates != 0) gates += gateStride
    bias += ROW_BYTES
    width -= PANEL
  }
  return bad
}

/** `dropout_rows` for each panel, from panel `firstPanel` of the layer on. */
export function dropout(
  z: usize, zStride: usize, gates: usize, gateStride: usize, rows: i32, firstPanel: u32, panels: i32, samples: usize,
  scratch: usize, k0: u32, k1: u32, layer: u32, epoch: u32, threshold: u32, scale: f32,
): void {
  for (let p: u32 = 0; p < <u32>panels; p++) {
    const first = (firstPanel + p) * VECTORS
    dropout_rows(
      z, ROW_BYTES, gates, ROW_BYTES, rows, first, VECTORS, samples, scratch, k0, k1, layer, epoch, threshold, scale,
    )
    z += zStride
    if (gates != 0) gates += gateStride
  }
}

/** `gate_backward_rows` for each panel. */
export function gate_backward(dx: usize, dxStride: usize, gates: usize, gateStride: usize, rows: i32, panels: i32): i32 {
  let bad = 0
  for (; panels > 0; panels--) {
    bad |= gate_backward_rows(dx, ROW_BYTES, gates, ROW_BYTES, rows, VECTORS)
    dx += dxStride
    gates += gateStride
  }
  return bad
}
