/**
 * Batch normalisation of feature maps, whose positions are rows: row-major, rows `…Row` bytes apart, each with `vectors` vectors of four
 * channels. Sums are f64 and run in the order of the rows; channels past the last are zero and stay zero.
 *
 * A table of a kernel has 64 bytes for each vector of channels: four vectors of f32.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.
import { high, low, nonFinite4 } from './math'
import { flush } from './optimizers'

/** Rows that stay in the first-level cache while all their channels are summed. */
// @ts-ignore: decorator
@inline const ROWS_AT_ONCE: i32 = 64
// @ts-ignore: decorator
@inline const TABLE_BYTES: usize = 64

/** products += column sums of a · b, sums += those of a; f64, one number for each channel. */
export function map_sums(
  products: usize, sums: usize, a: usize, aRow: usize, b: usize, bRow: usize, rows: i32, vectors: i32,
): void {
  for (; rows > 0; rows -= ROWS_AT_ONCE) {
    const count = min(rows, ROWS_AT_ONCE)
    let product = products
    let sum = sums
    for (let q: usize = 0; q < <usize>vectors << 4; q += 16) {
      let p0 = v128.load(product)
      let p1 = v128.load(product, 16)
      let s0 = v128.load(sum)
      let s1 = v128.load(sum, 16)
      let ofA = a + q
      let ofB = b + q
      for (let r = count; r > 0; r--) {
        const x = v128.load(ofA)
        const y = v128.load(ofB)
        const x0 = low(x)
        const x1 = high(x)
        s0 = f64x2.add(s0, x0)
        s1 = f64x2.add(s1, x1)
        p0 = f64x2.add(p0, f64x2.mul(x0, low(y)))
        p1 = f64x2.add(p1, f64x2.mul(x1, high(y)))
        ofA += aRow
        ofB += bRow
      }
      v128.store(product, p0)
      v128.store(product, p1, 16)
      v128.store(sum, s0)
      v128.store(sum, s1, 16)
      product += 32
      sum += 32
    }
    a += <usize>count * aRow
    b += <usize>count * bRow
  }
}

/**
 * normed = (z - mean) · inverse, z = normed · scale, in place; a pointer of 0: normed is not kept. Table: the mean in two parts, whose sum
 * has more bits than f32, inverse, scale.
 */
export function map_normalise(
  z: usize, zRow: usize, normed: usize, nRow: usize, rows: i32, vectors: i32, table: usize,
): void {
  const bytes = <usize>vectors << 4
  for (; rows > 0; rows--) {
    let entry = table
    for (let j: usize = 0; j < bytes; j += 16) {
      const centred = f32x4.sub(f32x4.sub(v128.load(z + j), v128.load(entry)), v128.load(entry, 16))
      const n = f32x4.mul(centred, v128.load(entry, 32))
      if (normed != 0) v128.store(normed + j, n)
      v128.store(z + j, f32x4.mul(n, v128.load(entry, 48)))
      entry += TABLE_BYTES
    }
    z += zRow
    normed += nRow
  }
}

/** dy = factor · (dy - shift - normed · scale), in place. Table: factor, shift, scale. Returns 1 if a result is not finite. */
export function map_norm_backward(
  dy: usize, dRow: usize, normed: usize, nRow: usize, rows: i32, vectors: i32, table: usize,
): i32 {
  const bytes = <usize>vectors << 4
  let bad = f32x4.splat(0)
  for (; rows > 0; rows--) {
    let entry = table
    for (let j: usize = 0; j < bytes; j += 16) {
      const n = f32x4.mul(v128.load(normed + j), v128.load(entry, 32))
      const d = f32x4.sub(f32x4.sub(v128.load(dy + j), v128.load(entry, 16)), n)
      const x = f32x4.mul(v128.load(entry), d)
      bad = v128.or(bad, nonFinite4(x))
      v128.store(dy + j, flush(x))
      entry += TABLE_BYTES
    }
    dy += dRow
    normed += nRow
  }
  return i32(v128.any_true(bad))
}

/**
 * Copies the maps of one sample, `positions` positions of `channels` channels, mapRow bytes apart, to its row of panels, panelBytes apart;
 * or back.
 */
export function flatten_panels(
  flat: usize, panelBytes: usize, maps: usize, mapRow: usize, positions: i32, channels: i32, panel: i32, back: bool,
): void {
  let lane = 0
  for (; positions > 0; positions--) {
    let at = maps
    let left = channels
    while (left > 0) {
      const n = min(left, panel - lane)
      const place = flat + (<usize>lane << 2)
      const from = back ? place : at
      const to = back ? at : place
      let i: usize = 0
      for (const vectors = <usize>(n & ~3) << 2; i < vectors; i += 16) v128.store(to + i, v128.load(from + i))
      for (const bytes = <usize>n << 2; i < bytes; i += 4) store<u32>(to + i, load<u32>(from + i))
      at += <usize>n << 2
      left -= n
      lane += n
      if (lane == panel) {
        lane = 0
        flat += panelBytes
      }
    }
    maps += mapRow
  }
}
