/**
 * Convolutions in machine code (x64/convolutions.ts): some rows of a picture are copied into the thread's scratch, with a border of zeros,
 * where they stay in the second-level cache; no patch is gathered. Runs in workers; writes maps, gradients and the thread's scratch.
 *
 * The bits of a result do not depend on how many rows are copied, nor on the samples of a task.
 */
import type { FeatureShape, Window } from '../../model/convolution.js'
import type { Matrix } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import { F32_BYTES } from '../layouts.js'
import { placesOf } from '../module/maps.js'
import type { PatchKernels, PatchSizes } from '../products.js'
import { LINE, paddedTo, type RowMajor } from './row-major.js'

/** Bytes of copied rows of a picture: they stay in the second-level cache beside the weights. */
const PICTURE_BYTES = 128 * 1024

const VECTOR_BYTES = LINE * F32_BYTES
/** Positions of a sample whose deltas are looked at. */
const LOOKED_AT = 8

/** A window that moves over a picture with a border: that of a convolution, or of its deltas. */
export interface Slide {
  readonly from: FeatureShape
  readonly to: FeatureShape
  readonly size: number
  readonly stride: number
  readonly top: number
  readonly left: number
}

export const slideOfInput = ({ input, output, ...slide }: Window): Slide => ({ ...slide, from: input, to: output })

/** Deltas of inputs as a convolution of those of outputs, with the taps in opposite order; for a stride of 1. */
export const slideOfDeltas = ({ input, output, size, top, left }: Window): Slide => ({
  ...{ from: output, to: input, size, stride: 1 },
  ...{ top: size - 1 - top, left: size - 1 - left },
})

/** Sizes of the copied rows: floats of one, and rows of positions that are computed from one copy, about even in number. */
function pictureOf({ from, to, size, stride }: Slide) {
  const floats = ((to.width - 1) * stride + size) * from.channels
  const rowsOf = (positions: number) => (positions - 1) * stride + size
  const most = Math.floor((Math.floor(PICTURE_BYTES / (floats * F32_BYTES)) - size) / stride) + 1
  const bands = Math.ceil(to.height / Math.max(1, most))
  const rows = Math.ceil(to.height / bands)
  return { floats, rows, rowsOf }
}

/** Bytes of the copied rows, whole vectors. */
export function pictureBytes(slide: Slide): number {
  const { floats, rows, rowsOf } = pictureOf(slide)
  return paddedTo(rowsOf(rows) * floats) * F32_BYTES
}

export interface Parts {
  readonly wasm: WasmExports
  readonly patches: PatchKernels
  /** Takes `pictureBytes`. */
  readonly scratch: number
}

/** Visits some rows of positions of one sample at a time, their picture in the scratch. */
type EachBand = (sample: number, visit: (first: number, rows: number) => void) => void

function bindPictures({ wasm, patches, scratch }: Parts, x: Matrix, slide: Slide): EachBand {
  const { from, to, stride, top, left } = slide
  const { floats, rows: atOnce, rowsOf } = pictureOf(slide)
  const { at, position, sample: sampleBytes } = placesOf(x, from)
  const pictureRow = floats * F32_BYTES
  const channelBytes = from.channels * F32_BYTES
  const columns = Math.min(from.width, floats / from.channels - left)
  const place = scratch + left * channelBytes
  const vectors = pictureBytes(slide) / VECTOR_BYTES
  const isDense = position === channelBytes
  return (sample, visit) => {
    for (let band = 0; band < to.height; band += atOnce) {
      const rows = Math.min(atOnce, to.height - band)
      const before = band * stride - top
      const first = Math.max(0, before)
      const count = Math.min(from.height, before + rowsOf(rows)) - first
      patches.clear(scratch, vectors)
      const target = place + (first - before) * pictureRow
      const source = at + sample * sampleBytes + first * from.width * position
      if (isDense) {
        wasm.copy_rows(target, pictureRow, source, from.width * position, count, columns * channelBytes)
      } else {
        for (let row = 0; row < count; row++) {
          const begin = source + row * from.width * position
          wasm.copy_rows(target + row * pictureRow, channelBytes, begin, position, columns, channelBytes)
        }
      }
      visit(band, rows)
    }
  }
}

const sizesOf = (slide: Slide, outputs: number, bRow: number, cRow: number): PatchSizes => {
  const { from, to, size, stride } = slide
  const pictureRow = pictureOf(slide).floats * F32_BYTES
  return {
    ...{ size, run: size * from.channels, width: to.width },
    ...{ step: stride * from.channels * F32_BYTES, rowStep: stride * pictureRow, pictureRow },
    ...{ vectors: paddedTo(outputs) / LINE, bRow, cRow },
  }
}

/** out = patches of x · b. */
export function bindPatchProduct(parts: Parts, x: Matrix, slide: Slide, b: RowMajor, out: RowMajor) {
  const { to } = slide
  const eachBand = bindPictures(parts, x, slide)
  const multiply = parts.patches.product(sizesOf(slide, to.channels, b.stride, out.stride))
  return (sample: number): void =>
    eachBand(sample, (first, rows) => {
      const position = (sample * to.height + first) * to.width
      multiply(parts.scratch, b.at, out.at + position * out.stride, rows)
    })
}

/** g (rows `gRow` bytes apart) = patches of x, transposed, · dz, or plus that: of one sample. */
export function bindPatchGradient(parts: Parts, x: Matrix, slide: Slide, dz: RowMajor, gRow: number) {
  const { to } = slide
  const eachBand = bindPictures(parts, x, slide)
  const add = parts.patches.gradient(sizesOf(slide, to.channels, dz.stride, gRow))
  return (g: number, sample: number, accumulate: boolean): void => {
    let adds = accumulate
    eachBand(sample, (first, rows) => {
      const position = (sample * to.height + first) * to.width
      add(parts.scratch, dz.at + position * dz.stride, g, rows, adds)
      adds = true
    })
  }
}

/**
 * Tells whether most deltas of a sample's maps are not zero, from some of its positions: pooling and ReLU leave few, and products that skip
 * zeros are then faster than all of them. `densest`: share of values from which on they count as dense.
 */
export function bindIsDense({ cols, tensor }: Matrix, positions: number, densest: number): (sample: number) => boolean {
  const { data, offset, shape } = tensor
  const step = Math.max(1, Math.floor(positions / LOOKED_AT))
  return sample => {
    let [values, all] = [0, 0]
    for (let p = Math.floor(step / 2); p < positions; p += step) {
      const first = offset + (sample * positions + p) * shape[1]
      for (let c = first; c < first + cols; c++) if (data[c] !== 0) values++
      all += cols
    }
    return values >= densest * all
  }
}
