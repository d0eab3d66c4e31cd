/**
 * float32 to bfloat16: the upper half of its bits, rounded to nearest, ties to even. Layouts that matrix products in bf16
 * read. Matrices are row-major, strides in bytes.
 *
 * "In pairs" is how such products take their second operand (k, 64): rows 2p and 2p + 1 lie together, column by column,
 * `(k / 2, 64, 2)`, 256 bytes for each pair of rows.
 *
 * A block is 64 columns wide; a dense one is what such products overwrite, rows of 256 bytes. What becomes of it, the last
 * functions do at once: code for a CPU that stands in for them reads and writes memory once.
 */
import { bias_relu, bias_relu_dropout, relu_backward } from './elementwise'
import { adam } from './optimizers'
import { BF16_COLUMNS, BLOCK_ROW_BYTES as ROW, PAIR_BYTES as PAIR } from '../../layouts'

const PAIR_BYTES: usize = PAIR
const BLOCK_ROW_BYTES: usize = ROW

/** Vectors of four in a row of a block, and groups of eight. */
const BLOCK_VECTORS: i32 = BF16_COLUMNS / 4
const BLOCK_OCTETS: i32 = BF16_COLUMNS / 8

/** Four numbers; bf16 is the upper half of each lane. A NaN stays one. */
@inline
function rounded(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1))
  const nearest = i32x4.add(i32x4.add(x, odd), i32x4.splat(0x7fff))
  return v128.bitselect(i32x4.splat(0x7fc00000), nearest, f32x4.ne(x, x))
}

/** Lanes of a below those of b: 16 bits of each in one of 32. */
@inline
function paired(a: v128, b: v128): v128 {
  return v128.or(v128.and(rounded(b), i32x4.splat(0xffff0000)), i32x4.shr_u(rounded(a), 16))
}

/** Eight numbers in a row. */
@inline
function packed(from: usize): v128 {
  return v128.shuffle<i16>(
    rounded(v128.load(from)), rounded(v128.load(from, 16)), 1, 3, 5, 7, 9, 11, 13, 15,
  )
}

/** to (rows, 8 · octets) bf16 = from. Overwrites to. */
export function bf16_rows(
  to: usize, toStride: usize, from: usize, fromStride: usize, rows: i32, octets: i32,
): void {
  for (; rows > 0; rows--) {
    for (let j: usize = 0; j < <usize>octets; j++) v128.store(to + (j << 4), packed(from + (j << 5)))
    to += toStride
    from += fromStride
  }
}

/** to, in pairs of rows, = from (rows, 64); zeros up to row `padded`, which is even. Overwrites to. */
export function bf16_pairs(to: usize, from: usize, fromStride: usize, rows: i32, padded: i32): void {
  const zero = i32x4.splat(0)
  for (let r = 0; r < padded; r += 2) {
    if (r + 1 < rows) {
      const next = from + fromStride
      for (let j: usize = 0; j < PAIR_BYTES; j += 16) v128.store(to + j, paired(v128.load(from + j), v128.load(next + j)))
    } else if (r < rows) {
      for (let j: usize = 0; j < PAIR_BYTES; j += 16) v128.store(to + j, paired(v128.load(from + j), zero))
    } else {
      memory.fill(to, 0, PAIR_BYTES)
    }
    from += fromStride << 1
    to += PAIR_BYTES
  }
}

/** Four numbers of a row, or zeros past the last one. */
@inline
function rowOr0(from: usize, stride: usize, r: i32, rows: i32): v128 {
  return r < rows ? v128.load(from + <usize>r * stride) : i32x4.splat(0)
}

/** Stores lane i of a, b, c, d as a row of four at to + i · stride. */
@inline
function storeTransposed(to: usize, stride: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5)
  const ab2 = v128.shuffle<i32>(a, b, 2, 6, 3, 7)
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5)
  const cd2 = v128.shuffle<i32>(c, d, 2, 6, 3, 7)
  v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2))
  v128.store(to + stride, v128.shuffle<i64>(ab, cd, 1, 3))
  v128.store(to + (stride << 1), v128.shuffle<i64>(ab2, cd2, 0, 2))
  v128.store(to + stride * 3, v128.shuffle<i64>(ab2, cd2, 1, 3))
}

/**
 * to (4 · vectors, padded) bf16 = from (rows, 4 · vectors) transposed, zeros past the last row; `padded` is a multiple of
 * 8. Overwrites to.
 */
export function bf16_columns(
  to: usize, stride: usize, from: usize, fromStride: usize, rows: i32, vectors: i32, padded: i32,
): void {
  for (let v: usize = 0; v < <usize>vectors; v++) {
    const column = from + (v << 4)
    const out = to + (v << 2) * stride
    for (let r = 0; r < padded; r += 8) {
      storeTransposed(
        out + (<usize>r << 1), stride,
        paired(rowOr0(column, fromStride, r, rows), rowOr0(column, fromStride, r + 1, rows)),
        paired(rowOr0(column, fromStride, r + 2, rows), rowOr0(column, fromStride, r + 3, rows)),
        paired(rowOr0(column, fromStride, r + 4, rows), rowOr0(column, fromStride, r + 5, rows)),
        paired(rowOr0(column, fromStride, r + 6, rows), rowOr0(column, fromStride, r + 7, rows)),
      )
    }
  }
}

