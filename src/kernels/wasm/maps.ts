/**
 * Convolutions of the portable backend, of module/assembly/convolution.ts: weights in packed panels, maps row-major with whole panels of
 * channels. Runs in workers; writes maps, parameters' tiles and the thread's scratch.
 */
import type { Window } from '../../model/convolution.js'
import { byteOffsetOf } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { MapKernels, Tile, WeightTensors, WeightUse } from '../backend.js'
import { F32_BYTES } from '../layouts.js'
import { bindMapNorm, mapNormScratchBytes } from '../module/map-norm.js'
import { bindMapKernels, type MapParts, placesOf, slideOf } from '../module/maps.js'
import { ENTRY_BYTES, matrixPanels, PANEL, panelsAt, panelsOf, ROW_BYTES, weightShape } from './panels.js'
import { bindPanelUpdateOf } from './update.js'

export const mapsShape = (rows: number, cols: number): number[] => [rows, panelsOf(cols) * PANEL]

/** Rows by tap and filter, so that the products of deltas go through it as those of inputs through the weights. */
export const convolutionDerivedShape = (
  { size, input, output }: Window,
  { training, first }: WeightUse,
): number[] | null => (training && !first ? weightShape(size * size * output.channels, input.channels) : null)

/** Bytes of the lists of a band: they stay in the second-level cache beside the weights. Not measured. */
const BAND_BYTES = 384 * 1024
/** Bytes of deltas that one pass of a gradient goes over: they stay in the first-level cache. Not measured. */
const BLOCK_BYTES = 32 * 1024
const TAP_BYTES = 12
const SPAN_BYTES = 4

interface Bands {
  /** Rows of a band's outputs. */
  readonly rows: number
  readonly bytes: number
}

/** Bands of the forward pass, or of the backward pass, in which deltas of outputs are listed. */
function bandsOf({ input, output, size, stride }: Window, backward: boolean): Bands {
  const [from, to] = backward ? [output, input] : [input, output]
  const rowBytes = from.width * (from.channels * ENTRY_BYTES + SPAN_BYTES)
  const seen = (rows: number) =>
    Math.min(from.height, backward ? Math.ceil((rows + size) / stride) + 1 : (rows - 1) * stride + size)
  let rows = to.height
  while (rows > 1 && seen(rows) * rowBytes > BAND_BYTES) rows--
  return { rows, bytes: size * size * TAP_BYTES + seen(rows) * rowBytes + 16 }
}

interface Blocks {
  /** Rows of inputs of one pass of a gradient. */
  readonly rows: number
  /** Deltas with zeros around them. */
  readonly paddedBytes: number
  readonly bytes: number
}

function blocksOf({ input, output, size }: Window): Blocks {
  const rowBytes = (input.width + size - 1) * panelsOf(output.channels) * ROW_BYTES
  const rows = Math.min(input.height, Math.max(1, Math.floor(BLOCK_BYTES / rowBytes)))
  const paddedBytes = (input.height + size - 1) * rowBytes
  const lists = (input.channels + 1) * SPAN_BYTES + rows * input.width * input.channels * ENTRY_BYTES
  return { rows, paddedBytes, bytes: paddedBytes + lists + 16 }
}

export const convolutionScratchBytes = (window: Window): number =>
  Math.max(
    bandsOf(window, false).bytes,
    bandsOf(window, true).bytes,
    blocksOf(window).bytes,
    mapNormScratchBytes(window.output.channels),
  )

interface Parts {
  readonly wasm: WasmExports
  readonly memory: ArrayBufferLike
  readonly dropoutScratch: number
  /** Takes `convolutionScratchBytes`. */
  readonly scratch: number
  readonly gradientScratch: number
  readonly chunkPanels: number
}

export function bindMaps({ wasm, memory, dropoutScratch, scratch, gradientScratch, chunkPanels }: Parts): MapKernels {
  /** Products of windows of x with b, forward or backward. */
  const convolve: MapParts['convolve'] = ([out, to], [x, from], b, window, backward) => {
    const [toPlaces, fromPlaces] = [placesOf(out, to), placesOf(x, from)]
    const weights = panelsAt(b)
    const { rows: bandRows } = bandsOf(window, backward)
    return (row, rows) => {
      for (let sample = row; sample < row + rows; sample++) {
        wasm.convolve(
          ...([toPlaces.at + sample * toPlaces.sample, toPlaces.position, to.height, to.width] as const),
          ...([fromPlaces.at + sample * fromPlaces.sample, fromPlaces.position] as const),
          ...([from.height, from.width, from.channels, ...slideOf(window)] as const),
          ...([weights.at, weights.stride, weights.count, scratch, bandRows, Number(backward)] as const),
        )
      }
    }
  }

  return bindMapKernels(wasm, dropoutScratch, {
    convolve,
    update(w, x, dz, window) {
      const { input, output } = window
      const [xs, dzs] = [placesOf(x, input), placesOf(dz, output)]
      const { rows: blockRows, paddedBytes } = blocksOf(window)
      const bytes = new Uint8Array(w.master.data.buffer as ArrayBuffer)
      return bindPanelUpdateOf(wasm, gradientScratch, chunkPanels, w, {
        splitsBuffers: false, // a buffer takes the whole gradient of some samples
        gradient(g, stride, _whole, row, rows, accumulate) {
          bytes.fill(0, scratch, scratch + paddedBytes)
          for (let sample = row; sample < row + rows; sample++) {
            wasm.convolution_gradient(
              ...([g, stride, xs.at + sample * xs.sample, xs.position] as const),
              ...([input.height, input.width, input.channels] as const),
              ...([dzs.at + sample * dzs.sample, dzs.position, output.height, output.width] as const),
              ...slideOf(window),
              ...([panelsOf(output.channels), scratch, scratch + paddedBytes, blockRows] as const),
              Number(accumulate || sample > row),
            )
          }
        },
        derivePart: bindConvolutionDerive(wasm, w, window),
      })
    },

    derive: (w, window) => bindConvolutionDerive(wasm, w, window),
    flat: bindFlat(wasm),
    batchNorm: bindMapNorm(wasm, memory, scratch),
  })
}

/** Writes the derived layout of a tile. */
function bindConvolutionDerive(
  wasm: WasmExports,
  { master, derived, outputs }: WeightTensors,
  { input: { channels } }: Window,
): (tile: Tile) => void {
  if (!derived) return () => {}
  const [from, to] = [panelsAt(master), panelsAt(derived)]
  return ({ inputStart, inputEnd, outputStart, outputEnd }) =>
    wasm.convolution_transpose(
      ...([to.at, to.stride, from.at, from.stride, channels, outputs] as const),
      ...([inputStart, inputEnd, outputStart, outputEnd] as const),
    )
}

/** Copies maps to rows in panels, or back. */
const bindFlat =
  (wasm: WasmExports): MapParts['flat'] =>
  (flat, maps, toFlat) => {
    const panels = matrixPanels(flat)
    const positions = flat.cols / maps.cols
    const [at, mapRow] = [byteOffsetOf(maps.tensor), maps.tensor.shape[1] * F32_BYTES]
    return (row, rows) => {
      for (let sample = row; sample < row + rows; sample++) {
        wasm.flatten_panels(
          ...([panels.at + sample * ROW_BYTES, panels.stride, at + sample * positions * mapRow, mapRow] as const),
          ...([positions, maps.cols, PANEL, Number(!toFlat)] as const),
        )
      }
    }
  }
