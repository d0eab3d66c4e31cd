/**
 * What happens between matrix products that a native library does: the same as elementwise.ts and softmax.ts, for
 * matrices (rows, cols) in row-major form, rows `stride` bytes apart. Columns are handled in vectors of four; those past
 * the last are zero and stay zero. Subnormal deltas are flushed to zero, in every product that follows they would be
 * slow on some CPUs.
 */
import { exp4, log64, nonFinite4 } from './math'
import { flush } from './optimizers'
import { philox4 } from './philox'

/** out (rows, features) = images[samples[row]] / 255, exactly rounded. Overwrites out. */
export function gather_rows(
  out: usize, stride: usize, rows: i32, images: usize, features: i32, samples: usize,
): void {
  const scale = f32x4.splat(255)
  const whole = features & ~3
  for (let r = 0; r < rows; r++) {
    const from = images + <usize>load<u32>(samples + (<usize>r << 2)) * features
    for (let j: usize = 0; j < <usize>whole; j += 4) {
      const halves = i16x8.extend_low_i8x16_u(v128.load32_zero(from + j))
      const words = i32x4.extend_low_i16x8_u(halves)
      v128.store(out + (j << 2), f32x4.div(f32x4.convert_i32x4_u(words), scale))
    }
    for (let j = whole; j < features; j++) store<f32>(out + (<usize>j << 2), <f32>load<u8>(from + j) / 255)
    out += stride
  }
}

/** z = relu(z + bias) in place, over so many vectors of a row. Returns 1 if a z + bias was not finite. */
export function bias_relu_rows(z: usize, stride: usize, rows: i32, vectors: i32, bias: usize): i32 {
  const zero = f32x4.splat(0)
  let bad = zero
  const bytes = <usize>vectors << 4
  for (; rows > 0; rows--) {
    for (let j: usize = 0; j < bytes; j += 16) {
      const x = f32x4.add(v128.load(z + j), v128.load(bias + j))
      bad = v128.or(bad, nonFinite4(x))
      v128.store(z + j, f32x4.pmax(x, zero))
    }
    z += stride
  }
  return i32(v128.any_true(bad))
}

/**
 * z = relu(z + bias) · mask · scale in place; z and bias begin at vector `first` of the layer. Unit u of a row is kept if
 * word u % 4 of counter (⌊u/4⌋, layer, samples[row], epoch) is at least the threshold. `scratch` takes 64 bytes.
 * Returns 1 if a z + bias was not finite.
 */
export function bias_relu_dropout_rows(
  z: usize, stride: usize, rows: i32, first: u32, vectors: i32, bias: usize, samples: usize, scratch: usize,
  k0: u32, k1: u32, layer: u32, epoch: u32, threshold: u32, scale: f32,
): i32 {
  const least = i32x4.splat(threshold)
  const factor = f32x4.splat(scale)
  const zero = f32x4.splat(0)
  let bad = zero
  for (let r = 0; r < rows; r += 4) {
    // Lanes past the last row read other samples' indices; their masks are not used.
    const sample = samples + (<usize>r << 2)
    const lanes = min(4, rows - r)
    for (let q = 0; q < vectors; q++) {
      philox4(scratch, first + <u32>q, layer, sample, epoch, k0, k1)
      const b = v128.load(bias + (<usize>q << 4))
      let at = z + (<usize>q << 4)
      let words = scratch
      for (let l = lanes; l > 0; l--) {
        const keep = i32x4.ge_u(v128.load(words), least)
        const x = f32x4.add(v128.load(at), b)
        bad = v128.or(bad, nonFinite4(x))
        v128.store(at, v128.and(f32x4.mul(f32x4.pmax(x, zero), factor), keep))
        at += stride
        words += 16
      }
    }
    z += stride << 2
  }
  return i32(v128.any_true(bad))
}

/** dx = a > 0 ? dx · scale : 0, in place. Returns 1 if a result is not finite. */
export function relu_backward_rows(
  dx: usize, dxStride: usize, a: usize, aStride: usize, rows: i32, vectors: i32, scale: f32,
): i32 {
  const factor = f32x4.splat(scale)
  const zero = f32x4.splat(0)
  let bad = zero
  const bytes = <usize>vectors << 4
  for (; rows > 0; rows--) {
    for (let j: usize = 0; j < bytes; j += 16) {
      const x = v128.and(f32x4.mul(v128.load(dx + j), factor), f32x4.gt(v128.load(a + j), zero))
      bad = v128.or(bad, nonFinite4(x))
      v128.store(dx + j, flush(x))
    }
    dx += dxStride
    a += aStride
  }
  return i32(v128.any_true(bad))
}

