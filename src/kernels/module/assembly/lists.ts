/**
 * Index lists of non-zeros, by which the micro-kernels multiply: the values of a that are not zero with their offsets, in k order. A list stands for a line
 * of a: a row for `gemm`, a column for `weight_gradient`.
 *
 * Lists lie one after another, and `spans` holds where: the number of triples, where the first list begins, then the end
 * of each. Single lists have entries of one value and a byte offset into b, 8 bytes. Triples, which come first, stand for
 * three lines each and have entries of three values and an offset, 16 bytes: they are for lines that have hardly a zero,
 * where the micro-kernel of three rows is a tenth faster.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.
import { PANEL, ROW_BYTES, BLOCK_BYTES } from './layout'
import { SINGLE_BYTES, TRIPLE_BYTES } from './micro-kernels'

/** The number of triples, and where the first list begins. */
// @ts-ignore: decorator
@inline export const SPANS_HEAD: usize = 8
/**
 * A line, or panel of columns, with fewer values than one in this many that are not zero: behind it zeros are looked for before
 * entries are written. Of one-hot features hardly any value is not zero; of ReLU's outputs, where looking would not pay, a third.
 */
// @ts-ignore: decorator
@inline const SPARSE = 16
/** Eighths of values that are nonzero from which triples pay. */
// @ts-ignore: decorator
@inline const DENSE_EIGHTHS = 7

/**
 * Lists of `rows` rows over kc panels of a. Overwrites spans, and from `to` on up to rows · kc · 12 entries of 8 bytes.
 * Returns the end of the lists.
 */
export function listRows(to: usize, spans: usize, a: usize, aStride: usize, rows: i32, kc: i32): usize {
  const end = appendRows(to, spans, a, aStride, rows, kc, 0)
  return isDense(to, end, rows * kc * PANEL) ? appendRows(to, spans, a, aStride, rows, kc, rows / 3) : end
}

/**
 * Lists of the columns of iPanels panels of x, over `rows` rows. Overwrites spans, and from `to` on up to
 * rows · iPanels · 12 entries of 8 bytes. Returns the end of the lists.
 */
export function list_columns(to: usize, spans: usize, x: usize, xStride: usize, rows: i32, iPanels: i32): usize {
  const end = appendColumns(to, spans, x, xStride, rows, iPanels, false)
  return isDense(to, end, rows * iPanels * PANEL) ? appendColumns(to, spans, x, xStride, rows, iPanels, true) : end
}

// @ts-ignore: decorator
@inline
function isDense(begin: usize, end: usize, cells: i32): bool {
  return end - begin > <usize>cells * (SINGLE_BYTES / 8) * DENSE_EIGHTHS
}

function appendRows(
  to: usize, spans: usize, a: usize, aStride: usize, rows: i32, kc: i32, triples: i32,
): usize {
  store<i32>(spans, triples)
  store<u32>(spans, to, 4)
  spans += SPANS_HEAD
  rows -= 3 * triples
  for (; triples > 0; triples--) {
    for (let p = 0; p < kc; p++) {
      to = appendTriple(to, a + <usize>p * aStride, 4, ROW_BYTES, PANEL, <u32>p * <u32>BLOCK_BYTES)
    }
    store<u32>(spans, to)
    spans += 4
    a += 3 * ROW_BYTES
  }
  const few = <usize>(kc * PANEL) * SINGLE_BYTES / SPARSE
  let sparse = false
  for (; rows > 0; rows--) {
    const begin = to
    for (let p = 0; p < kc; p++) {
      const from = a + <usize>p * aStride
      if (sparse && isZero(v128.or(v128.or(v128.load(from), v128.load(from, 16)), v128.load(from, 32)))) continue
      to = appendLine(to, from, 4, PANEL, <u32>p * <u32>BLOCK_BYTES)
    }
    sparse = to - begin < few
    store<u32>(spans, to)
    spans += 4
    a += ROW_BYTES
  }
  return to
}