/**
 * to, in pairs of the columns of from (rows, 2 · pairs), whose rows become columns; up to 64 of them, `pairs` a multiple
 * of 4. Overwrites the columns of to up to the next multiple of four, with zeros past the last row.
 */
export function bf16_column_pairs(to: usize, from: usize, fromStride: usize, rows: i32, pairs: i32): void {
  for (let r = 0; r < rows; r += 4) {
    const out = to + (<usize>r << 2)
    for (let p: usize = 0; p < <usize>pairs; p += 4) {
      const at = from + (p << 3)
      storeTransposed(
        out + p * PAIR_BYTES, PAIR_BYTES,
        packed(at),
        r + 1 < rows ? packed(at + fromStride) : i32x4.splat(0),
        r + 2 < rows ? packed(at + (fromStride << 1)) : i32x4.splat(0),
        r + 3 < rows ? packed(at + fromStride * 3) : i32x4.splat(0),
      )
    }
    from += fromStride << 2
  }
}

/** Copies rows of this many bytes. */
export function copy_rows(
  to: usize, toStride: usize, from: usize, fromStride: usize, rows: i32, bytes: usize,
): void {
  for (; rows > 0; rows--) {
    memory.copy(to, from, bytes)
    to += toStride
    from += fromStride
  }
}

/** z = a dense 64-column block, in place of what was there. */
@inline
function placed(z: usize, zRow: usize, block: usize, rows: i32): void {
  copy_rows(z, zRow, block, BLOCK_ROW_BYTES, rows, BLOCK_ROW_BYTES)
}

/**
 * z = relu(block + bias), and that in bf16 at `to`. `ahead` is read soon, `aheadRow` bytes of it for each row: a hint.
 * Returns 1 if a block + bias was not finite.
 */
export function bf16_forward(
  z: usize, zRow: usize, block: usize, rows: i32, bias: usize, to: usize, toStride: usize, ahead: usize, aheadRow: usize,
): i32 {
  placed(z, zRow, block, rows)
  const bad = bias_relu(z, 0, zRow, rows, 1, BLOCK_VECTORS, bias)
  bf16_rows(to, toStride, z, zRow, rows, BLOCK_OCTETS)
  return bad
}

/** bf16_forward with dropout, as in bias_relu_dropout. */
export function bf16_forward_dropout(
  z: usize, zRow: usize, block: usize, rows: i32, bias: usize, to: usize, toStride: usize, ahead: usize, aheadRow: usize,
  first: u32, samples: usize, scratch: usize, k0: u32, k1: u32, layer: u32, epoch: u32, threshold: u32, scale: f32,
): i32 {
  placed(z, zRow, block, rows)
  const bad = bias_relu_dropout(
    z, 0, zRow, rows, 1, BLOCK_VECTORS, first, bias, samples, scratch, k0, k1, layer, epoch, threshold, scale,
  )
  bf16_rows(to, toStride, z, zRow, rows, BLOCK_OCTETS)
  return bad
}

/**
 * dx = a > 0 ? block · scale : 0, and that in bf16 at `to`, and in pairs of rows, zeros up to row `padded`. Returns 1 if a
 * result is not finite.
 */
export function bf16_backward(
  dx: usize, dxRow: usize, block: usize, rows: i32, a: usize, aRow: usize, to: usize, toStride: usize, pairs: usize,
  padded: i32, ahead: usize, aheadRow: usize, scale: f32,
): i32 {
  placed(dx, dxRow, block, rows)
  const bad = relu_backward(dx, 0, dxRow, a, 0, aRow, rows, 1, BLOCK_VECTORS, scale)
  bf16_rows(to, toStride, dx, dxRow, rows, BLOCK_OCTETS)
  bf16_pairs(pairs, dx, dxRow, rows, padded)
  return bad
}

/**
 * Layouts that products read, of rows of a dense 64-column block of weights: in pairs of rows, zeros up to row `padded`; and, unless `transposed`
 * is 0, in pairs of columns, the next 64 rows `transposedBlock` bytes on.
 */
export function bf16_weights(
  w: usize, rows: i32, padded: i32, pairs: usize, transposed: usize, transposedBlock: usize, transposedPairs: i32,
): void {
  bf16_pairs(pairs, w, BLOCK_ROW_BYTES, rows, padded)
  if (transposed == 0) return
  for (; rows > 0; rows -= 64) {
    bf16_column_pairs(transposed, w, BLOCK_ROW_BYTES, min(rows, 64), transposedPairs)
    w += 64 * BLOCK_ROW_BYTES
    transposed += transposedBlock
  }
}

/** adam over rows of a dense 64-column block of weights, then bf16_weights. */
export function bf16_adam(
  w: usize, rows: i32, padded: i32, pairs: usize, transposed: usize, transposedBlock: usize, transposedPairs: i32,
  m: usize, v: usize, g: usize, stepSize: f32, beta1: f32, oneMinusBeta1: f32, beta2: f32, oneMinusBeta2: f32, invBiasCorrection2: f32,
  epsilon: f32, decay: f32, weightDecay: f32,
): void {
  adam(w, m, v, g, rows << 6, stepSize, beta1, oneMinusBeta1, beta2, oneMinusBeta2, invBiasCorrection2, epsilon, decay, weightDecay)
  bf16_weights(w, rows, padded, pairs, transposed, transposedBlock, transposedPairs)
}
