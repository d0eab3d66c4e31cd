/** The three matrix products of a step. Preconditions are checked by the binding, not here. */
import { BLOCK_BYTES, PANEL, ROW_BYTES } from './layout'
import { micro_f32_1x12, micro_f32_2x12, micro_f32_3x12 } from './micro-kernels'

/** Panels of k in one pass: 20 x 12 x 48 bytes of weights stay in the first-level cache. */
// @ts-expect-error: decorator
@inline const K_BLOCK = 20
/** Rows in one pass, so that the packed activations of a wide layer stay near: 96 x 3000 floats are 1.1 MB. */
// @ts-expect-error: decorator
@inline const ROW_BLOCK = 96
/** Rows of the micro-kernel. */
// @ts-expect-error: decorator
@inline const MICRO_ROWS = 3

/**
 * c (rows, nPanels·12) = a (rows, kPanels·12) · b. Overwrites c. b is packed: panel n, then k, then 12 columns.
 * Serves x·W with the weights, and dz·Wᵀ with their transposed form. `packed` is scratch for 96 rows of a.
 *
 * Panels of columns are the outer loop: the weights, which come from far away, are then read as one stream, and a panel
 * of c stays in the first-level cache. The other order ran at 0.75 to 0.9 of this speed.
 */
export function gemm(
  c: usize, cStride: usize, a: usize, aStride: usize, b: usize, rows: i32, kPanels: i32, nPanels: i32, packed: usize,
): void {
  for (let row = 0; row < rows; row += ROW_BLOCK) {
    const offset = <usize>row * ROW_BYTES
    const block = min(ROW_BLOCK, rows - row)
    for (let k = 0; k < kPanels; k += K_BLOCK) {
      const kc = min(K_BLOCK, kPanels - k)
      pack(packed + <usize>k * block * ROW_BYTES, a + offset + <usize>k * aStride, aStride, block, kc)
    }
    for (let n = 0; n < nPanels; n++) {
      for (let k = 0; k < kPanels; k += K_BLOCK) {
        const kc = min(K_BLOCK, kPanels - k)
        const bk = b + (<usize>n * kPanels + k) * BLOCK_BYTES
        multiply(c + offset + <usize>n * cStride, packed + <usize>k * block * ROW_BYTES, bk, block, kc * PANEL, k > 0)
      }
    }
  }
}

/** One panel of c against packed rows. */
// @ts-expect-error: decorator
@inline
function multiply(c: usize, packed: usize, b: usize, rows: i32, k: i32, accumulate: bool): void {
  let r = rows
  for (; r >= MICRO_ROWS; r -= MICRO_ROWS) {
    micro_f32_3x12(c, packed, 4 * MICRO_ROWS, b, k, accumulate)
    c += MICRO_ROWS * ROW_BYTES
    packed += <usize>k * (4 * MICRO_ROWS)
  }
  if (r == 2) micro_f32_2x12(c, packed, 8, b, k, accumulate)
  else if (r == 1) micro_f32_1x12(c, packed, 4, b, k, accumulate)
}

/**
 * Rows of a, in panels, to groups of three rows with k in order: (rows / 3, k, 3); a last group of fewer rows is as
 * narrow. Then the micro-kernel walks one pointer; a jump from panel to panel in its loop cost a fifth of its speed.
 */
function pack(to: usize, a: usize, aStride: usize, rows: i32, kPanels: i32): void {
  let row = 0
  for (; row + MICRO_ROWS <= rows; row += MICRO_ROWS) {
    let from = a + <usize>row * ROW_BYTES
    for (let p = 0; p < kPanels; p++) {
      for (let k: usize = 0; k < ROW_BYTES; k += 16) {
        interleave3(to, from + k)
        to += 4 * MICRO_ROWS * 4
      }
      from += aStride
    }
  }
  const width = rows - row
  if (width == 0) return
  let from = a + <usize>row * ROW_BYTES
  for (let p = 0; p < kPanels; p++) {
    for (let k: usize = 0; k < ROW_BYTES; k += 4) {
      store<f32>(to, load<f32>(from + k))
      if (width == 2) store<f32>(to, load<f32>(from + k, 48), 4)
      to += <usize>width << 2
    }
    from += aStride
  }
}

