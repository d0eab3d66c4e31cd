/**
 * Convolutions over feature maps, one sample at a time. Maps are row-major: positions lie `…Pos` bytes apart, the channels of one next to
 * each other, padded to whole panels in what is written. Weights are packed panels (layout.ts).
 *
 * Patches are never written: of each position of the input the values that are not zero are listed once (lists.ts), with their offset in
 * a tap's rows of the weight, and the micro-kernels below go through the lists of all taps of a window, in the order of row, column,
 * channel. So every output is one chain of f32 additions in that order, and zeros cost nothing, as in gemm.ts. A list serves all taps
 * that see its position, 9 with 3 x 3.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.
import { PANEL, ROW_BYTES } from './layout'
import { appendLine } from './lists'
import { micro_f32_1x12, micro_f32_1x24, micro_f32_1x36, micro_f32_1x48, SINGLE_BYTES } from './micro-kernels'

/** A tap of a window: where the list of its position begins and ends, and the offset of its rows in the weight. */
// @ts-ignore: decorator
@inline const TAP_BYTES: usize = 12

/**
 * Bytes of weights that all positions of a band go through before the next ones: they stay in the first-level cache. 14 x 14 x 64 by 64
 * filters took 569 us a sample when each position went through all of its weights.
 */
// @ts-ignore: decorator
@inline const CACHED_BYTES: i32 = 24 * 1024

/** Lists the values of rows [first, end) of maps; `spans` gets where each position's list begins, and the end of the last. */
// @ts-ignore: decorator
@inline
function listPositions(spans: usize, lists: usize, x: usize, xPos: usize, width: i32, channels: i32, first: i32, end: i32): void {
  let from = x + <usize>(first * width) * xPos
  let to = lists
  for (let n = (end - first) * width; n > 0; n--) {
    store<u32>(spans, to)
    to = appendLine(to, from, 4, channels, 0)
    spans += 4
    from += xPos
  }
  store<u32>(spans, to)
}

/**
 * out (outHeight · outWidth, nPanels · 12) = windows of x (height · width, channels) · b. Overwrites out. b: (size · size · channels) rows
 * of nPanels panels, `bStride` bytes apart. `scratch` takes size · size taps, then the spans and lists of as many rows of x as
 * `bandRows` rows of out see.
 *
 * `backward`: x are deltas of outputs and out those of inputs, whose height and width are outHeight and outWidth; each position sums
 * over the windows that it lies in. b then has rows (size, size, filters).
 */
export function convolve(
  out: usize, outPos: usize, outHeight: i32, outWidth: i32, x: usize, xPos: usize, height: i32, width: i32, channels: i32,
  size: i32, stride: i32, top: i32, left: i32, b: usize, bStride: usize, nPanels: i32, scratch: usize, bandRows: i32,
  backward: bool,
): void {
  const taps = scratch
  const spans = taps + <usize>(size * size) * TAP_BYTES
  const tapBytes = <usize>channels * ROW_BYTES
  const tapsAtOnce = max(1, CACHED_BYTES / (channels * 4 * <i32>ROW_BYTES))
  for (let band = 0; band < outHeight; band += bandRows) {
    const bandEnd = min(band + bandRows, outHeight)
    let first: i32
    let end: i32
    if (backward) {
      // Windows that see a row begin at most size - 1 rows before it.
      first = max(0, (band + top - size + stride) / stride)
      end = min(height, (bandEnd - 1 + top) / stride + 1)
    } else {
      first = max(0, band * stride - top)
      end = min(height, (bandEnd - 1) * stride - top + size)
    }
    end = max(first, end)
    const lists = spans + <usize>((end - first) * width + 1) * 4
    listPositions(spans, lists, x, xPos, width, channels, first, end)
    for (let n = 0; n < nPanels; n += 4) {
      const panels = nPanels - n
      const bn = b + <usize>n * bStride
      for (let tap = 0; tap < size * size; tap += tapsAtOnce) {
        const tapEnd = min(tap + tapsAtOnce, size * size)
        for (let row = band; row < bandEnd; row++) {
          for (let column = 0; column < outWidth; column++) {
            let to = taps
            let ky = tap / size
            let kx = tap - ky * size
            for (let t = tap; t < tapEnd; ky++, kx = 0) {
              const rowEnd = min(t + size - kx, tapEnd)
              let r: i32
              if (backward) {
                const ty = row + top - ky
                r = ty < 0 || ty % stride != 0 ? -1 : ty / stride
              } else r = row * stride - top + ky
              if (r < first || r >= end) {
                t = rowEnd
                continue
              }
              for (; t < rowEnd; t++, kx++) {
                let c: i32
                if (backward) {
                  const tx = column + left - kx
                  if (tx < 0 || tx % stride != 0) continue
                  c = tx / stride
                } else c = column * stride - left + kx
                if (c < 0 || c >= width) continue
                const span = spans + <usize>((r - first) * width + c) * 4
                store<u32>(to, load<u32>(span))
                store<u32>(to, load<u32>(span, 4), 4)
                store<u32>(to, <u32>(<usize>t * tapBytes), 8)
                to += TAP_BYTES
              }
            }
            const c = out + <usize>(row * outWidth + column) * outPos + <usize>n * ROW_BYTES
            if (panels >= 4) taps_1x48(c, taps, to, bn, bStride, tap > 0)
            else if (panels == 3) taps_1x36(c, taps, to, bn, bStride, tap > 0)
            else if (panels == 2) taps_1x24(c, taps, to, bn, bStride, tap > 0)
            else taps_1x12(c, taps, to, bn, tap > 0)
          }
        }
      }
    }
  }
}