/** True if every value is 0 or -0. */
// @ts-ignore: decorator
@inline
function isZero(bits: v128): bool {
  return !v128.any_true(v128.and(bits, i32x4.splat(0x7fffffff)))
}

/** Columns of a panel in which some row is not zero, as bits. */
function columnsInUse(x: usize, rows: i32): i32 {
  let a = i32x4.splat(0)
  let b = i32x4.splat(0)
  let c = i32x4.splat(0)
  for (; rows > 0; rows--) {
    a = v128.or(a, v128.load(x))
    b = v128.or(b, v128.load(x, 16))
    c = v128.or(c, v128.load(x, 32))
    x += ROW_BYTES
  }
  return inUse(a) | (inUse(b) << 4) | (inUse(c) << 8)
}

// @ts-ignore: decorator
@inline
function inUse(bits: v128): i32 {
  return i32x4.bitmask(i32x4.ne(v128.and(bits, i32x4.splat(0x7fffffff)), i32x4.splat(0)))
}

function appendColumns(
  to: usize, spans: usize, x: usize, xStride: usize, rows: i32, iPanels: i32, dense: bool,
): usize {
  store<i32>(spans, dense ? iPanels * (PANEL / 3) : 0)
  store<u32>(spans, to, 4)
  spans += SPANS_HEAD
  const few = <usize>(rows * PANEL) * SINGLE_BYTES / SPARSE
  let sparse = false
  for (; iPanels > 0; iPanels--) {
    const begin = to
    const columns = sparse ? columnsInUse(x, rows) : -1
    for (let i: usize = 0; i < ROW_BYTES; i += 4) {
      if (((columns >> (<i32>i >> 2)) & 1) == 0) {
        // Nothing to list.
      } else if (dense) {
        to = appendTriple(to, x + i, ROW_BYTES, 4, rows, 0)
        i += 8
      } else {
        to = appendLine(to, x + i, ROW_BYTES, rows, 0)
      }
      store<u32>(spans, to)
      spans += 4
    }
    sparse = !dense && to - begin < few
    x += xStride
  }
  return to
}

/** Entries of n values, `step` bytes apart, for rows of b from `offset` on. Returns the list's end. */
// @ts-ignore: decorator
@inline
export function appendLine(to: usize, from: usize, step: usize, n: i32, offset: u32): usize {
  for (; n >= 4; n -= 4) {
    to = append(to, load<u32>(from), offset)
    to = append(to, load<u32>(from + step), offset + 1 * <u32>ROW_BYTES)
    to = append(to, load<u32>(from + 2 * step), offset + 2 * <u32>ROW_BYTES)
    to = append(to, load<u32>(from + 3 * step), offset + 3 * <u32>ROW_BYTES)
    offset += 4 * <u32>ROW_BYTES
    from += 4 * step
  }
  for (; n > 0; n--) {
    to = append(to, load<u32>(from), offset)
    offset += <u32>ROW_BYTES
    from += step
  }
  return to
}

/** Writes an entry; it stays only if the value, of which these are the bits, is not zero. Returns the list's end. */
// @ts-ignore: decorator
@inline
function append(to: usize, x: u32, offset: u32): usize {
  store<u32>(to, x)
  store<u32>(to, offset, 4)
  return to + (<usize>((x & 0x7fffffff) != 0) << 3)
}

/** Appends an entry for three lines, `apart` bytes from each other; an entry stays if one of its values is not zero. */
// @ts-ignore: decorator
@inline
function appendTriple(to: usize, from: usize, step: usize, apart: usize, n: i32, offset: u32): usize {
  for (; n > 0; n--) {
    const x0 = load<u32>(from)
    const x1 = load<u32>(from + apart)
    const x2 = load<u32>(from + 2 * apart)
    store<u32>(to, x0)
    store<u32>(to, x1, 4)
    store<u32>(to, x2, 8)
    store<u32>(to, offset, 12)
    to += <usize>(((x0 | x1 | x2) & 0x7fffffff) != 0) << 4
    offset += <u32>ROW_BYTES
    from += step
  }
  return to
}
