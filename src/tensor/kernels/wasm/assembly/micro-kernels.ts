/**
 * The micro-kernels: c (rows, 12) [+]= Σ_k a[k] ⊗ b[k], with c in a panel, b a panel (k, 12), and a as a list of entries
 * in k order: three values, and the byte offset of row k in b. Every output is one chain of f32 additions in k order,
 * whatever the tiles around it: this is why bits depend neither on shards nor on tiles.
 *
 * The list leaves out each k whose values are all zero. With ReLU and dropout two thirds of the activations are zeros,
 * and most of a digit's pixels; adding their products would not change a sum by a bit (x + 0 is x, and no sum that
 * began with +0 becomes -0).
 *
 * Three rows, not four, and a loop that is not unrolled: V8 gives a function 15 vector registers. 3 x 12 takes 9
 * accumulators, 3 columns, a splat and a product; a fourth row, or a second step of k in the loop's body, spills
 * accumulators to the stack and puts store forwarding into each chain. Measured on a Zen 3 core at its best, without
 * lists: 3x12 37 GFLOP/s, 4x8 36, 4x12 25 (33 unrolled twice), 6x8 25 (35), 2x16 37, 5x8 38, which fits no panel of 12.
 */

/** Three values of a, then an offset into b. */
// @ts-ignore: decorator
@inline export const ENTRY_BYTES: usize = 16

export function micro_f32_3x12(c: usize, list: usize, count: i32, b: usize, accumulate: bool): void {
  let c00 = f32x4.splat(0)
  let c01 = f32x4.splat(0)
  let c02 = f32x4.splat(0)
  let c10 = f32x4.splat(0)
  let c11 = f32x4.splat(0)
  let c12 = f32x4.splat(0)
  let c20 = f32x4.splat(0)
  let c21 = f32x4.splat(0)
  let c22 = f32x4.splat(0)
  if (accumulate) {
    c00 = v128.load(c)
    c01 = v128.load(c, 16)
    c02 = v128.load(c, 32)
    c10 = v128.load(c, 48)
    c11 = v128.load(c, 64)
    c12 = v128.load(c, 80)
    c20 = v128.load(c, 96)
    c21 = v128.load(c, 112)
    c22 = v128.load(c, 128)
  }
  for (const end = list + <usize>count * ENTRY_BYTES; list < end; list += ENTRY_BYTES) {
    const bk = b + load<u32>(list, 12)
    const b0 = v128.load(bk)
    const b1 = v128.load(bk, 16)
    const b2 = v128.load(bk, 32)
    const a0 = v128.load32_splat(list)
    c00 = f32x4.add(c00, f32x4.mul(a0, b0))
    c01 = f32x4.add(c01, f32x4.mul(a0, b1))
    c02 = f32x4.add(c02, f32x4.mul(a0, b2))
    const a1 = v128.load32_splat(list, 4)
    c10 = f32x4.add(c10, f32x4.mul(a1, b0))
    c11 = f32x4.add(c11, f32x4.mul(a1, b1))
    c12 = f32x4.add(c12, f32x4.mul(a1, b2))
    const a2 = v128.load32_splat(list, 8)
    c20 = f32x4.add(c20, f32x4.mul(a2, b0))
    c21 = f32x4.add(c21, f32x4.mul(a2, b1))
    c22 = f32x4.add(c22, f32x4.mul(a2, b2))
  }
  v128.store(c, c00)
  v128.store(c, c01, 16)
  v128.store(c, c02, 32)
  v128.store(c, c10, 48)
  v128.store(c, c11, 64)
  v128.store(c, c12, 80)
  v128.store(c, c20, 96)
  v128.store(c, c21, 112)
  v128.store(c, c22, 128)
}

export function micro_f32_2x12(c: usize, list: usize, count: i32, b: usize, accumulate: bool): void {
  let c00 = f32x4.splat(0)
  let c01 = f32x4.splat(0)
  let c02 = f32x4.splat(0)
  let c10 = f32x4.splat(0)
  let c11 = f32x4.splat(0)
  let c12 = f32x4.splat(0)
  if (accumulate) {
    c00 = v128.load(c)
    c01 = v128.load(c, 16)
    c02 = v128.load(c, 32)
    c10 = v128.load(c, 48)
    c11 = v128.load(c, 64)
    c12 = v128.load(c, 80)
  }
  for (const end = list + <usize>count * ENTRY_BYTES; list < end; list += ENTRY_BYTES) {
    const bk = b + load<u32>(list, 12)
    const b0 = v128.load(bk)
    const b1 = v128.load(bk, 16)
    const b2 = v128.load(bk, 32)
    const a0 = v128.load32_splat(list)
    c00 = f32x4.add(c00, f32x4.mul(a0, b0))
    c01 = f32x4.add(c01, f32x4.mul(a0, b1))
    c02 = f32x4.add(c02, f32x4.mul(a0, b2))
    const a1 = v128.load32_splat(list, 4)
    c10 = f32x4.add(c10, f32x4.mul(a1, b0))
    c11 = f32x4.add(c11, f32x4.mul(a1, b1))
    c12 = f32x4.add(c12, f32x4.mul(a1, b2))
  }
  v128.store(c, c00)
  v128.store(c, c01, 16)
  v128.store(c, c02, 32)
  v128.store(c, c10, 48)
  v128.store(c, c11, 64)
  v128.store(c, c12, 80)
}

export function micro_f32_1x12(c: usize, list: usize, count: i32, b: usize, accumulate: bool): void {
  let c00 = f32x4.splat(0)
  let c01 = f32x4.splat(0)
  let c02 = f32x4.splat(0)
  if (accumulate) {
    c00 = v128.load(c)
    c01 = v128.load(c, 16)
    c02 = v128.load(c, 32)
  }
  for (const end = list + <usize>count * ENTRY_BYTES; list < end; list += ENTRY_BYTES) {
    const bk = b + load<u32>(list, 12)
    const b0 = v128.load(bk)
    const b1 = v128.load(bk, 16)
    const b2 = v128.load(bk, 32)
    const a0 = v128.load32_splat(list)
    c00 = f32x4.add(c00, f32x4.mul(a0, b0))
    c01 = f32x4.add(c01, f32x4.mul(a0, b1))
    c02 = f32x4.add(c02, f32x4.mul(a0, b2))
  }
  v128.store(c, c00)
  v128.store(c, c01, 16)
  v128.store(c, c02, 32)
}
