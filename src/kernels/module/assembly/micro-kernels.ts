/**
 * The micro-kernels: c [+]= Σ_k a[k] ⊗ b[k], one row of up to four panels of c, or three rows of one panel. b are as
 * many panels (k, 12), and a is a list of entries in k order, as lists.ts makes them: values, and the byte offset of row
 * k in b. Every output is one chain of f32 additions in k order, whatever the tiles around it: this is why bits depend
 * neither on shards nor on tiles, nor on which of these kernels runs.
 *
 * The list leaves out each k whose value is zero. With ReLU and dropout two thirds to four fifths of the activations and
 * deltas are zeros, and most of a digit's pixels; adding their products would not change a sum by a bit (x + 0 is x, and
 * no sum that began with +0 becomes -0).
 *
 * One row, because zeros are independent from row to row: where 35 % of the values are not zero, 73 % of the entries of
 * three rows are needed, and where 20 % are not, 49 %. Four panels, because V8 gives a function 15 vector registers: 1 x 48
 * takes 12 accumulators, a splat and a product. Measured on a Zen 3 core at its best, in GFLOP/s of the dense product with
 * 35 % of the values not zero, k = 120: 1x48 over four panels of 12 columns 75, over one panel of 48 columns 71, unrolled
 * by two 66, 3x12 44; 1x36 was 5 % slower than 1x48. A panel of 48 columns is the better one only where b is not in the
 * first-level cache. The addresses of the four panels are computed in each turn, side by side: one after the other, with
 * fewer additions, 68.
 *
 * Without zeros 3 x 12 (9 accumulators, 3 columns, a splat and a product) is a tenth faster, 33 GFLOP/s to 30. A fourth
 * row, or a second step of k in the loop's body, spills accumulators to the stack and puts store forwarding into each
 * chain: 4x12 25, 2x24 19.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.

/** A value of a, then an offset into b. */
// @ts-ignore: decorator
@inline export const SINGLE_BYTES: usize = 8
/** Three values of a, then an offset into b. */
// @ts-ignore: decorator
@inline export const TRIPLE_BYTES: usize = 16

