/**
 * Images changed on their way into a mini-batch: displaced (an affine map, and smoothed random fields on top), noisy.
 * One image a call. The TypeScript twin in ../../reference/augment.ts does the same operations in the same order, bit for
 * bit.
 *
 * Letters: `H` and `W` of the image, `C` its channels, `S` floats of a row of a field, a multiple of 8.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.
import { philox4 } from './philox'

/** Pixels of 0 around a padded image: one before it, two behind, where the last pixel's neighbour is read. */
// @ts-ignore: decorator
@inline const BORDER = 3

/** Fills words[0..15] with those of counters (image, stream, 4·block .. 4·block + 3, epoch). `words` takes 80 bytes. */
// @ts-ignore: decorator
@inline
function draw(words: usize, image: u32, stream: u32, block: u32, epoch: u32, k0: u32, k1: u32): void {
  v128.store(words, i32x4.add(i32x4.splat(block << 2), i32x4(0, 1, 2, 3)), 64)
  philox4(words, image, stream, words + 64, epoch, k0, k1)
}

/**
 * Displacements (H, S): uniform numbers from -32767.5·factor to as much, smoothed with the Gaussian (2·radius + 1) down
 * the columns, then along the rows; beyond the fields lies 0. Overwrites both, which need room for 8 floats more, and
 * `scratch`: 80 bytes, then 2·H rows of 2·pad + S floats, where pad is the radius rounded up to a multiple of 4.
 */
export function elastic_fields(
  dx: usize, dy: usize, scratch: usize, weights: usize, H: i32, S: i32, radius: i32, factor: f32,
  image: u32, stream: u32, epoch: u32, k0: u32, k1: u32,
): void {
  const numbers = H * S
  const amplitude = f32x4.splat(factor)
  const middle = f32x4.splat(32767.5)
  for (let at = 0; at < numbers; at += 16) {
    draw(scratch, image, stream, at >> 4, epoch, k0, k1)
    for (let i: usize = 0; i < 64; i += 16) {
      const words = v128.load(scratch + i)
      const low = f32x4.convert_i32x4_u(v128.and(words, i32x4.splat(0xffff)))
      const high = f32x4.convert_i32x4_u(i32x4.shr_u(words, 16))
      const to = (<usize>at << 2) + i
      v128.store(dx + to, f32x4.mul(f32x4.sub(low, middle), amplitude))
      v128.store(dy + to, f32x4.mul(f32x4.sub(high, middle), amplitude))
    }
  }

  const pad = (radius + 3) & ~3
  const rowBytes = <usize>(2 * pad + S) << 2
  const smoothX = scratch + 80
  const smoothY = smoothX + <usize>H * rowBytes
  memory.fill(smoothX, 0, 2 * <usize>H * rowBytes)
  const step = <usize>S << 2
  for (let y = 0; y < H; y++) {
    const from = max(0, y - radius)
    const to = min(H - 1, y + radius)
    for (let x: usize = 0; x < step; x += 32) {
      let x0 = f32x4.splat(0)
      let x1 = x0
      let y0 = x0
      let y1 = x0
      let at = <usize>from * step + x
      let w = weights + (<usize>(from - y + radius) << 2)
      for (let t = from; t <= to; t++) {
        const weight = v128.load32_splat(w)
        x0 = f32x4.add(x0, f32x4.mul(weight, v128.load(dx + at)))
        x1 = f32x4.add(x1, f32x4.mul(weight, v128.load(dx + at, 16)))
        y0 = f32x4.add(y0, f32x4.mul(weight, v128.load(dy + at)))
        y1 = f32x4.add(y1, f32x4.mul(weight, v128.load(dy + at, 16)))
        at += step
        w += 4
      }
      const cell = <usize>y * rowBytes + (<usize>pad << 2) + x
      v128.store(smoothX + cell, x0)
      v128.store(smoothX + cell, x1, 16)
      v128.store(smoothY + cell, y0)
      v128.store(smoothY + cell, y1, 16)
    }
  }

  const taps = 2 * radius + 1
  for (let y = 0; y < H; y++) {
    for (let x: usize = 0; x < step; x += 32) {
      let x0 = f32x4.splat(0)
      let x1 = x0
      let y0 = x0
      let y1 = x0
      let cell = <usize>y * rowBytes + (<usize>(pad - radius) << 2) + x
      for (let t = 0; t < taps; t++) {
        const weight = v128.load32_splat(weights + (<usize>t << 2))
        x0 = f32x4.add(x0, f32x4.mul(weight, v128.load(smoothX + cell)))
        x1 = f32x4.add(x1, f32x4.mul(weight, v128.load(smoothX + cell, 16)))
        y0 = f32x4.add(y0, f32x4.mul(weight, v128.load(smoothY + cell)))
        y1 = f32x4.add(y1, f32x4.mul(weight, v128.load(smoothY + cell, 16)))
        cell += 4
      }
      const at = <usize>y * step + x
      v128.store(dx + at, x0)
      v128.store(dx + at, x1, 16)
      v128.store(dy + at, y0)
      v128.store(dy + at, y1, 16)
    }
  }
}

