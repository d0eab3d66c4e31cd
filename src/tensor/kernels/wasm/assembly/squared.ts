/** Mean squared error: a row's loss, whether its largest output is the target's, and its delta. */

/** Address of column c of a row: panels of so many columns lie `panelStride` apart; row-major is one wide panel. */
// @ts-ignore: decorator
@inline
function cell(row: usize, panelStride: usize, width: i32, c: i32): usize {
  return row + <usize>(c / width) * panelStride + (<usize>(c % width) << 2)
}

/**
 * For each row of z (rows, outputs): z + bias, and with a deltaScale the delta 2/outputs · (z + bias - target) · deltaScale
 * in its place. targets (N, outputs) is row-major. Overwrites losses (rows, f64), the mean square summed in f64 in the
 * order of the outputs, and correct (rows, i32). Padding columns stay as they are. Returns 1 if a loss is not finite.
 */
export function squared_loss(
  z: usize, rowStride: usize, panelStride: usize, width: i32, rows: i32, outputs: i32, bias: usize, targets: usize,
  samples: usize, losses: usize, correct: usize, deltaScale: f32,
): i32 {
  let bad = 0
  const factor = <f32>2 / <f32>outputs * deltaScale
  for (let r = 0; r < rows; r++) {
    const wanted = targets + <usize>load<u32>(samples + (<usize>r << 2)) * (<usize>outputs << 2)
    let sum: f64 = 0
    let largest: f32 = -Infinity
    let largestWanted: f32 = -Infinity
    let best = 0
    let truth = 0
    for (let c = 0; c < outputs; c++) {
      const at = cell(z, panelStride, width, c)
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
    const loss = sum / <f64>outputs
    store<f64>(losses + (<usize>r << 3), loss)
    store<i32>(correct + (<usize>r << 2), i32(best == truth))
    bad |= i32(!(loss - loss == 0))
    z += rowStride
  }
  return bad
}