export function micro_f32_3x12(c: usize, list: usize, end: usize, b: usize, accumulate: bool): void {
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
  for (; list < end; list += TRIPLE_BYTES) {
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

export function micro_f32_1x48(
  c: usize, cStride: usize, list: usize, end: usize, b: usize, bStride: usize, accumulate: bool,
): void {
  const to1 = c + cStride
  const to2 = to1 + cStride
  const to3 = to2 + cStride
  let c0 = f32x4.splat(0)
  let c1 = f32x4.splat(0)
  let c2 = f32x4.splat(0)
  let c3 = f32x4.splat(0)
  let c4 = f32x4.splat(0)
  let c5 = f32x4.splat(0)
  let c6 = f32x4.splat(0)
  let c7 = f32x4.splat(0)
  let c8 = f32x4.splat(0)
  let c9 = f32x4.splat(0)
  let ca = f32x4.splat(0)
  let cb = f32x4.splat(0)
  if (accumulate) {
    c0 = v128.load(c)
    c1 = v128.load(c, 16)
    c2 = v128.load(c, 32)
    c3 = v128.load(to1)
    c4 = v128.load(to1, 16)
    c5 = v128.load(to1, 32)
    c6 = v128.load(to2)
    c7 = v128.load(to2, 16)
    c8 = v128.load(to2, 32)
    c9 = v128.load(to3)
    ca = v128.load(to3, 16)
    cb = v128.load(to3, 32)
  }
  const b1 = b + bStride
  const b2 = b1 + bStride
  const b3 = b2 + bStride
  for (; list < end; list += SINGLE_BYTES) {
    const offset = load<u32>(list, 4)
    const a = v128.load32_splat(list)
    const k0 = b + offset
    c0 = f32x4.add(c0, f32x4.mul(a, v128.load(k0)))
    c1 = f32x4.add(c1, f32x4.mul(a, v128.load(k0, 16)))
    c2 = f32x4.add(c2, f32x4.mul(a, v128.load(k0, 32)))
    const k1 = b1 + offset
    c3 = f32x4.add(c3, f32x4.mul(a, v128.load(k1)))
    c4 = f32x4.add(c4, f32x4.mul(a, v128.load(k1, 16)))
    c5 = f32x4.add(c5, f32x4.mul(a, v128.load(k1, 32)))
    const k2 = b2 + offset
    c6 = f32x4.add(c6, f32x4.mul(a, v128.load(k2)))
    c7 = f32x4.add(c7, f32x4.mul(a, v128.load(k2, 16)))
    c8 = f32x4.add(c8, f32x4.mul(a, v128.load(k2, 32)))
    const k3 = b3 + offset
    c9 = f32x4.add(c9, f32x4.mul(a, v128.load(k3)))
    ca = f32x4.add(ca, f32x4.mul(a, v128.load(k3, 16)))
    cb = f32x4.add(cb, f32x4.mul(a, v128.load(k3, 32)))
  }
  v128.store(c, c0)
  v128.store(c, c1, 16)
  v128.store(c, c2, 32)
  v128.store(to1, c3)
  v128.store(to1, c4, 16)
  v128.store(to1, c5, 32)
  v128.store(to2, c6)
  v128.store(to2, c7, 16)
  v128.store(to2, c8, 32)
  v128.store(to3, c9)
  v128.store(to3, ca, 16)
  v128.store(to3, cb, 32)
}

export function micro_f32_1x36(
  c: usize, cStride: usize, list: usize, end: usize, b: usize, bStride: usize, accumulate: bool,
): void {
  const to1 = c + cStride
  const to2 = to1 + cStride
  let c0 = f32x4.splat(0)
  let c1 = f32x4.splat(0)
  let c2 = f32x4.splat(0)
  let c3 = f32x4.splat(0)
  let c4 = f32x4.splat(0)
  let c5 = f32x4.splat(0)
  let c6 = f32x4.splat(0)
  let c7 = f32x4.splat(0)
  let c8 = f32x4.splat(0)
  if (accumulate) {
    c0 = v128.load(c)
    c1 = v128.load(c, 16)
    c2 = v128.load(c, 32)
    c3 = v128.load(to1)
    c4 = v128.load(to1, 16)
    c5 = v128.load(to1, 32)
    c6 = v128.load(to2)
    c7 = v128.load(to2, 16)
    c8 = v128.load(to2, 32)
  }
  const b1 = b + bStride
  const b2 = b1 + bStride
  for (; list < end; list += SINGLE_BYTES) {
    const offset = load<u32>(list, 4)
    const a = v128.load32_splat(list)
    const k0 = b + offset
    c0 = f32x4.add(c0, f32x4.mul(a, v128.load(k0)))
    c1 = f32x4.add(c1, f32x4.mul(a, v128.load(k0, 16)))
    c2 = f32x4.add(c2, f32x4.mul(a, v128.load(k0, 32)))
    const k1 = b1 + offset
    c3 = f32x4.add(c3, f32x4.mul(a, v128.load(k1)))
    c4 = f32x4.add(c4, f32x4.mul(a, v128.load(k1, 16)))
    c5 = f32x4.add(c5, f32x4.mul(a, v128.load(k1, 32)))
    const k2 = b2 + offset
    c6 = f32x4.add(c6, f32x4.mul(a, v128.load(k2)))
    c7 = f32x4.add(c7, f32x4.mul(a, v128.load(k2, 16)))
    c8 = f32x4.add(c8, f32x4.mul(a, v128.load(k2, 32)))
  }
  v128.store(c, c0)
  v128.store(c, c1, 16)
  v128.store(c, c2, 32)
  v128.store(to1, c3)
  v128.store(to1, c4, 16)
  v128.store(to1, c5, 32)
  v128.store(to2, c6)
  v128.store(to2, c7, 16)
  v128.store(to2, c8, 32)
}

export function micro_f32_1x24(
  c: usize, cStride: usize, list: usize, end: usize, b: usize, bStride: usize, accumulate: bool,
): void {
  const to1 = c + cStride
  let c0 = f32x4.splat(0)
  let c1 = f32x4.splat(0)
  let c2 = f32x4.splat(0)
  let c3 = f32x4.splat(0)
  let c4 = f32x4.splat(0)
  let c5 = f32x4.splat(0)
  if (accumulate) {
    c0 = v128.load(c)
    c1 = v128.load(c, 16)
    c2 = v128.load(c, 32)
    c3 = v128.load(to1)
    c4 = v128.load(to1, 16)
    c5 = v128.load(to1, 32)
  }
  const b1 = b + bStride
  for (; list < end; list += SINGLE_BYTES) {
    const offset = load<u32>(list, 4)
    const a = v128.load32_splat(list)
    const k0 = b + offset
    c0 = f32x4.add(c0, f32x4.mul(a, v128.load(k0)))
    c1 = f32x4.add(c1, f32x4.mul(a, v128.load(k0, 16)))
    c2 = f32x4.add(c2, f32x4.mul(a, v128.load(k0, 32)))
    const k1 = b1 + offset
    c3 = f32x4.add(c3, f32x4.mul(a, v128.load(k1)))
    c4 = f32x4.add(c4, f32x4.mul(a, v128.load(k1, 16)))
    c5 = f32x4.add(c5, f32x4.mul(a, v128.load(k1, 32)))
  }
  v128.store(c, c0)
  v128.store(c, c1, 16)
  v128.store(c, c2, 32)
  v128.store(to1, c3)
  v128.store(to1, c4, 16)
  v128.store(to1, c5, 32)
}

export function micro_f32_1x12(c: usize, list: usize, end: usize, b: usize, accumulate: bool): void {
  let c0 = f32x4.splat(0)
  let c1 = f32x4.splat(0)
  let c2 = f32x4.splat(0)
  if (accumulate) {
    c0 = v128.load(c)
    c1 = v128.load(c, 16)
    c2 = v128.load(c, 32)
  }
  for (; list < end; list += SINGLE_BYTES) {
    const offset = load<u32>(list, 4)
    const a = v128.load32_splat(list)
    const k0 = b + offset
    c0 = f32x4.add(c0, f32x4.mul(a, v128.load(k0)))
    c1 = f32x4.add(c1, f32x4.mul(a, v128.load(k0, 16)))
    c2 = f32x4.add(c2, f32x4.mul(a, v128.load(k0, 32)))
  }
  v128.store(c, c0)
  v128.store(c, c1, 16)
  v128.store(c, c2, 32)
}