/**
 * g (size · size · channels rows of oPanels panels, gStride bytes apart) = patches of x, transposed, · dz, or plus that: then the sums
 * continue from g. The sum of a weight runs over the positions of x in their order.
 *
 * `padded` takes (height + size - 1, width + size - 1) rows of oPanels · 48 bytes: dz as the windows move over x, zeros elsewhere; the zeros
 * are there before. `lists` takes channels + 1 spans, then the lists of `blockRows` rows of x.
 */
export function convolution_gradient(
  g: usize, gStride: usize, x: usize, xPos: usize, height: i32, width: i32, channels: i32, dz: usize, dzPos: usize,
  outHeight: i32, outWidth: i32, size: i32, stride: i32, top: i32, left: i32, oPanels: i32, padded: usize, lists: usize,
  blockRows: i32, accumulate: bool,
): void {
  const pixel = <usize>oPanels * ROW_BYTES
  const paddedWidth = width + size - 1
  for (let r = 0; r < outHeight; r++) {
    let to = padded + <usize>((r * stride + size - 1 - top) * paddedWidth + size - 1 - left) * pixel
    let from = dz + <usize>(r * outWidth) * dzPos
    for (let c = 0; c < outWidth; c++) {
      memory.copy(to, from, pixel)
      to += <usize>stride * pixel
      from += dzPos
    }
  }
  const spans = lists
  const first = lists + <usize>(channels + 1) * 4
  for (let block = 0; block < height; block += blockRows) {
    const end = min(block + blockRows, height)
    let to = first
    for (let c = 0; c < channels; c++) {
      store<u32>(spans + (<usize>c << 2), to)
      for (let r = block; r < end; r++) {
        let from = x + <usize>(r * width) * xPos + (<usize>c << 2)
        let offset = <u32>((r - block) * paddedWidth) * <u32>pixel
        for (let n = width; n > 0; n--) {
          const value = load<u32>(from)
          store<u32>(to, value)
          store<u32>(to, offset, 4)
          to += <usize>((value & 0x7fffffff) != 0) << 3
          offset += <u32>pixel
          from += xPos
        }
      }
    }
    store<u32>(spans + (<usize>channels << 2), to)
    const adds = accumulate || block > 0
    for (let ky = 0; ky < size; ky++) {
      for (let kx = 0; kx < size; kx++) {
        const b = padded + <usize>((block + size - 1 - ky) * paddedWidth + size - 1 - kx) * pixel
        const rows = g + <usize>((ky * size + kx) * channels) * ROW_BYTES
        for (let o = 0; o < oPanels; o += 4) {
          const panels = oPanels - o
          const bo = b + <usize>o * ROW_BYTES
          let c = rows + <usize>o * gStride
          let span = spans
          let list: usize = load<u32>(span)
          for (let i = channels; i > 0; i--) {
            span += 4
            const listEnd: usize = load<u32>(span)
            if (panels >= 4) micro_f32_1x48(c, gStride, list, listEnd, bo, ROW_BYTES, adds)
            else if (panels == 3) micro_f32_1x36(c, gStride, list, listEnd, bo, ROW_BYTES, adds)
            else if (panels == 2) micro_f32_1x24(c, gStride, list, listEnd, bo, ROW_BYTES, adds)
            else micro_f32_1x12(c, list, listEnd, bo, adds)
            list = listEnd
            c += ROW_BYTES
          }
        }
      }
    }
  }
}

