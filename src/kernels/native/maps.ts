/**
 * Convolutions of the native backends in f32, in machine code where the CPU has AVX-512 (patches.ts). Elsewhere, with a stride for deltas,
 * and where most deltas are zero, the patches of some positions are gathered into the thread's scratch, where they stay in the second-level
 * cache, and multiplied by the library. Runs in workers; writes maps, parameters' tiles and the thread's scratch.
 *
 * The bits of a product may depend on its shape: blocks of positions are those of one sample, whatever the samples of a task.
 */
import { type FeatureShape, patchSize, positionsOf, type Window } from '../../model/convolution.js'
import type { Matrix } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { MapKernels, WeightUse } from '../backend.js'
import { F32_BYTES } from '../layouts.js'
import { bindMapNorm, mapNormScratchBytes } from '../module/map-norm.js'
import { bindMapKernels, type MapParts, placesOf, slideOf } from '../module/maps.js'
import type { PatchKernels } from '../products.js'
import { bindF32UpdateOf } from './f32-update.js'
import {
  bindIsDense,
  bindPatchGradient,
  bindPatchProduct,
  type Parts as PatchParts,
  pictureBytes,
  slideOfDeltas,
  slideOfInput,
} from './patches.js'
import type { Products } from './products.js'
import { LINE, paddedTo, rowMajor } from './row-major.js'

export const mapsShape = (rows: number, cols: number): number[] => [rows, paddedTo(cols)]

/** Rows by tap, turned where deltas are, and filter: products of deltas go through it as those of inputs through the weights. */
export const convolutionDerivedShape = (
  { size, input, output }: Window,
  { training, first }: WeightUse,
): number[] | null => (training && !first ? [size * size * output.channels, paddedTo(input.channels)] : null)

/** Bytes of the patches of a block: they stay in the second-level cache beside the weights. Not measured. */
const BLOCK_BYTES = 256 * 1024

/**
 * With a stride of 1, deltas of inputs are a convolution of those of outputs, too, by the taps in opposite order: values under its window
 * lie next to each other, where those of `backward` run from right to left.
 */
const isTurned = ({ stride }: Window): boolean => stride === 1

/** Positions of a block, so that all blocks of a sample have about as many. */
function blockOf(positions: number, patch: number): number {
  const most = Math.max(16, Math.floor(BLOCK_BYTES / (paddedTo(patch) * F32_BYTES)))
  return Math.ceil(positions / Math.ceil(positions / most))
}

/**
 * Cycles in which a library multiplies a value by a vector of 16 columns. 196 x 288 by 32 columns, half of the values zero, takes 25 µs with
 * oneDNN, 56 with OpenBLAS and 42 to 70 where zeros are skipped; 98 x 576 by 64: 57, 110, and 49 to 77.
 */
export const DENSE_CYCLES = { onednn: 0.55, blas: 0.8 } as const

/** Share of patches' values that are not zero up to which skipping zeros pays: a value takes four cycles at least, or two loads a vector. */
function densestOf(columns: number, denseCycles: number): number {
  const vectors = Math.ceil(columns / LINE)
  return Math.max(0, Math.min(0.7, (denseCycles * vectors - 0.6) / Math.max(4, (vectors + 1) / 2)))
}

const backPatch = ({ size, output }: Window): number => size * size * output.channels
const bytesOf = (positions: number, patch: number): number => blockOf(positions, patch) * paddedTo(patch) * F32_BYTES

/** Bytes of the patches of a block, or of rows of a picture with its border. */
const patchBytes = (window: Window): number =>
  Math.max(bytesOf(positionsOf(window.output), patchSize(window)), pictureBytes(slideOfInput(window)))

/** Patches, and behind those of a gradient the gradient, its rows filters. */
export const convolutionScratchBytes = (window: Window): number =>
  Math.max(
    patchBytes(window) + window.output.channels * paddedTo(patchSize(window)) * F32_BYTES,
    bytesOf(positionsOf(window.input), backPatch(window)),
    mapNormScratchBytes(window.output.channels),
    isTurned(window) ? pictureBytes(slideOfDeltas(window)) : 0,
  )

