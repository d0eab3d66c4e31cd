/**
 * Pooling of feature maps, one sample at a time, and gathering of patches for native products. Maps are row-major: positions lie `…Pos`
 * bytes apart, each with `vectors` vectors of four channels. Windows do not overlap, and lie inside.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.

/** True in lanes where y is larger than the largest so far, or NaN. The first of several largest stays. */
// @ts-ignore: decorator
@inline
function wins(y: v128, most: v128): v128 {
  return v128.or(f32x4.gt(y, most), v128.and(f32x4.ne(y, y), f32x4.eq(most, most)))
}

/** out (outHeight · outWidth, channels): the largest value of each window, or with `average` the mean. Overwrites out. */
export function pool(
  out: usize, outPos: usize, outHeight: i32, outWidth: i32, x: usize, xPos: usize, width: i32, vectors: i32, size: i32,
  average: bool,
): void {
  const share = f32x4.splat(<f32>(1.0 / <f64>(size * size)))
  const xRow = <usize>width * xPos
  for (let r = 0; r < outHeight; r++) {
    for (let c = 0; c < outWidth; c++) {
      const corner = x + <usize>(r * size) * xRow + <usize>(c * size) * xPos
      for (let j: usize = 0; j < <usize>vectors << 4; j += 16) {
        let at = corner + j
        let value = v128.load(at)
        if (average) value = f32x4.splat(0)
        for (let ky = 0; ky < size; ky++) {
          let from = at
          for (let kx = 0; kx < size; kx++) {
            const y = v128.load(from)
            value = average ? f32x4.add(value, y) : v128.bitselect(y, value, wins(y, value))
            from += xPos
          }
          at += xRow
        }
        v128.store(out + j, average ? f32x4.mul(value, share) : value)
      }
      out += outPos
    }
  }
}

/**
 * dx (height · width, channels): dz of each window to the first of its largest values of x, 0 to the others; with `average` its share to
 * each. Overwrites dx.
 */
export function pool_backward(
  dx: usize, dxPos: usize, height: i32, width: i32, dz: usize, dzPos: usize, outHeight: i32, outWidth: i32, x: usize,
  xPos: usize, vectors: i32, size: i32, average: bool,
): void {
  const share = f32x4.splat(<f32>(1.0 / <f64>(size * size)))
  const bytes = <usize>vectors << 4
  for (let r = 0; r < height; r++) {
    for (let c = 0; c < width; c++) {
      if (r >= outHeight * size || c >= outWidth * size) memory.fill(dx + <usize>(r * width + c) * dxPos, 0, bytes)
    }
  }
  for (let r = 0; r < outHeight; r++) {
    for (let c = 0; c < outWidth; c++) {
      const corner = <usize>(r * size * width + c * size)
      for (let j: usize = 0; j < bytes; j += 16) {
        const delta = v128.load(dz + j)
        if (average) {
          const part = f32x4.mul(delta, share)
          for (let ky = 0; ky < size; ky++) {
            for (let kx = 0; kx < size; kx++) {
              v128.store(dx + (corner + <usize>(ky * width + kx)) * dxPos + j, part)
            }
          }
          continue
        }
        // The index of the largest value, then delta at that index.
        let most = v128.load(x + corner * xPos + j)
        let largest = i32x4.splat(0)
        for (let ky = 0; ky < size; ky++) {
          for (let kx = 0; kx < size; kx++) {
            const y = v128.load(x + (corner + <usize>(ky * width + kx)) * xPos + j)
            const better = wins(y, most)
            most = v128.bitselect(y, most, better)
            largest = v128.bitselect(i32x4.splat(ky * size + kx), largest, better)
          }
        }
        for (let ky = 0; ky < size; ky++) {
          for (let kx = 0; kx < size; kx++) {
            const mine = i32x4.eq(largest, i32x4.splat(ky * size + kx))
            v128.store(dx + (corner + <usize>(ky * width + kx)) * dxPos + j, v128.and(delta, mine))
          }
        }
      }
      dz += dzPos
    }
  }
}

/** Copies n floats. */
// @ts-ignore: decorator
@inline
function copyFloats(to: usize, from: usize, n: i32): void {
  for (; n >= 16; n -= 16) {
    v128.store(to, v128.load(from))
    v128.store(to, v128.load(from, 16), 16)
    v128.store(to, v128.load(from, 32), 32)
    v128.store(to, v128.load(from, 48), 48)
    to += 64
    from += 64
  }
  for (; n >= 4; n -= 4) {
    v128.store(to, v128.load(from))
    to += 16
    from += 16
  }
  for (; n > 0; n--) {
    store<f32>(to, load<f32>(from))
    to += 4
    from += 4
  }
}

// @ts-ignore: decorator
@inline
function zeroFloats(to: usize, n: i32): void {
  for (; n >= 4; n -= 4) {
    v128.store(to, f32x4.splat(0))
    to += 16
  }
  for (; n > 0; n--) {
    store<f32>(to, 0)
    to += 4
  }
}

