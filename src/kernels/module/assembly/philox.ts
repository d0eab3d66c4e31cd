/**
 * Philox4x32-10 (Salmon et al. 2011) on four counters at once: the SIMD twin of src/tensor/random.ts. The counters
 * differ in c2, which for dropout is the sample: lane l is row l.
 */

// @ts-expect-error: decorator
@inline const MULTIPLIER_0 = 0xd2511f53
// @ts-expect-error: decorator
@inline const MULTIPLIER_1 = 0xcd9e8d57
// @ts-expect-error: decorator
@inline const WEYL_0 = 0x9e3779b9
// @ts-expect-error: decorator
@inline const WEYL_1 = 0xbb67ae85

/**
 * Overwrites out[0..15]: row l holds words 0..3 of counter (c0, c1, c2[l], c3) under key (k0, k1), so that four units
 * of one row are contiguous. c2 points to four words.
 */
export function philox4(out: usize, c0: u32, c1: u32, c2: usize, c3: u32, k0: u32, k1: u32): void {
  const m0 = i32x4.splat(MULTIPLIER_0)
  const m1 = i32x4.splat(MULTIPLIER_1)
  let x0 = i32x4.splat(c0)
  let x1 = i32x4.splat(c1)
  let x2 = v128.load(c2)
  let x3 = i32x4.splat(c3)
  for (let round = 0; round < 10; round++) {
    const a = i64x2.extmul_low_i32x4_u(x0, m0)
    const b = i64x2.extmul_high_i32x4_u(x0, m0)
    const c = i64x2.extmul_low_i32x4_u(x2, m1)
    const d = i64x2.extmul_high_i32x4_u(x2, m1)
    const low0 = v128.shuffle<i32>(a, b, 0, 2, 4, 6)
    const high0 = v128.shuffle<i32>(a, b, 1, 3, 5, 7)
    const low1 = v128.shuffle<i32>(c, d, 0, 2, 4, 6)
    const high1 = v128.shuffle<i32>(c, d, 1, 3, 5, 7)
    x0 = v128.xor(v128.xor(high1, x1), i32x4.splat(k0))
    x1 = low1
    x2 = v128.xor(v128.xor(high0, x3), i32x4.splat(k1))
    x3 = low0
    k0 += WEYL_0
    k1 += WEYL_1
  }
  const a = v128.shuffle<i32>(x0, x1, 0, 4, 1, 5)
  const b = v128.shuffle<i32>(x2, x3, 0, 4, 1, 5)
  const c = v128.shuffle<i32>(x0, x1, 2, 6, 3, 7)
  const d = v128.shuffle<i32>(x2, x3, 2, 6, 3, 7)
  v128.store(out, v128.shuffle<i32>(a, b, 0, 1, 4, 5))
  v128.store(out, v128.shuffle<i32>(a, b, 2, 3, 6, 7), 16)
  v128.store(out, v128.shuffle<i32>(c, d, 0, 1, 4, 5), 32)
  v128.store(out, v128.shuffle<i32>(c, d, 2, 3, 6, 7), 48)
}