/**
 * For each row of z (rows, classes): z + bias becomes softmax - onehot(label), times deltaScale, or, with deltaScale 0,
 * the softmax. Overwrites losses (rows, f64) and correct (rows, i32). Sums run in class order, in f64. Returns 1 if a
 * loss is not finite.
 */
export function softmax_loss_rows(
  z: usize, stride: usize, rows: i32, classes: i32, bias: usize, labels: usize, samples: usize,
  losses: usize, correct: usize, deltaScale: f32, smoothing: f64,
): i32 {
  let bad = 0
  const smooth = deltaScale != 0 && smoothing != 0
  const share = <f32>(smoothing / <f64>classes)
  const bytes = <usize>((classes + 3) & ~3) << 2
  for (let r = 0; r < rows; r++) {
    const label = load<i32>(labels + (<usize>load<u32>(samples + (<usize>r << 2)) << 2))

    // Pass 1: logits, the largest and where it first stands.
    let largest: f32 = -Infinity
    let best = 0
    for (let c = 0; c < classes; c++) {
      const at = z + (<usize>c << 2)
      const x = load<f32>(at) + load<f32>(bias + (<usize>c << 2))
      store<f32>(at, x)
      if (x > largest) {
        largest = x
        best = c
      }
    }
    const truth = z + (<usize>label << 2)
    const logit = <f64>load<f32>(truth)

    // Smoothed labels: the sum of all logits less the largest, before exponentials take their place.
    let sumOfLogits: f64 = 0
    if (smooth) for (let c = 0; c < classes; c++) sumOfLogits += <f64>load<f32>(z + (<usize>c << 2)) - <f64>largest

    // Pass 2: exponentials, and their sum.
    const shift = f32x4.splat(largest)
    for (let j: usize = 0; j < bytes; j += 16) v128.store(z + j, exp4(f32x4.sub(v128.load(z + j), shift)))
    for (let j = <usize>classes << 2; j < bytes; j += 4) store<f32>(z + j, 0)
    let sum: f64 = 0
    for (let c = 0; c < classes; c++) sum += <f64>load<f32>(z + (<usize>c << 2))

    // Pass 3: probabilities or deltas.
    const total = f32x4.splat(<f32>sum)
    for (let j: usize = 0; j < bytes; j += 16) v128.store(z + j, f32x4.div(v128.load(z + j), total))
    if (deltaScale != 0) {
      if (smooth) {
        for (let c = 0; c < classes; c++) {
          const at = z + (<usize>c << 2)
          store<f32>(at, load<f32>(at) - share)
        }
        store<f32>(truth, load<f32>(truth) - <f32>(1 - smoothing))
      } else store<f32>(truth, load<f32>(truth) - 1)
      const scale = f32x4.splat(deltaScale)
      for (let j: usize = 0; j < bytes; j += 16) v128.store(z + j, flush(f32x4.mul(v128.load(z + j), scale)))
    }

    const plain = logit - <f64>largest
    const target = smooth ? (1 - smoothing) * plain + (smoothing / <f64>classes) * sumOfLogits : plain
    const loss = log64(sum) - target
    store<f64>(losses + (<usize>r << 3), loss)
    store<i32>(correct + (<usize>r << 2), i32(best == label))
    bad |= i32(!(loss - loss == 0))
    z += stride
  }
  return bad
}

/** g (vectors · 4) = column sums of dz (rows, vectors · 4), in row order. Overwrites g, or adds to it. */
export function column_sums_rows(
  g: usize, dz: usize, stride: usize, rows: i32, vectors: i32, accumulate: bool,
): void {
  for (; vectors > 0; vectors--) {
    let sum = accumulate ? v128.load(g) : f32x4.splat(0)
    let at = dz
    for (let r = rows; r > 0; r--) {
      sum = f32x4.add(sum, v128.load(at))
      at += stride
    }
    v128.store(g, sum)
    g += 16
    dz += 16
  }
}