/**
 * Patches under a window, of positions [first, end) of maps `outWidth` wide, as rows of size · size · channels values, toRow bytes apart.
 * Overwrites them, not the padding behind. `backward`: x are deltas of outputs, and the positions those of inputs (see `convolve`).
 */
export function gather_patches(
  to: usize, toRow: usize, x: usize, xPos: usize, height: i32, width: i32, channels: i32, outWidth: i32, size: i32,
  stride: i32, top: i32, left: i32, first: i32, end: i32, backward: bool,
): void {
  const pixel = <usize>channels << 2
  const runs = !backward && xPos == pixel
  const run = size * channels
  // Whole vectors are copied where there is room: the excess is overwritten by the next run, or lies in the padding.
  const mayPass = toRow >= <usize>(size * run << 2) + 12
  let row = first / outWidth
  let column = first % outWidth
  for (let position = first; position < end; position++) {
    let at = to
    for (let ky = 0; ky < size; ky++) {
      const ty = backward ? row + top - ky : row * stride - top + ky
      const r = backward ? ty / stride : ty
      if (ty < 0 || r >= height || (backward && r * stride != ty)) {
        zeroFloats(at, size * channels)
        at += <usize>size * pixel
        continue
      }
      const from = x + <usize>(r * width) * xPos
      if (runs) {
        const c = column * stride - left
        if (mayPass && c >= 0 && c + size <= width) {
          const first = from + <usize>c * xPos
          if (run <= 4) v128.store(at, v128.load(first))
          else {
            copyFloats(at, first, run & ~3)
            if ((run & 3) != 0) {
              const rest = <usize>(run & ~3) << 2
              v128.store(at + rest, v128.load(first + rest))
            }
          }
          at += <usize>size * pixel
          continue
        }
        const before = max(0, -c)
        const inside = min(size, width - c) - before
        zeroFloats(at, before * channels)
        if (inside > 0) copyFloats(at + <usize>before * pixel, from + <usize>(c + before) * xPos, inside * channels)
        const after = before + max(0, inside)
        zeroFloats(at + <usize>after * pixel, (size - after) * channels)
        at += <usize>size * pixel
        continue
      }
      for (let kx = 0; kx < size; kx++) {
        const tx = backward ? column + left - kx : column * stride - left + kx
        const c = backward ? tx / stride : tx
        if (tx < 0 || c >= width || (backward && c * stride != tx)) zeroFloats(at, channels)
        else copyFloats(at, from + <usize>c * xPos, channels)
        at += pixel
      }
    }
    to += toRow
    if (++column == outWidth) {
      column = 0
      row++
    }
  }
}

/** to (rows, cols) = from (cols, rows), transposed, or plus that. Rows lie `…Stride` bytes apart. */
export function transpose_rows(
  to: usize, toStride: usize, from: usize, fromStride: usize, rows: i32, cols: i32, accumulate: bool,
): void {
  let r = 0
  for (; r + 4 <= rows; r += 4) {
    let c = 0
    for (; c + 4 <= cols; c += 4) {
      const at = from + <usize>c * fromStride + (<usize>r << 2)
      const place = to + <usize>r * toStride + (<usize>c << 2)
      const a = v128.load(at)
      const b = v128.load(at + fromStride)
      const d = v128.load(at + 2 * fromStride)
      const e = v128.load(at + 3 * fromStride)
      const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5)
      const ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7)
      const de0 = i32x4.shuffle(d, e, 0, 4, 1, 5)
      const de1 = i32x4.shuffle(d, e, 2, 6, 3, 7)
      put4(place, i64x2.shuffle(ab0, de0, 0, 2), accumulate)
      put4(place + toStride, i64x2.shuffle(ab0, de0, 1, 3), accumulate)
      put4(place + 2 * toStride, i64x2.shuffle(ab1, de1, 0, 2), accumulate)
      put4(place + 3 * toStride, i64x2.shuffle(ab1, de1, 1, 3), accumulate)
    }
    for (let i = r; i < r + 4; i++) {
      for (let j = c; j < cols; j++) put1(to, toStride, from, fromStride, i, j, accumulate)
    }
  }
  for (; r < rows; r++) {
    for (let c = 0; c < cols; c++) put1(to, toStride, from, fromStride, r, c, accumulate)
  }
}

// @ts-ignore: decorator
@inline
function put4(to: usize, x: v128, accumulate: bool): void {
  v128.store(to, accumulate ? f32x4.add(v128.load(to), x) : x)
}

// @ts-ignore: decorator
@inline
function put1(to: usize, toStride: usize, from: usize, fromStride: usize, r: i32, c: i32, accumulate: bool): void {
  const place = to + <usize>r * toStride + (<usize>c << 2)
  const x = load<f32>(from + <usize>c * fromStride + (<usize>r << 2))
  store<f32>(place, accumulate ? load<f32>(place) + x : x)
}
