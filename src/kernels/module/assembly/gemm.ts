/** The three matrix products of a step. Preconditions are checked by the binding, not here. */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.
import { BLOCK_BYTES, PANEL, ROW_BYTES } from './layout'
import { listRows, SPANS_HEAD } from './lists'
import { micro_f32_1x12, micro_f32_1x24, micro_f32_1x36, micro_f32_1x48, micro_f32_3x12 } from './micro-kernels'

/**
 * Panels of k in one pass: 10 x 12 x 192 bytes of weights stay in the first-level cache. With 5, the calls of the
 * micro-kernel are too short, with 20 and 40 a step took 5 % and 11 % longer.
 */
// @ts-ignore: decorator
@inline const K_BLOCK = 10
/** Panels of k whose lists are made at a time: for 128 rows they take up to 490 KB, with zeros a third of that or less. */
// @ts-ignore: decorator
@inline const K_LISTED = 40
/** Rows in one pass: the more, the less often weights come from far away (64: a sixth slower at a fifth of values not zero). */
// @ts-ignore: decorator
@inline const ROWS = 128
/** Panels of columns that the micro-kernel takes at once. */
// @ts-ignore: decorator
@inline const WIDE = 4
/** Spans of one pass over K_BLOCK. */
// @ts-ignore: decorator
@inline const SPANS_BYTES: usize = SPANS_HEAD + ROWS * 4

/**
 * c (rows, nPanels·12) = a (rows, kPanels·12) · b. Overwrites c. b is packed: panel n, then k, then 12 columns.
 * Serves x·W with the weights, and dz·Wᵀ with their transposed form. `scratch` takes the spans of K_LISTED / K_BLOCK
 * passes, 4 · (8 + 128 · 4) bytes, then their lists, up to min(K_LISTED, kPanels) · 12 · 128 entries.
 *
 * Panels of columns are the outer loop: the weights, which come from far away, are then read as four streams, and a few
 * panels of c stay near. With one row of lists as the outer loop they would come anew for each.
 */
export function gemm(
  c: usize, cStride: usize, a: usize, aStride: usize, b: usize, rows: i32, kPanels: i32, nPanels: i32, scratch: usize,
): void {
  const bStride = <usize>kPanels * BLOCK_BYTES
  const lists = scratch + (K_LISTED / K_BLOCK) * SPANS_BYTES
  for (let row = 0; row < rows; row += ROWS) {
    const offset = <usize>row * ROW_BYTES
    const block = min(ROWS, rows - row)
    for (let k0 = 0; k0 < kPanels; k0 += K_LISTED) {
      const end = min(k0 + K_LISTED, kPanels)
      let spans = scratch
      let to = lists
      for (let k = k0; k < end; k += K_BLOCK) {
        to = listRows(to, spans, a + offset + <usize>k * aStride, aStride, block, min(K_BLOCK, end - k))
        spans += SPANS_BYTES
      }
      for (let n = 0; n < nPanels; n += WIDE) {
        const cn = c + offset + <usize>n * cStride
        spans = scratch
        for (let k = k0; k < end; k += K_BLOCK) {
          multiply(cn, cStride, spans, block, b + (<usize>n * kPanels + k) * BLOCK_BYTES, bStride, nPanels - n, k > 0)
          spans += SPANS_BYTES
        }
      }
    }
  }
}

/** `rows` rows of up to four panels of c, each from its list; more than four panels are as four. */
function multiply(
  c: usize, cStride: usize, spans: usize, rows: i32, b: usize, bStride: usize, panels: i32, accumulate: bool,
): void {
  const triples = load<i32>(spans)
  rows -= 3 * triples
  spans += SPANS_HEAD
  let list: usize = load<u32>(spans - 4)
  for (let n = triples; n > 0; n--) {
    const end: usize = load<u32>(spans)
    for (let p = min(panels, WIDE) - 1; p >= 0; p--) {
      micro_f32_3x12(c + <usize>p * cStride, list, end, b + <usize>p * bStride, accumulate)
    }
    list = end
    spans += 4
    c += 3 * ROW_BYTES
  }
  for (; rows > 0; rows--) {
    const end: usize = load<u32>(spans)
    if (panels >= 4) micro_f32_1x48(c, cStride, list, end, b, bStride, accumulate)
    else if (panels == 3) micro_f32_1x36(c, cStride, list, end, b, bStride, accumulate)
    else if (panels == 2) micro_f32_1x24(c, cStride, list, end, b, bStride, accumulate)
    else micro_f32_1x12(c, list, end, b, accumulate)
    list = end
    spans += 4
    c += ROW_BYTES
  }
}

/**
 * g (iPanels·12, oPanels·12) = xᵀ · dz, for the rows and the iPanels panels of x that `list_columns` listed, and one to
 * four panels of dz. Overwrites g, or adds to it: then the sum continues in row order from its content.
 */
export function weight_gradient(
  g: usize, gStride: usize, spans: usize, dz: usize, dzStride: usize, iPanels: i32, oPanels: i32, accumulate: bool,
): void {
  multiply(g, gStride, spans, iPanels * PANEL, dz, dzStride, oPanels, accumulate)
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
