/** Softmax with cross-entropy: a row's loss, whether it was right, and its delta. */
import { PANEL, ROW_BYTES } from './layout'
import { exp4, log64 } from './math'

/** Address of column c of the row that begins at `row` in panel 0. */
// @ts-expect-error: decorator
@inline
function cell(row: usize, stride: usize, c: i32): usize {
  return row + <usize>(c / PANEL) * stride + (<usize>(c % PANEL) << 2)
}

/**
 * For each row of z (rows, classes in panels): z + bias becomes softmax - onehot(label), times deltaScale, or, with
 * deltaScale 0, the softmax. Overwrites losses (rows, f64) and correct (rows, i32). Padding columns stay zero.
 * Sums run in class order, in f64. Returns 1 if a loss is not finite.
 */
export function softmax_loss(
  z: usize, zStride: usize, rows: i32, classes: i32, bias: usize, labels: usize, samples: usize,
  losses: usize, correct: usize, deltaScale: f32, smoothing: f64,
): i32 {
  let bad = 0
  const smooth = deltaScale != 0 && smoothing != 0
  const share = <f32>(smoothing / <f64>classes)
  const panels = (classes + PANEL - 1) / PANEL
  for (let r = 0; r < rows; r++) {
    const label = load<i32>(labels + (<usize>load<u32>(samples + (<usize>r << 2)) << 2))

    // Pass 1: logits, the largest and where it first stands.
    let largest: f32 = -Infinity
    let best = 0
    for (let c = 0; c < classes; c++) {
      const at = cell(z, zStride, c)
      const x = load<f32>(at) + load<f32>(bias + (<usize>c << 2))
      store<f32>(at, x)
      if (x > largest) {
        largest = x
        best = c
      }
    }
    const logit = <f64>load<f32>(cell(z, zStride, label))

    // Smoothed labels: the sum of all logits less the largest, before exponentials take their place.
    let sumOfLogits: f64 = 0
    if (smooth) for (let c = 0; c < classes; c++) sumOfLogits += <f64>load<f32>(cell(z, zStride, c)) - <f64>largest

    // Pass 2: exponentials, and their sum.
    const shift = f32x4.splat(largest)
    for (let p = 0; p < panels; p++) {
      const at = z + <usize>p * zStride
      for (let j: usize = 0; j < ROW_BYTES; j += 16) v128.store(at + j, exp4(f32x4.sub(v128.load(at + j), shift)))
    }
    for (let c = classes; c < panels * PANEL; c++) store<f32>(cell(z, zStride, c), 0)
    let sum: f64 = 0
    for (let c = 0; c < classes; c++) sum += <f64>load<f32>(cell(z, zStride, c))

    // Pass 3: probabilities or deltas.
    const total = f32x4.splat(<f32>sum)
    for (let p = 0; p < panels; p++) {
      const at = z + <usize>p * zStride
      for (let j: usize = 0; j < ROW_BYTES; j += 16) v128.store(at + j, f32x4.div(v128.load(at + j), total))
    }
    if (deltaScale != 0) {
      const truth = cell(z, zStride, label)
      if (smooth) {
        for (let c = 0; c < classes; c++) {
          const at = cell(z, zStride, c)
          store<f32>(at, load<f32>(at) - share)
        }
        store<f32>(truth, load<f32>(truth) - <f32>(1 - smoothing))
      } else store<f32>(truth, load<f32>(truth) - 1)
      const scale = f32x4.splat(deltaScale)
      for (let p = 0; p < panels; p++) {
        const at = z + <usize>p * zStride
        for (let j: usize = 0; j < ROW_BYTES; j += 16) v128.store(at + j, f32x4.mul(v128.load(at + j), scale))
      }
    }

    const plain = logit - <f64>largest
    const target = smooth ? (1 - smoothing) * plain + (smoothing / <f64>classes) * sumOfLogits : plain
    const loss = log64(sum) - target
    store<f64>(losses + (<usize>r << 3), loss)
    store<i32>(correct + (<usize>r << 2), i32(best == label))
    bad |= i32(!(loss - loss == 0))
    z += ROW_BYTES
  }
  return bad
}