/** Share of deltas that are not zero from which on they are multiplied all, where the CPU has AVX-512. */
const densestOfGradient = 0.5
const densestOfDeltas = (channels: number) => Math.min(0.5, 0.1 * Math.ceil(channels / LINE))

interface Parts {
  readonly wasm: WasmExports
  readonly memory: ArrayBufferLike
  readonly products: Products
  readonly patches: PatchKernels | null
  readonly denseCycles: number
  readonly dropoutScratch: number
  /** Takes `convolutionScratchBytes`. */
  readonly scratch: number
  readonly gradientScratch: number
}

export function bindMaps({
  wasm,
  memory,
  products,
  patches: inMachineCode,
  denseCycles,
  dropoutScratch,
  scratch,
  gradientScratch,
}: Parts): MapKernels {
  const direct: PatchParts | null = inMachineCode && { wasm, scratch, patches: inMachineCode }
  const derive = bindDerive(wasm)
  /** Visits the blocks of positions of some samples, their patches gathered. */
  const bindPatches = (
    to: FeatureShape,
    x: Matrix,
    from: FeatureShape,
    window: Window,
    patch: number,
    backward: boolean,
  ) => {
    const { at, position, sample: bytes } = placesOf(x, from)
    const positions = positionsOf(to)
    const count = blockOf(positions, patch)
    const turns = backward && isTurned(window)
    const { size, stride, top, left } = window
    const slide = turns ? ([size, stride, size - 1 - top, size - 1 - left] as const) : slideOf(window)
    const looksBack = Number(backward && !turns)
    return (row: number, rows: number, visit: (first: number, count: number) => void) => {
      for (let sample = row; sample < row + rows; sample++) {
        for (let first = 0; first < positions; first += count) {
          const end = Math.min(first + count, positions)
          wasm.gather_patches(
            ...([scratch, paddedTo(patch) * F32_BYTES, at + sample * bytes, position] as const),
            ...([from.height, from.width, from.channels, to.width, ...slide] as const),
            ...([first, end, looksBack] as const),
          )
          visit(sample * positions + first, end - first)
        }
      }
    }
  }

  /** out = patches of x · b, gathered and multiplied by the library. */
  const convolveGathered: MapParts['convolve'] = ([out, to], [x, from], b, window, backward) => {
    const patch = backward ? backPatch(window) : patchSize(window)
    const patches = bindPatches(to, x, from, window, patch, backward)
    const [rowsOut, weights] = [rowMajor(out.tensor), rowMajor(b)]
    const multiply = products({
      form: 'nn',
      lda: paddedTo(patch),
      ldb: weights.elems,
      densest: densestOf(out.cols, denseCycles),
    })
    const visit = (first: number, count: number) =>
      multiply(count, out.cols, patch, scratch, weights.at, rowsOut.at + first * rowsOut.stride, rowsOut.elems)
    return (row, rows) => patches(row, rows, visit)
  }

  const convolve: MapParts['convolve'] = ([out, to], [x, from], b, window, backward) => {
    const gathered = convolveGathered([out, to], [x, from], b, window, backward)
    if (!direct || (backward && !isTurned(window))) return gathered
    const slide = backward ? slideOfDeltas(window) : slideOfInput(window)
    const convolveOne = bindPatchProduct(direct, x, slide, rowMajor(b), rowMajor(out.tensor))
    const isDense = backward ? bindIsDense(x, positionsOf(from), densestOfDeltas(to.channels)) : () => true
    return (row, rows) => {
      for (let sample = row; sample < row + rows; sample++) {
        if (isDense(sample)) convolveOne(sample)
        else gathered(sample, 1)
      }
    }
  }

  return bindMapKernels(wasm, dropoutScratch, {
    convolve,
    update(w, x, dz, window) {
      const patch = patchSize(window)
      const patches = bindPatches(window.output, x, window.input, window, patch, false)
      const dzs = rowMajor(dz.tensor)
      const width = paddedTo(patch)
      const turned = scratch + patchBytes(window)
      // The rows of the product are filters: its columns are many, and zeros among the deltas, which pooling and ReLU leave, are skipped.
      const shape = { form: 'tn', lda: dzs.elems, ldb: width } as const
      const [overwrite, add] = [products({ ...shape, accumulate: false }), products({ ...shape, accumulate: true })]
      const slide = slideOfInput(window)
      const addOne = direct && bindPatchGradient(direct, x, slide, dzs, rowMajor(w.master).stride)
      const isDense = addOne ? bindIsDense(dz, positionsOf(window.output), densestOfGradient) : () => false
      return bindF32UpdateOf(wasm, gradientScratch, w, {
        // Sums are two: of the samples whose deltas are dense, and of the others.
        gradient(g, stride, _whole, row, rows, accumulate) {
          let multiply = overwrite
          let adds = accumulate
          const gather = (first: number, count: number) => {
            multiply(dz.cols, patch, count, dzs.at + first * dzs.stride, scratch, turned, width)
            multiply = add
          }
          for (let sample = row; sample < row + rows; sample++) {
            if (isDense(sample)) {
              addOne!(g, sample, adds)
              adds = true
            } else patches(sample, 1, gather)
          }
          if (multiply === add) {
            wasm.transpose_rows(g, stride, turned, width * F32_BYTES, patch, dz.cols, Number(adds))
          }
        },
        derivePart: derive(w, window),
      })
    },

    derive,
    flat: bindFlat(wasm),
    batchNorm: bindMapNorm(wasm, memory, scratch),
  })
}

