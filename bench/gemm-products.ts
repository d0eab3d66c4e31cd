/**
 * The matrix products of one training step of the reference network, each over operands of its own, as the WASM kernels
 * get them in a run: 64 rows at once through all layers and back, then the gradients of all weights, chunk by chunk.
 * Weights and their transposed forms take 160 MB, so that every product finds its weights as far away as in a step.
 *
 * `B` rows of the batch, `I` inputs and `O` outputs of a layer. One thread; any.
 */

import { instantiateWasm, type WasmExports } from '../src/kernels/abi.js'
import { compileWasm } from '../src/kernels/module/compile.js'
import { bindWeightGradient, WIDE } from '../src/kernels/wasm/gradient.js'
import { wasm } from '../src/kernels/wasm/index.js'
import {
  BLOCK_BYTES,
  batchShape,
  PANEL,
  type Panels,
  panelsAt,
  panelsOf,
  ROW_BYTES,
  weightShape,
} from '../src/kernels/wasm/panels.js'
import { createArena, Reservations, type Slot, viewSlot } from '../src/tensor/arena.js'
import { REFERENCE_BATCH, REFERENCE_WIDTHS } from './reference-network.js'

export type ProductKind = 'forward' | 'backward' | 'weight gradient'

/** A part of a product that is timed at once. */
export interface Piece {
  readonly flops: number
  readonly run: () => void
}

export interface Product {
  readonly kind: ProductKind
  readonly layer: number
  /** Shape of one call: rows, columns, and the length of the sums. */
  readonly m: number
  readonly n: number
  readonly k: number
  /** Floating-point operations of it in one step of 256 rows: its weight in the whole. Padding does not count. */
  readonly stepFlops: number
  /** Call to time in round r. */
  pieces(round: number): readonly Piece[]
}

export interface Products {
  readonly products: readonly Product[]
  /** The bare micro-kernel on operands that stay in the first-level cache: what a product could reach at best. */
  readonly micro: Piece
}

/** Rows of a shard: the default of `compute.shardRows`. */
const SHARD_ROWS = 64
/** Sums of the micro-kernel: 12 columns of 240 floats take 11.5 KB, as in one pass of `gemm`. */
const MICRO_K = 240
/** Calls in a sample, half a millisecond. A call from JavaScript costs 7 ns of 460. */
const MICRO_CALLS = 1000
const MICRO_FLOPS = 2 * 3 * PANEL * MICRO_K
export const MICRO_FLOATS = 3 * PANEL + 4 * MICRO_K + PANEL * MICRO_K
/** Less than this at once cannot be timed: half a millisecond again. */
const SHORTEST_FLOPS = 16e6

export async function buildProducts(): Promise<Products> {
  const at = new Reservations()
  const reserve = (shape: readonly number[]) => at.reserve('', 'float32', shape)
  const widths = REFERENCE_WIDTHS
  const activations = widths.map(width => reserve(batchShape(REFERENCE_BATCH, width)))
  const deltas = widths.map(width => reserve(batchShape(REFERENCE_BATCH, width)))
  const weights = widths.slice(1).map((outputs, i) => reserve(weightShape(widths[i], outputs)))
  const transposed = widths.slice(1).map((outputs, i) => reserve(weightShape(outputs, widths[i])))
  const gradient = reserve([WIDE, wasm.bestTile.inputs, PANEL])
  const lists = at.reserve('lists', 'uint8', [wasm.scratchBytes(Math.max(...widths), REFERENCE_BATCH, null)])
  const micro = reserve([MICRO_FLOATS])

  const memory = createArena(at.bytes)
  for (const slot of [...activations, ...deltas, ...weights, ...transposed, micro]) fill(viewSlot(memory, slot).data)
  const panels = (slot: Slot<'float32'>) => panelsAt(viewSlot(memory, slot))
  const kernels = instantiateWasm(await compileWasm(), memory)
  const scratch = lists.byteOffset

  const products = weights.flatMap((weight, layer): Product[] => {
    const [inputs, outputs] = [widths[layer], widths[layer + 1]]
    const stepFlops = 2 * REFERENCE_BATCH * inputs * outputs
    const [x, dz] = [panels(activations[layer]), panels(deltas[layer + 1])]
    const forward: Product = {
      ...{ kind: 'forward', layer, m: SHARD_ROWS, n: outputs, k: inputs, stepFlops },
      pieces: round =>
        shardPiece(kernels, panels(activations[layer + 1]), x, weight.byteOffset, scratch, round, stepFlops),
    }
    const backward: Product = {
      ...{ kind: 'backward', layer, m: SHARD_ROWS, n: inputs, k: outputs, stepFlops },
      pieces: round =>
        shardPiece(kernels, panels(deltas[layer]), dz, transposed[layer].byteOffset, scratch, round, stepFlops),
    }
    const chunks = gradientPieces(kernels, gradient.byteOffset, scratch, x, dz, inputs, outputs)
    const weightGradient: Product = {
      ...{ kind: 'weight gradient', layer, m: inputs, n: outputs, k: REFERENCE_BATCH, stepFlops },
      pieces: () => chunks,
    }
    // Deltas of the input are never read.
    return layer === 0 ? [forward, weightGradient] : [forward, backward, weightGradient]
  })
  return { products: inStepOrder(products), micro: microPiece(kernels, memory, micro.byteOffset) }
}