/**
 * to (H, W, C) = from (H, W, C) at (m0·x + m1·y + m2 + dx, m3·x + m4·y + m5 + dy), between pixels bilinear, beyond the image 0,
 * rounded to whole numbers. `dx` is 0 where there are no fields. `padded` takes (H + 3, W + 3) floats.
 */
export function warp_image(
  to: usize, from: usize, H: i32, W: i32, C: i32, padded: usize, m0: f32, m1: f32, m2: f32, m3: f32, m4: f32, m5: f32,
  dx: usize, dy: usize, S: i32,
): void {
  for (let c = 0; c < C; c++) warp_channel(to + c, from + c, H, W, C, padded, m0, m1, m2, m3, m4, m5, dx, dy, S)
}

/** One channel of it; `to` and `from` are those of its first pixel. */
function warp_channel(
  to: usize, from: usize, H: i32, W: i32, C: i32, padded: usize, m0: f32, m1: f32, m2: f32, m3: f32, m4: f32, m5: f32,
  dx: usize, dy: usize, S: i32,
): void {
  const P = W + BORDER
  memory.fill(padded, 0, <usize>((H + BORDER) * P) << 2)
  for (let y = 0; y < H; y++) {
    const row = padded + (<usize>((y + 1) * P + 1) << 2)
    for (let x = 0; x < W; x++) {
      store<f32>(row + (<usize>x << 2), <f32>load<u8>(from + <usize>((y * W + x) * C)))
    }
  }

  const below = <usize>P << 2
  const lowest = f32x4.splat(-1)
  const mostX = f32x4.splat(<f32>W)
  const mostY = f32x4.splat(<f32>H)
  const one = i32x4.splat(1)
  for (let y = 0; y < H; y++) {
    const rowX = f32x4.splat(m1 * <f32>y + m2)
    const rowY = f32x4.splat(m4 * <f32>y + m5)
    for (let x = 0; x < W; x += 4) {
      const columns = f32x4.add(f32x4.splat(<f32>x), f32x4(0, 1, 2, 3))
      let fromX = f32x4.add(f32x4.mul(f32x4.splat(m0), columns), rowX)
      let fromY = f32x4.add(f32x4.mul(f32x4.splat(m3), columns), rowY)
      if (dx) {
        const at = <usize>(y * S + x) << 2
        fromX = f32x4.add(fromX, v128.load(dx + at))
        fromY = f32x4.add(fromY, v128.load(dy + at))
      }
      fromX = f32x4.min(f32x4.max(fromX, lowest), mostX)
      fromY = f32x4.min(f32x4.max(fromY, lowest), mostY)
      const floorX = f32x4.floor(fromX)
      const floorY = f32x4.floor(fromY)
      const partX = f32x4.sub(fromX, floorX)
      const partY = f32x4.sub(fromY, floorY)
      const cellX = i32x4.add(i32x4.trunc_sat_f32x4_s(floorX), one)
      const cellY = i32x4.add(i32x4.trunc_sat_f32x4_s(floorY), one)
      const cells = i32x4.shl(i32x4.add(i32x4.mul(cellY, i32x4.splat(P)), cellX), 2)
      const c0 = padded + <usize>i32x4.extract_lane(cells, 0)
      const c1 = padded + <usize>i32x4.extract_lane(cells, 1)
      const c2 = padded + <usize>i32x4.extract_lane(cells, 2)
      const c3 = padded + <usize>i32x4.extract_lane(cells, 3)
      const top = mix(v128.load64_zero(c0), v128.load64_zero(c1), v128.load64_zero(c2), v128.load64_zero(c3), partX)
      const bottom = mix(
        v128.load64_zero(c0 + below), v128.load64_zero(c1 + below), v128.load64_zero(c2 + below), v128.load64_zero(c3 + below),
        partX,
      )
      const value = f32x4.add(top, f32x4.mul(partY, f32x4.sub(bottom, top)))
      const whole = i32x4.trunc_sat_f32x4_s(f32x4.add(value, f32x4.splat(0.5)))
      const out = to + <usize>((y * W + x) * C)
      const step = <usize>C
      if (C == 1 && x + 4 <= W) {
        const halves = i16x8.narrow_i32x4_s(whole, whole)
        store<i32>(out, i32x4.extract_lane(i8x16.narrow_i16x8_u(halves, halves), 0))
      } else {
        store<u8>(out, i32x4.extract_lane(whole, 0))
        if (x + 1 < W) store<u8>(out + step, i32x4.extract_lane(whole, 1))
        if (x + 2 < W) store<u8>(out + 2 * step, i32x4.extract_lane(whole, 2))
        if (x + 3 < W) store<u8>(out + 3 * step, i32x4.extract_lane(whole, 3))
      }
    }
  }
}

