/** Features that are shifted and scaled on their way into a mini-batch. */

/**
 * out (rows, features) = (features of samples[row] - offset) · factor, of bytes (N, features) or, with `floats`, of f32.
 * Panels of `width` columns lie `panelStride` apart; row-major is one wide panel. Overwrites out, not its padding.
 */
export function gather_scaled(
  out: usize, rowStride: usize, panelStride: usize, width: i32, rows: i32, from: usize, floats: i32, features: i32,
  samples: usize, offset: usize, factor: usize,
): void {
  for (let r = 0; r < rows; r++) {
    const first = <usize>load<u32>(samples + (<usize>r << 2)) * <usize>features
    for (let begin = 0; begin < features; begin += width) {
      const to = out + <usize>(begin / width) * panelStride
      const end = min(features - begin, width)
      for (let j = 0; j < end; j++) {
        const f = <usize>(begin + j)
        const x = floats ? load<f32>(from + ((first + f) << 2)) : <f32>load<u8>(from + first + f)
        store<f32>(to + (<usize>j << 2), (x - load<f32>(offset + (f << 2))) * load<f32>(factor + (f << 2)))
      }
    }
    out += rowStride
  }
}