/** Panels of outputs in a tile. */
const TILE_PANELS = wasm.bestTile.outputs / PANEL

/** c = a · b over one shard's rows, another shard each round. */
function shardPiece(
  { gemm }: WasmExports,
  c: Panels, // (B, n)
  a: Panels, // (B, k)
  b: number, // (k, n)
  scratch: number,
  round: number,
  stepFlops: number,
): Piece[] {
  const shards = REFERENCE_BATCH / SHARD_ROWS
  const row = (round % shards) * SHARD_ROWS * ROW_BYTES
  const run = () => gemm(c.at + row, c.stride, a.at + row, a.stride, b, SHARD_ROWS, a.count, c.count, scratch)
  return [longEnough({ flops: stepFlops / shards, run })]
}

/** The gradient of (I, O) in the chunks of the fused update, without the update: a tile's height of I, all of O; lists anew for each tile. */
function gradientPieces(
  kernels: WasmExports,
  g: number,
  lists: number,
  x: Panels, //  (B, I)
  dz: Panels, // (B, O)
  inputs: number,
  outputs: number,
): Piece[] {
  const chunk = wasm.bestTile.inputs
  const { list, gradient } = bindWeightGradient(kernels, lists, chunk / PANEL, x, dz)
  return Array.from({ length: Math.ceil(inputs / chunk) }, (_, i) => {
    const height = Math.min(chunk, inputs - i * chunk)
    const iPanel = (i * chunk) / PANEL
    const iPanels = panelsOf(height)
    const run = () => {
      for (let oPanel = 0; oPanel < dz.count; oPanel += WIDE) {
        if (oPanel % TILE_PANELS === 0) list(0, REFERENCE_BATCH, iPanel, iPanels)
        const oPanels = Math.min(WIDE, dz.count - oPanel)
        gradient(g, iPanels * BLOCK_BYTES, 0, REFERENCE_BATCH, { iPanel, iPanels, oPanel, oPanels }, false)
      }
    }
    return longEnough({ flops: 2 * REFERENCE_BATCH * height * outputs, run })
  })
}

/** Three values of a and an offset into b, as in src/kernels/module/assembly/micro-kernels.ts. */
const TRIPLE_BYTES = 16

/** A full list: what the kernels do with operands that have no zeros. */
/** Operands lie at `at`, in MICRO_FLOATS of the memory. */
export function microPiece({ micro_f32_3x12 }: WasmExports, memory: WebAssembly.Memory, at: number): Piece {
  const list = at + 3 * ROW_BYTES
  const b = list + MICRO_K * TRIPLE_BYTES
  const end = list + MICRO_K * TRIPLE_BYTES
  const entries = new Uint32Array(memory.buffer, list, MICRO_K * 4)
  for (let k = 0; k < MICRO_K; k++) entries[4 * k + 3] = k * ROW_BYTES
  return {
    flops: MICRO_FLOPS * MICRO_CALLS,
    run() {
      for (let i = 0; i < MICRO_CALLS; i++) micro_f32_3x12(at, list, end, b, 0)
    },
  }
}

/** Repetitions of the last layer, which is too short for the clock; its weights are then cached, as they nearly are anyway. */
export function longEnough({ flops, run }: Piece): Piece {
  const times = Math.ceil(SHORTEST_FLOPS / flops)
  if (times === 1) return { flops, run }
  return {
    flops: flops * times,
    run() {
      for (let i = 0; i < times; i++) run()
    },
  }
}

export function inStepOrder(products: readonly Product[]): Product[] {
  const of = (wanted: ProductKind) => products.filter(({ kind }) => kind === wanted)
  return [...of('forward'), ...of('backward').reverse(), ...of('weight gradient')]
}

/**
 * Numbers in ±0.04, about the scale of initial weights, by xorshift. Never zero pages: memory that was never written is
 * one page of zeros that stays in the cache. Never denormal, which some processors take longer for.
 */
export function fill(data: Float32Array): void {
  let state = 1
  for (let i = 0; i < data.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    data[i] = (state >> 8) * (0.04 / 2 ** 23)
  }
}
