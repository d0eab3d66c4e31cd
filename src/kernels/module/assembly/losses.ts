/** Losses of a row, whether it was right, and its delta. Places and extents of matrices are as in layout.ts. */
import { exp4, log64 } from './math'
import { flush } from './optimizers'

// @ts-expect-error: decorator
@inline const SMALLEST_NORMAL: f32 = 1.1754943508222875e-38

/** Address of column c of the row that begins at `row` in panel 0. */
// @ts-expect-error: decorator
@inline
function cell(row: usize, panelStride: usize, vectors: i32, c: i32): usize {
  const width = vectors << 2
  return row + <usize>(c / width) * panelStride + (<usize>(c % width) << 2)
}

/**
 * Softmax with cross-entropy. For each row of z (rows, classes): z + bias becomes softmax - onehot(label), times
 * deltaScale, or, with deltaScale 0, the softmax. Overwrites losses (rows, f64) and correct (rows, i32). Padding columns
 * stay zero. Sums run in class order, in f64. Returns 1 if a loss is not finite.
 */
export function softmax_loss(
  z: usize, zPanel: usize, zRow: usize, rows: i32, panels: i32, vectors: i32, classes: i32, bias: usize,
  labels: usize, samples: usize, losses: usize, correct: usize, deltaScale: f32, smoothing: f64,
): i32 {
  let bad = 0
  const width = vectors << 2
  const bytes = <usize>vectors << 4
  const smooth = deltaScale != 0 && smoothing != 0
  const share = <f32>(smoothing / <f64>classes)
  for (let r = 0; r < rows; r++) {
    const label = load<i32>(labels + (<usize>load<u32>(samples + (<usize>r << 2)) << 2))

    // Pass 1: logits, the largest and where it first stands.
    let largest: f32 = -Infinity
    let best = 0
    let at = z
    for (let begin = 0; begin < classes; begin += width, at += zPanel) {
      const own = min(width, classes - begin)
      for (let j = 0; j < own; j++) {
        const x = load<f32>(at + (<usize>j << 2)) + load<f32>(bias + (<usize>(begin + j) << 2))
        store<f32>(at + (<usize>j << 2), x)
        if (x > largest) {
          largest = x
          best = begin + j
        }
      }
    }
    const truth = cell(z, zPanel, vectors, label)
    const logit = <f64>load<f32>(truth)

    // Pass 2: exponentials, and their sum; for smoothed labels, the sum of all logits less the largest.
    const shift = f32x4.splat(largest)
    let sumOfLogits: f64 = 0
    let sum: f64 = 0
    at = z
    for (let begin = 0; begin < classes; begin += width, at += zPanel) {
      const own = <usize>min(width, classes - begin) << 2
      if (smooth) for (let j: usize = 0; j < own; j += 4) sumOfLogits += <f64>load<f32>(at + j) - <f64>largest
      for (let j: usize = 0; j < bytes; j += 16) v128.store(at + j, exp4(f32x4.sub(v128.load(at + j), shift)))
      for (let j = own; j < bytes; j += 4) store<f32>(at + j, 0)
      for (let j: usize = 0; j < own; j += 4) sum += <f64>load<f32>(at + j)
    }

    // Pass 3: probabilities or deltas.
    const total = f32x4.splat(<f32>sum)
    at = z
    for (let begin = 0; begin < classes; begin += width, at += zPanel) {
      for (let j: usize = 0; j < bytes; j += 16) v128.store(at + j, f32x4.div(v128.load(at + j), total))
      if (smooth) {
        const own = <usize>min(width, classes - begin) << 2
        for (let j: usize = 0; j < own; j += 4) store<f32>(at + j, load<f32>(at + j) - share)
      }
    }
    if (deltaScale != 0) {
      store<f32>(truth, load<f32>(truth) - (smooth ? <f32>(1 - smoothing) : 1))
      const scale = f32x4.splat(deltaScale)
      at = z
      for (let p = panels; p > 0; p--, at += zPanel) {
        for (let j: usize = 0; j < bytes; j += 16) v128.store(at + j, flush(f32x4.mul(v128.load(at + j), scale)))
      }
    }

    const plain = logit - <f64>largest
    const target = smooth ? (1 - smoothing) * plain + (smoothing / <f64>classes) * sumOfLogits : plain
    const loss = log64(sum) - target
    store<f64>(losses + (<usize>r << 3), loss)
    store<i32>(correct + (<usize>r << 2), i32(best == label))
    bad |= i32(!(loss - loss == 0))
    z += zRow
  }
  return bad
}

/**
 * For each row of z (rows, outputs): z + bias, and with a deltaScale the delta 2/outputs · (z + bias - target) · deltaScale
 * in its place. targets (N, outputs) is row-major. Overwrites losses (rows, f64), the mean square summed in f64 in the
 * order of the outputs, and correct (rows, i32). Padding columns stay as they are. Returns 1 if a loss is not finite.
 */
