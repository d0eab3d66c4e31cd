/**
 * The portable backend: f32 SIMD kernels in WebAssembly, the same bits on every CPU. Binds each kernel to its tensors'
 * places in the arena; what runs is the module built from assembly/. Instantiated once per thread.
 *
 * Test: node dist/test/kernels/kernels.test.js   Bench: npm run bench -- gemm
 */
import type { FloatTensor, Matrix } from '../../tensor/tensor.js'
import { instantiateWasm } from '../abi.js'
import type { Backend, BlockKernel, Columns, KernelContext, Kernels } from '../backend.js'
import { augmentScratchBytes, bindAugment } from '../module/augment.js'
import { bindElementwise, DROPOUT_SCRATCH_BYTES } from '../module/elementwise.js'
import { partOfMaps } from '../module/maps.js'
import { bindNorms } from '../module/norm.js'
import { bindTableUpdate } from '../module/parameter-update.js'
import type { PartOf } from '../module/part.js'
import { checkLinear, checkLinearBackward } from '../shapes.js'
import { gradientListBytes, gradientScratchBytes } from './gradient.js'
import { bindMaps, convolutionDerivedShape, convolutionScratchBytes, mapsShape } from './maps.js'
import {
  batchShape,
  ENTRY_BYTES,
  loadRow,
  matrixPanels,
  PANEL,
  panelsAt,
  panelsOf,
  ROW_BYTES,
  SPANS_HEAD,
  storeRow,
  weightShape,
} from './panels.js'
import { bindBiasUpdate, bindDerive, bindPanelUpdate } from './update.js'

/** Input panels of a chunk: its gradient, four panels of 16 blocks of 576 bytes, stays in the second-level cache. */
const CHUNK_PANELS = 16
/** Output panels of a tile: each tile rebuilds its index lists (with 16, four times as often, that took 8 % of a step). */
const TILE_PANELS = 64
/** Rows, panels of k, and passes over k that `gemm` of module/assembly/gemm.ts lists at a time: ROWS, K_LISTED, K_LISTED / K_BLOCK. */
const GEMM_ROWS = 128
const GEMM_PANELS = 40
const GEMM_SPANS_BYTES = 4 * (SPANS_HEAD + GEMM_ROWS * 4)

/** Bytes of the index lists of `gemm` for sums over this many columns. */
const gemmListBytes = (k: number): number =>
  GEMM_SPANS_BYTES + Math.min(panelsOf(k), GEMM_PANELS) * PANEL * GEMM_ROWS * ENTRY_BYTES

/**
 * Weights that stay in the caches from shard to shard: there small shards, whole groups of three rows for what has no
 * zeros, let the workers end a stage together (128 rows in 64s: 9 % of a step at barriers; in 9s: 4 %). Larger networks stream their weights
 * anew for every shard (64 rows: 8 % slower than 128 at 20 million weights).
 */
const CACHED_WEIGHTS = 1_000_000

export const wasm: Backend = {
  name: 'wasm',
  dtype: 'float32',
  bitsDependOnPartition: false,
  tileUnit: { inputs: PANEL, outputs: PANEL },
  bestTile: { inputs: CHUNK_PANELS * PANEL, outputs: TILE_PANELS * PANEL },
  // The micro-kernel's width: narrower remainders run in slower kernels.
  blockColumns: 4 * PANEL,
  blockRows: 1,
  shardRows: weights => (weights <= CACHED_WEIGHTS ? 9 : 128),
  scratchBytes: (widest, rows, augmentation) =>
    Math.max(
      DROPOUT_SCRATCH_BYTES +
        gradientScratchBytes(CHUNK_PANELS) +
        Math.max(gemmListBytes(widest), gradientListBytes(CHUNK_PANELS, rows)),
      augmentScratchBytes(augmentation),
    ),
  matrixShape: batchShape,
  weightShape,
  derivedShape: (inputs, outputs, { training, first }) => (training && !first ? weightShape(outputs, inputs) : null),
  biasShape: outputs => [panelsOf(outputs) * PANEL],
  mapsShape,
  convolutionDerivedShape,
  convolutionScratchBytes: window => gradientStart + convolutionScratchBytes(window),
  compile: async () => (await import('../module/compile.js')).compileWasm(),
  instantiate,
}

/** The panels that hold some columns: all of `total` unless some are given. */
function panelRange(total: number, columns?: Columns): { first: number; count: number } {
  if (!columns) return { first: 0, count: total }
  const first = columns.start / PANEL
  return { first, count: panelsOf(columns.end) - first }
}

const partOf: PartOf = matrix => {
  // Feature maps, and the features that a convolution takes, are row-major.
  if (matrix.tensor.shape.length === 2) return partOfMaps(matrix)
  const { at, stride, count } = matrixPanels(matrix)
  return (row, columns) => {
    const { first, count: panels } = panelRange(count, columns)
    return {
      place: [at + row * ROW_BYTES + first * stride, stride, ROW_BYTES],
      panels,
      vectors: PANEL / 4,
      offset: first * ROW_BYTES,
    }
  }
}

/** Scratch before that of convolutions: masks, and a gradient of one chunk, which `reduce` does not use, but a bias does. */
const gradientStart = DROPOUT_SCRATCH_BYTES + gradientScratchBytes(CHUNK_PANELS)

function instantiate({ memory, module, scratchByteOffset }: KernelContext): Kernels {
  if (!module) throw new TypeError('wasm.instantiate: module is null, expected what wasm.compile() returned')
  const kernels = instantiateWasm(module, memory)
  const gradientScratch = scratchByteOffset + DROPOUT_SCRATCH_BYTES
  const lists = gradientScratch + gradientScratchBytes(CHUNK_PANELS)

  /** out = a · b, for a weight matrix or its transpose as b. */
  const product = (out: Matrix, a: Matrix, b: FloatTensor): BlockKernel => {
    const to = matrixPanels(out)
    const from = matrixPanels(a)
    const weights = panelsAt(b)
    return (row, rows, columns) => {
      const offset = row * ROW_BYTES
      const { count: kPanels, stride: aStride } = from
      const { first, count } = panelRange(to.count, columns)
      const c = to.at + offset + first * to.stride
      const w = weights.at + first * weights.stride
      kernels.gemm(c, to.stride, from.at + offset, aStride, w, rows, kPanels, count, lists)
    }
  }

  return {
    linear(out, x, w) {
      checkLinear(out, x, w)
      return product(out, x, w.master)
    },

    linearBackward(dx, dz, w) {
      checkLinearBackward(dx, dz, w)
      if (!w.derived) throw new TypeError('linearBackward: w.derived is null, expected the transposed layout (O, I)')
      return product(dx, dz, w.derived)
    },

    ...bindElementwise(kernels, scratchByteOffset, partOf),
    ...bindAugment(kernels, memory, scratchByteOffset),
    ...bindNorms(kernels, partOf),
    derive: w => bindDerive(kernels, CHUNK_PANELS, w),
    weightUpdate: (w, x, dz) => bindPanelUpdate(kernels, gradientScratch, lists, CHUNK_PANELS, w, x, dz),
    biasUpdate: (bias, dz) => bindBiasUpdate(kernels, gradientScratch, bias, dz),
    tableUpdate: table => bindTableUpdate(kernels, table),
    maps: bindMaps({
      wasm: kernels,
      memory: memory.buffer,
      dropoutScratch: scratchByteOffset,
      scratch: lists,
      gradientScratch,
      chunkPanels: CHUNK_PANELS,
    }),
    storeRow,
    loadRow,
  }
}