/** Writes the derived layout of a tile: of each of its taps, channels by filters become filters by channels. */
const bindDerive =
  (wasm: WasmExports): MapParts['derive'] =>
  ({ master, derived, outputs }, window) => {
    if (!derived) return () => {}
    const { channels } = window.input
    const lastTap = window.size ** 2 - 1
    const [from, to] = [rowMajor(master), rowMajor(derived)]
    return ({ inputStart, inputEnd, outputStart, outputEnd }) => {
      for (let start = inputStart; start < inputEnd; ) {
        const ofMaster = Math.floor(start / channels)
        const tap = isTurned(window) ? lastTap - ofMaster : ofMaster
        const end = Math.min(inputEnd, (ofMaster + 1) * channels)
        const place = to.at + (tap * outputs + outputStart) * to.stride + (start % channels) * F32_BYTES
        const source = from.at + start * from.stride + outputStart * F32_BYTES
        wasm.transpose_rows(place, to.stride, source, from.stride, outputEnd - outputStart, end - start, 0)
        start = end
      }
    }
  }

/** Copies maps to rows, or back: values lie in the same order, with padding behind each position where channels need it. */
const bindFlat =
  (wasm: WasmExports): MapParts['flat'] =>
  (flat, maps, toFlat) => {
    const [ofFlat, ofMaps] = [rowMajor(flat.tensor), rowMajor(maps.tensor)]
    const positions = flat.cols / maps.cols
    const channels = maps.cols * F32_BYTES
    const [count, bytes] = channels === ofMaps.stride ? [1, positions * channels] : [positions, channels]
    return (row, rows) => {
      for (let sample = row; sample < row + rows; sample++) {
        const [flatAt, mapsAt] = [ofFlat.at + sample * ofFlat.stride, ofMaps.at + sample * positions * ofMaps.stride]
        if (toFlat) wasm.copy_rows(flatAt, channels, mapsAt, ofMaps.stride, count, bytes)
        else wasm.copy_rows(mapsAt, ofMaps.stride, flatAt, channels, count, bytes)
      }
    }
  }
