/** Rows of a data set, gathered into a mini-batch and scaled; place and extent of the output are as in layout.ts. */

/** out (rows, features) = images[samples[row]] / 255, exactly rounded. Overwrites out, not its padding. */
export function gather(
  out: usize, outPanel: usize, outRow: usize, rows: i32, panels: i32, vectors: i32,
  features: i32, images: usize, samples: usize,
): void {
  const scale = f32x4.splat(255)
  for (let p = 0; p < panels; p++) {
    const begin = p * (vectors << 2)
    const width = min(vectors << 2, features - begin)
    const whole = width & ~3
    let to = out
    for (let r = 0; r < rows; r++) {
      const from = images + <usize>load<u32>(samples + (<usize>r << 2)) * features + begin
      for (let j: usize = 0; j < <usize>whole; j += 4) {
        const halves = i16x8.extend_low_i8x16_u(v128.load32_zero(from + j))
        const words = i32x4.extend_low_i16x8_u(halves)
        v128.store(to + (j << 2), f32x4.div(f32x4.convert_i32x4_u(words), scale))
      }
      for (let j = whole; j < width; j++) store<f32>(to + (<usize>j << 2), <f32>load<u8>(from + j) / 255)
      to += outRow
    }
    out += outPanel
  }
}

/**
 * out (rows, features) = (features of samples[row] - offset) · factor, of bytes (N, features) or, with `floats`, of f32.
 * Overwrites out, not its padding.
 */
export function gather_scaled(
  out: usize, outPanel: usize, outRow: usize, rows: i32, panels: i32, vectors: i32,
  features: i32, from: usize, floats: i32, samples: usize, offset: usize, factor: usize,
): void {
  for (let p = 0; p < panels; p++) {
    const begin = p * (vectors << 2)
    const width = min(vectors << 2, features - begin)
    const whole = floats != 0 ? max(width, 0) & ~3 : 0
    let to = out
    for (let r = 0; r < rows; r++) {
      const first = <usize>load<u32>(samples + (<usize>r << 2)) * <usize>features
      for (let j = 0; j < whole; j += 4) {
        const f = <usize>(begin + j)
        const x = f32x4.sub(v128.load(from + ((first + f) << 2)), v128.load(offset + (f << 2)))
        v128.store(to + (<usize>j << 2), f32x4.mul(x, v128.load(factor + (f << 2))))
      }
      for (let j = whole; j < width; j++) {
        const f = <usize>(begin + j)
        const x = floats ? load<f32>(from + ((first + f) << 2)) : <f32>load<u8>(from + first + f)
        store<f32>(to + (<usize>j << 2), (x - load<f32>(offset + (f << 2))) * load<f32>(factor + (f << 2)))
      }
      to += outRow
    }
    out += outPanel
  }
}