/** Interpolates four pairs of neighbours: left + part · (right - left). */
// @ts-ignore: decorator
@inline
function mix(p0: v128, p1: v128, p2: v128, p3: v128, part: v128): v128 {
  const low = v128.shuffle<i32>(p0, p1, 0, 4, 1, 5)
  const high = v128.shuffle<i32>(p2, p3, 0, 4, 1, 5)
  const left = v128.shuffle<i32>(low, high, 0, 1, 4, 5)
  const right = v128.shuffle<i32>(low, high, 2, 3, 6, 7)
  return f32x4.add(left, f32x4.mul(part, f32x4.sub(right, left)))
}

/** pixels[i] += factor · (the sum of four random bytes - 510), rounded, kept within 0 and 255. `scratch` takes 80 bytes. */
export function add_noise(
  pixels: usize, count: i32, factor: f32, scratch: usize, image: u32, stream: u32, epoch: u32, k0: u32, k1: u32,
): void {
  for (let i = 0; i < count; i++) {
    if ((i & 15) == 0) draw(scratch, image, stream, i >> 4, epoch, k0, k1)
    const word = load<u32>(scratch + (<usize>(i & 15) << 2))
    const sum = <i32>((word & 255) + ((word >> 8) & 255) + ((word >> 16) & 255) + (word >> 24)) - 510
    const value = <f32>load<u8>(pixels + i) + factor * <f32>sum
    store<u8>(pixels + i, <u8>(max<f32>(min<f32>(value, 255), 0) + <f32>0.5))
  }
}

/** Rounds to a byte. */
// @ts-ignore: decorator
@inline
function byteOf(value: f32): u8 {
  return <u8>(max<f32>(min<f32>(value, 255), 0) + <f32>0.5)
}

/**
 * pixels (count, C): all times `brightness`; then their distances from the mean times `contrast`; then, of three channels, the distances
 * from the pixel's luma times `saturation`. Rounded, kept within 0 and 255.
 */
export function jitter_colours(
  pixels: usize, count: i32, C: i32, brightness: f32, contrast: f32, saturation: f32,
): void {
  const bytes = count * C
  let sum: u64 = 0
  for (let i = 0; i < bytes; i++) sum += load<u8>(pixels + i)
  const mean = brightness * <f32>(<f64>sum / <f64>bytes)
  for (let i = 0; i < bytes; i += C) {
    const at = pixels + i
    const r = mean + contrast * (brightness * <f32>load<u8>(at) - mean)
    if (C != 3) {
      store<u8>(at, byteOf(r))
      continue
    }
    const g = mean + contrast * (brightness * <f32>load<u8>(at + 1) - mean)
    const b = mean + contrast * (brightness * <f32>load<u8>(at + 2) - mean)
    const luma = <f32>0.299 * r + <f32>0.587 * g + <f32>0.114 * b
    store<u8>(at, byteOf(luma + saturation * (r - luma)))
    store<u8>(at + 1, byteOf(luma + saturation * (g - luma)))
    store<u8>(at + 2, byteOf(luma + saturation * (b - luma)))
  }
}
