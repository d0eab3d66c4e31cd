/** The three matrix products of a step. Preconditions are checked by the binding, not here. */
import { BLOCK_BYTES, PANEL, ROW_BYTES } from './layout'
import { ENTRY_BYTES, micro_f32_1x12, micro_f32_2x12, micro_f32_3x12 } from './micro-kernels'

/** Panels of k in one pass: 20 x 12 x 48 bytes of weights stay in the first-level cache. */
// @ts-ignore: decorator
@inline const K_BLOCK = 20
/** Panels of k whose lists are made at a time: for 64 rows they take up to 300 KB and stay in the second-level cache. */
// @ts-ignore: decorator
@inline const K_LISTED = 80
/** Groups of three rows in one pass, so that the lists of a wide layer stay near. */
// @ts-ignore: decorator
@inline const GROUPS = 32
/** Rows of the micro-kernel. */
// @ts-ignore: decorator
@inline const MICRO_ROWS = 3

/**
 * c (rows, nPanels·12) = a (rows, kPanels·12) · b. Overwrites c. b is packed: panel n, then k, then 12 columns.
 * Serves x·W with the weights, and dz·Wᵀ with their transposed form. `scratch` takes K_LISTED · 32 · (12 · 16 + 4) bytes:
 * the lists of the micro-kernel, then their lengths.
 *
 * Panels of columns are the outer loop: the weights, which come from far away, are then read as one stream, and a panel
 * of c stays in the first-level cache. The other order ran at 0.75 to 0.9 of this speed.
 */
export function gemm(
  c: usize, cStride: usize, a: usize, aStride: usize, b: usize, rows: i32, kPanels: i32, nPanels: i32, scratch: usize,
): void {
  const counts = scratch + <usize>(min(K_LISTED, kPanels) * GROUPS * PANEL) * ENTRY_BYTES
  for (let row = 0; row < rows; row += GROUPS * MICRO_ROWS) {
    const offset = <usize>row * ROW_BYTES
    const block = min(GROUPS * MICRO_ROWS, rows - row)
    for (let k0 = 0; k0 < kPanels; k0 += K_LISTED) {
      const end = min(k0 + K_LISTED, kPanels)
      for (let k = k0; k < end; k += K_BLOCK) {
        listRows(scratch, counts, a + offset + <usize>k * aStride, aStride, block, k - k0, min(K_BLOCK, end - k))
      }
      for (let n = 0; n < nPanels; n++) {
        for (let k = k0; k < end; k += K_BLOCK) {
          const bk = b + (<usize>n * kPanels + k) * BLOCK_BYTES
          multiply(c + offset + <usize>n * cStride, scratch, counts, bk, block, k - k0, min(K_BLOCK, end - k), k > 0)
        }
      }
    }
  }
}

/** Where the list of a group lies, for the pass that begins at panel k and has kc panels. */
// @ts-ignore: decorator
@inline
function listAt(lists: usize, group: i32, k: i32, kc: i32): usize {
  return lists + <usize>((k * GROUPS + group * kc) * PANEL) * ENTRY_BYTES
}

// @ts-ignore: decorator
@inline
function countAt(counts: usize, group: i32, k: i32): usize {
  return counts + (<usize>((k / K_BLOCK) * GROUPS + group) << 2)
}

/** One panel of c against listed rows. */
// @ts-ignore: decorator
@inline
function multiply(
  c: usize, lists: usize, counts: usize, b: usize, rows: i32, k: i32, kc: i32, accumulate: bool,
): void {
  for (let group = 0; rows > 0; group++) {
    const list = listAt(lists, group, k, kc)
    const count = load<i32>(countAt(counts, group, k))
    if (rows >= MICRO_ROWS) micro_f32_3x12(c, list, count, b, accumulate)
    else if (rows == 2) micro_f32_2x12(c, list, count, b, accumulate)
    else micro_f32_1x12(c, list, count, b, accumulate)
    c += MICRO_ROWS * ROW_BYTES
    rows -= MICRO_ROWS
  }
}

/** Lists of three rows each, over kc panels of a; a last group of fewer rows has zeros in the place of the others. */
function listRows(lists: usize, counts: usize, a: usize, aStride: usize, rows: i32, k: i32, kc: i32): void {
  for (let group = 0; rows > 0; group++) {
    const list = listAt(lists, group, k, kc)
    let to = list
    let from = a
    let offset: u32 = 0
    for (let p = 0; p < kc; p++) {
      for (let i: usize = 0; i < ROW_BYTES; i += 4) {
        const x0 = load<u32>(from + i)
        const x1 = rows > 1 ? load<u32>(from + i, 48) : 0
        const x2 = rows > 2 ? load<u32>(from + i, 96) : 0
        to = append(to, x0, x1, x2, offset)
        offset += <u32>ROW_BYTES
      }
      from += aStride
    }
    store<i32>(countAt(counts, group, k), <i32>((to - list) / ENTRY_BYTES))
    a += MICRO_ROWS * ROW_BYTES
    rows -= MICRO_ROWS
  }
}

/** Writes an entry; it stays only if a value, of which these are the bits, is not zero. Returns the list's end. */
// @ts-ignore: decorator
@inline
function append(to: usize, x0: u32, x1: u32, x2: u32, offset: u32): usize {
  store<u32>(to, x0)
  store<u32>(to, x1, 4)
  store<u32>(to, x2, 8)
  store<u32>(to, offset, 12)
  return to + (<usize>(((x0 | x1 | x2) & 0x7fffffff) != 0) << 4)
}

/**
 * Lists for `weight_gradient`: of iPanels panels of x, four groups of three columns each, over `rows` rows. Overwrites
 * lists (iPanels·4 of `rows` entries) and counts.
 */
export function list_columns(lists: usize, counts: usize, x: usize, xStride: usize, rows: i32, iPanels: i32): void {
  for (let p = 0; p < iPanels; p++) {
    for (let i: usize = 0; i < ROW_BYTES; i += 4 * MICRO_ROWS) {
      let to = lists
      let from = x + i
      let offset: u32 = 0
      for (let r = rows; r > 0; r--) {
        to = append(to, load<u32>(from), load<u32>(from, 4), load<u32>(from, 8), offset)
        offset += <u32>ROW_BYTES
        from += ROW_BYTES
      }
      store<i32>(counts, <i32>((to - lists) / ENTRY_BYTES))
      counts += 4
      lists += <usize>rows * ENTRY_BYTES
    }
    x += xStride
  }
}

/**
 * g (iPanels·12, 12) = xᵀ · dz for the rows of one panel dz (rows, 12) and the lists of iPanels panels of x. Overwrites
 * g, or adds to it: then the sum goes on in row order from what is there.
 */
export function weight_gradient(
  g: usize, lists: usize, counts: usize, dz: usize, rows: i32, iPanels: i32, accumulate: bool,
): void {
  for (let group = iPanels * (PANEL / MICRO_ROWS); group > 0; group--) {
    micro_f32_3x12(g, lists, load<i32>(counts), dz, accumulate)
    g += MICRO_ROWS * ROW_BYTES
    lists += <usize>rows * ENTRY_BYTES
    counts += 4
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