/**
 * Rows [inputStart, inputEnd) and columns [outputStart, outputEnd) of a weight (taps · channels, filters), in panels wStride bytes apart,
 * to the form that `convolve` takes backward: (taps · filters, channels), in panels tStride bytes apart.
 */
export function convolution_transpose(
  t: usize, tStride: usize, w: usize, wStride: usize, channels: i32, filters: i32, inputStart: i32, inputEnd: i32,
  outputStart: i32, outputEnd: i32,
): void {
  for (let i = inputStart; i < inputEnd; i++) {
    const tap = i / channels
    const c = i % channels
    let to = t + <usize>(c / PANEL) * tStride + <usize>(tap * filters + outputStart) * ROW_BYTES + (<usize>(c % PANEL) << 2)
    const from = w + <usize>i * ROW_BYTES
    for (let o = outputStart; o < outputEnd; o++) {
      store<f32>(to, load<f32>(from + <usize>(o / PANEL) * wStride + (<usize>(o % PANEL) << 2)))
      to += ROW_BYTES
    }
  }
}

/** Four panels of c, next to each other: the sum over the lists of some taps, as micro_f32_1x48 sums one; or c plus that. */
function taps_1x48(c: usize, taps: usize, tapsEnd: usize, b: usize, bStride: usize, accumulate: bool): void {
  let c0 = accumulate ? v128.load(c) : f32x4.splat(0)
  let c1 = accumulate ? v128.load(c, 16) : f32x4.splat(0)
  let c2 = accumulate ? v128.load(c, 32) : f32x4.splat(0)
  let c3 = accumulate ? v128.load(c, 48) : f32x4.splat(0)
  let c4 = accumulate ? v128.load(c, 64) : f32x4.splat(0)
  let c5 = accumulate ? v128.load(c, 80) : f32x4.splat(0)
  let c6 = accumulate ? v128.load(c, 96) : f32x4.splat(0)
  let c7 = accumulate ? v128.load(c, 112) : f32x4.splat(0)
  let c8 = accumulate ? v128.load(c, 128) : f32x4.splat(0)
  let c9 = accumulate ? v128.load(c, 144) : f32x4.splat(0)
  let ca = accumulate ? v128.load(c, 160) : f32x4.splat(0)
  let cb = accumulate ? v128.load(c, 176) : f32x4.splat(0)
  for (; taps < tapsEnd; taps += TAP_BYTES) {
    const end: usize = load<u32>(taps, 4)
    const b0 = b + load<u32>(taps, 8)
    const b1 = b0 + bStride
    const b2 = b1 + bStride
    const b3 = b2 + bStride
    for (let list: usize = load<u32>(taps); list < end; list += SINGLE_BYTES) {
      const offset = load<u32>(list, 4)
      const a = v128.load32_splat(list)
      const k0 = b0 + offset
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
  }
  v128.store(c, c0)
  v128.store(c, c1, 16)
  v128.store(c, c2, 32)
  v128.store(c, c3, 48)
  v128.store(c, c4, 64)
  v128.store(c, c5, 80)
  v128.store(c, c6, 96)
  v128.store(c, c7, 112)
  v128.store(c, c8, 128)
  v128.store(c, c9, 144)
  v128.store(c, ca, 160)
  v128.store(c, cb, 176)
}

function taps_1x36(c: usize, taps: usize, tapsEnd: usize, b: usize, bStride: usize, accumulate: bool): void {
  let c0 = accumulate ? v128.load(c) : f32x4.splat(0)
  let c1 = accumulate ? v128.load(c, 16) : f32x4.splat(0)
  let c2 = accumulate ? v128.load(c, 32) : f32x4.splat(0)
  let c3 = accumulate ? v128.load(c, 48) : f32x4.splat(0)
  let c4 = accumulate ? v128.load(c, 64) : f32x4.splat(0)
  let c5 = accumulate ? v128.load(c, 80) : f32x4.splat(0)
  let c6 = accumulate ? v128.load(c, 96) : f32x4.splat(0)
  let c7 = accumulate ? v128.load(c, 112) : f32x4.splat(0)
  let c8 = accumulate ? v128.load(c, 128) : f32x4.splat(0)
  for (; taps < tapsEnd; taps += TAP_BYTES) {
    const end: usize = load<u32>(taps, 4)
    const b0 = b + load<u32>(taps, 8)
    const b1 = b0 + bStride
    const b2 = b1 + bStride
    for (let list: usize = load<u32>(taps); list < end; list += SINGLE_BYTES) {
      const offset = load<u32>(list, 4)
      const a = v128.load32_splat(list)
      const k0 = b0 + offset
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
  }
  v128.store(c, c0)
  v128.store(c, c1, 16)
  v128.store(c, c2, 32)
  v128.store(c, c3, 48)
  v128.store(c, c4, 64)
  v128.store(c, c5, 80)
  v128.store(c, c6, 96)
  v128.store(c, c7, 112)
  v128.store(c, c8, 128)
}

function taps_1x24(c: usize, taps: usize, tapsEnd: usize, b: usize, bStride: usize, accumulate: bool): void {
  let c0 = accumulate ? v128.load(c) : f32x4.splat(0)
  let c1 = accumulate ? v128.load(c, 16) : f32x4.splat(0)
  let c2 = accumulate ? v128.load(c, 32) : f32x4.splat(0)
  let c3 = accumulate ? v128.load(c, 48) : f32x4.splat(0)
  let c4 = accumulate ? v128.load(c, 64) : f32x4.splat(0)
  let c5 = accumulate ? v128.load(c, 80) : f32x4.splat(0)
  for (; taps < tapsEnd; taps += TAP_BYTES) {
    const end: usize = load<u32>(taps, 4)
    const b0 = b + load<u32>(taps, 8)
    const b1 = b0 + bStride
    for (let list: usize = load<u32>(taps); list < end; list += SINGLE_BYTES) {
      const offset = load<u32>(list, 4)
      const a = v128.load32_splat(list)
      const k0 = b0 + offset
      c0 = f32x4.add(c0, f32x4.mul(a, v128.load(k0)))
      c1 = f32x4.add(c1, f32x4.mul(a, v128.load(k0, 16)))
      c2 = f32x4.add(c2, f32x4.mul(a, v128.load(k0, 32)))
      const k1 = b1 + offset
      c3 = f32x4.add(c3, f32x4.mul(a, v128.load(k1)))
      c4 = f32x4.add(c4, f32x4.mul(a, v128.load(k1, 16)))
      c5 = f32x4.add(c5, f32x4.mul(a, v128.load(k1, 32)))
    }
  }
  v128.store(c, c0)
  v128.store(c, c1, 16)
  v128.store(c, c2, 32)
  v128.store(c, c3, 48)
  v128.store(c, c4, 64)
  v128.store(c, c5, 80)
}

function taps_1x12(c: usize, taps: usize, tapsEnd: usize, b: usize, accumulate: bool): void {
  let c0 = accumulate ? v128.load(c) : f32x4.splat(0)
  let c1 = accumulate ? v128.load(c, 16) : f32x4.splat(0)
  let c2 = accumulate ? v128.load(c, 32) : f32x4.splat(0)
  for (; taps < tapsEnd; taps += TAP_BYTES) {
    const end: usize = load<u32>(taps, 4)
    const b0 = b + load<u32>(taps, 8)
    for (let list: usize = load<u32>(taps); list < end; list += SINGLE_BYTES) {
      const a = v128.load32_splat(list)
      const k0 = b0 + load<u32>(list, 4)
      c0 = f32x4.add(c0, f32x4.mul(a, v128.load(k0)))
      c1 = f32x4.add(c1, f32x4.mul(a, v128.load(k0, 16)))
      c2 = f32x4.add(c2, f32x4.mul(a, v128.load(k0, 32)))
    }
  }
  v128.store(c, c0)
  v128.store(c, c1, 16)
  v128.store(c, c2, 32)
}