export function squared_loss(
  z: usize, zPanel: usize, zRow: usize, rows: i32, panels: i32, vectors: i32, outputs: i32, bias: usize,
  targets: usize, samples: usize, losses: usize, correct: usize, deltaScale: f32,
): i32 {
  let bad = 0
  const width = vectors << 2
  const factor = <f32>2 / <f32>outputs * deltaScale
  for (let r = 0; r < rows; r++) {
    const wanted = targets + <usize>load<u32>(samples + (<usize>r << 2)) * (<usize>outputs << 2)
    let sum: f64 = 0
    let largest: f32 = -Infinity
    let largestWanted: f32 = -Infinity
    let best = 0
    let truth = 0
    for (let p = 0; p < panels; p++) {
      const begin = p * width
      const row = z + <usize>p * zPanel
      const own = min(width, outputs - begin)
      for (let j = 0; j < own; j++) {
        const c = begin + j
        const at = row + (<usize>j << 2)
        const y = load<f32>(at) + load<f32>(bias + (<usize>c << 2))
        const t = load<f32>(wanted + (<usize>c << 2))
        const d = y - t
        sum += <f64>d * <f64>d
        if (y > largest) {
          largest = y
          best = c
        }
        if (t > largestWanted) {
          largestWanted = t
          truth = c
        }
        store<f32>(at, deltaScale != 0 ? d * factor : y)
      }
    }
    const loss = sum / <f64>outputs
    store<f64>(losses + (<usize>r << 3), loss)
    store<i32>(correct + (<usize>r << 2), i32(best == truth))
    bad |= i32(!(loss - loss == 0))
    z += zRow
  }
  return bad
}

/**
 * Sigmoid with cross-entropy, for independent yes/no outputs. For each row of z (rows, outputs), with y = z + bias and targets
 * (N, outputs) of 0 and 1, row-major: y becomes sigmoid(y) or, with a deltaScale, (sigmoid(y) - target) / outputs · deltaScale.
 * Overwrites losses (rows, f64), the mean of max(y, 0) - y·target + log(1 + exp(-|y|)) in the order of the outputs, and
 * correct (rows, i32), the number of outputs whose probability is on the target's side of 0.5. Padding columns stay as
 * they are. Returns 1 if a loss is not finite.
 */
export function sigmoid_loss(
  z: usize, zPanel: usize, zRow: usize, rows: i32, panels: i32, vectors: i32, outputs: i32, bias: usize,
  targets: usize, samples: usize, losses: usize, correct: usize, deltaScale: f32,
): i32 {
  let bad = 0
  const width = vectors << 2
  const factor = deltaScale / <f32>outputs
  for (let r = 0; r < rows; r++) {
    const wanted = targets + <usize>load<u32>(samples + (<usize>r << 2)) * (<usize>outputs << 2)
    let sum: f64 = 0
    let right = 0
    for (let p = 0; p < panels; p++) {
      const begin = p * width
      const row = z + <usize>p * zPanel
      const own = min(width, outputs - begin)
      for (let j = 0; j < own; j++) {
        const c = begin + j
        const at = row + (<usize>j << 2)
        const y = load<f32>(at) + load<f32>(bias + (<usize>c << 2))
        const t = load<f32>(wanted + (<usize>c << 2))
        const e = f32x4.extract_lane(exp4(f32x4.splat(-abs(y))), 0)
        const larger = <f32>1 / (1 + e)
        const smaller = e / (1 + e)
        const probability = y >= 0 ? larger : smaller
        const other = y >= 0 ? smaller : larger
        const small = <f64>e
        // log(1 + e) as a series where the sum would lose e's digits.
        const softplus = small < 1e-5 ? small - 0.5 * small * small : log64(1 + small)
        sum += <f64>max(y, <f32>0) - <f64>y * <f64>t + softplus
        right += i32((probability > 0.5) == (t > 0.5))
        // Both terms, of which one is 0, so that a difference from 1 keeps its digits.
        const delta: f32 = ((<f32>1 - t) * probability - t * other) * factor
        store<f32>(at, deltaScale == 0 ? probability : abs(delta) < SMALLEST_NORMAL ? <f32>0 : delta)
      }
    }
    const loss = sum / <f64>outputs
    store<f64>(losses + (<usize>r << 3), loss)
    store<i32>(correct + (<usize>r << 2), right)
    bad |= i32(!(loss - loss == 0))
    z += zRow
  }
  return bad
}

/** Each row of deltas z, and its loss (rows, f64), times the weight (N, f32) of its sample. Returns 1 if a loss is not finite. */
export function weigh_rows(
  z: usize, zPanel: usize, zRow: usize, rows: i32, panels: i32, vectors: i32, weights: usize, samples: usize, losses: usize,
): i32 {
  let bad = 0
  const bytes = <usize>vectors << 4
  for (let r = 0; r < rows; r++) {
    const weight = load<f32>(weights + (<usize>load<u32>(samples + (<usize>r << 2)) << 2))
    const scale = f32x4.splat(weight)
    let at = z
    for (let p = panels; p > 0; p--, at += zPanel) {
      for (let j: usize = 0; j < bytes; j += 16) v128.store(at + j, flush(f32x4.mul(v128.load(at + j), scale)))
    }
    const loss = load<f64>(losses + (<usize>r << 3)) * <f64>weight
    store<f64>(losses + (<usize>r << 3), loss)
    bad |= i32(!(loss - loss == 0))
    z += zRow
  }
  return bad
}