/** Four columns of three rows, 48 bytes apart, to four triples. */
// @ts-expect-error: decorator
@inline
function interleave3(to: usize, from: usize): void {
  const r0 = v128.load(from)
  const r1 = v128.load(from, 48)
  const r2 = v128.load(from, 96)
  const low = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5) //  r0.0 r1.0 r0.1 r1.1
  const high = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7) // r0.2 r1.2 r0.3 r1.3
  const middle = v128.shuffle<f32>(low, r2, 3, 5, 3, 5) // r1.1 r2.1
  v128.store(to, v128.shuffle<f32>(low, r2, 0, 1, 4, 2))
  v128.store(to, v128.shuffle<f32>(middle, high, 0, 1, 4, 5), 16)
  v128.store(to, v128.shuffle<f32>(high, r2, 6, 2, 3, 7), 32)
}

/**
 * g (iPanels·12, 12) = xᵀ · dz for the rows of one panel dz (rows, 12) and iPanels panels of x. Overwrites g, or adds
 * to it: then the sum goes on in row order from what is there.
 */
export function weight_gradient(
  g: usize, x: usize, xStride: usize, dz: usize, rows: i32, iPanels: i32, accumulate: bool,
): void {
  for (let p = 0; p < iPanels; p++) {
    for (let i: usize = 0; i < ROW_BYTES; i += 4 * MICRO_ROWS) {
      micro_f32_3x12(g, x + i, ROW_BYTES, dz, rows, accumulate)
      g += MICRO_ROWS * ROW_BYTES
    }
    x += xStride
  }
}

/** g (12) = column sums of one panel dz (rows, 12), in row order. Overwrites g, or adds to it. */
export function column_sums(g: usize, dz: usize, rows: i32, accumulate: bool): void {
  let s0 = f32x4.splat(0)
  let s1 = s0
  let s2 = s0
  if (accumulate) {
    s0 = v128.load(g)
    s1 = v128.load(g, 16)
    s2 = v128.load(g, 32)
  }
  for (; rows > 0; rows--) {
    s0 = f32x4.add(s0, v128.load(dz))
    s1 = f32x4.add(s1, v128.load(dz, 16))
    s2 = f32x4.add(s2, v128.load(dz, 32))
    dz += ROW_BYTES
  }
  v128.store(g, s0)
  v128.store(g, s1, 16)
  v128.store(g, s2, 32)
}

/**
 * Blocks of 12 x 12 of one weight panel, w (iPanels·12, 12), to the transposed form: block p goes, transposed, to
 * t + p·tStride, where panel p of (O, I) keeps these 12 outputs.
 */
export function transpose_blocks(t: usize, tStride: usize, w: usize, iPanels: i32): void {
  for (let p = 0; p < iPanels; p++) {
    for (let i: usize = 0; i < 3; i++) {
      for (let o: usize = 0; o < 3; o++) {
        transpose_4x4(t + o * 4 * ROW_BYTES + i * 16, w + i * 4 * ROW_BYTES + o * 16)
      }
    }
    w += BLOCK_BYTES
    t += tStride
  }
}

/** Four rows of a panel, 48 bytes apart. */
// @ts-expect-error: decorator
@inline
function transpose_4x4(to: usize, from: usize): void {
  const r0 = v128.load(from)
  const r1 = v128.load(from, 48)
  const r2 = v128.load(from, 96)
  const r3 = v128.load(from, 144)
  const a = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5) // r0.0 r1.0 r0.1 r1.1
  const b = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5)
  const c = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7)
  const d = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7)
  v128.store(to, v128.shuffle<f32>(a, b, 0, 1, 4, 5))
  v128.store(to, v128.shuffle<f32>(a, b, 2, 3, 6, 7), 48)
  v128.store(to, v128.shuffle<f32>(c, d, 0, 1, 4, 5), 96)
  v128.store(to, v128.shuffle<f32>(c, d, 2, 3, 6, 7), 144)
}
