/**
 * The portable backend: f32 SIMD kernels in WebAssembly, the same bits on every CPU. Binds each kernel to its tensors'
 * places in the arena; what runs is the module built from assembly/. Instantiated once per thread.
 *
 * Test: npx tap dist/test/tensor/kernels.test.js   Bench: npm run bench -- gemm
 */
import { dropoutThreshold, keyOf, Purpose } from '../../random.js'
import { byteOffsetOf, type FloatTensor, type Matrix, type Tensor } from '../../tensor.js'
import type { Backend, BlockKernel, Columns, KernelContext, Kernels } from '../backend.js'
import {
  checkBiasActivate,
  checkDropout,
  checkGather,
  checkLinear,
  checkLinearBackward,
  checkSoftmaxLoss,
  checkSquaredLoss,
  gatesOf,
} from '../shapes.js'
import { activationCode } from './activations.js'
import { augmentScratchBytes, bindAugment } from './augment.js'
import { instantiateWasm } from './exports.js'
import { bindNorms, type PartOf } from './norm.js'
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
import { bindBiasUpdate, bindDerive, bindWeightUpdate, gradientListBytes, gradientScratchBytes } from './update.js'

/** Input panels of a chunk: its gradient, four panels of 16 blocks of 576 bytes, stays in the second-level cache. */
const CHUNK_PANELS = 16
/** Output panels of a tile: each tile lists its inputs anew (with 16, four times as often, that took 8 % of a step). */
const TILE_PANELS = 64
/** Rows, panels of k, and passes over k that `gemm` of assembly/gemm.ts lists at a time: ROWS, K_LISTED, K_LISTED / K_BLOCK. */
const GEMM_ROWS = 128
const GEMM_PANELS = 40
const GEMM_SPANS_BYTES = 4 * (SPANS_HEAD + GEMM_ROWS * 4)

/** Lists of `gemm` for sums over so many columns. */
const gemmListBytes = (k: number): number =>
  GEMM_SPANS_BYTES + Math.min(panelsOf(k), GEMM_PANELS) * PANEL * GEMM_ROWS * ENTRY_BYTES

/**
 * Weights that stay in the caches from shard to shard: there small shards, whole groups of three rows for what has no
 * zeros, let the workers end a stage together (128 rows in 64s: 9 % of a step at barriers; in 9s: 4 %). Larger networks stream their weights
 * anew for every shard (64 rows: 8 % slower than 128 at 20 million weights).
 */
const CACHED_WEIGHTS = 1_000_000
/** Masks of four rows of a panel. */
const DROPOUT_SCRATCH_BYTES = 192

export const wasm: Backend = {
  name: 'wasm',
  dtype: 'float32',
  cutsDecideBits: false,
  tileUnit: { inputs: PANEL, outputs: PANEL },
  bestTile: { inputs: CHUNK_PANELS * PANEL, outputs: TILE_PANELS * PANEL },
  // The micro-kernel's width: narrower rests run in slower kernels.
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
  compile: async () => (await import('./compile.js')).compileWasm(),
  instantiate,
}

/** The panels that hold some columns: all of `total` unless told which. */
function panelRange(total: number, columns?: Columns): { first: number; count: number } {
  if (!columns) return { first: 0, count: total }
  const first = columns.start / PANEL
  return { first, count: panelsOf(columns.end) - first }
}

const partOf: PartOf = matrix => {
  const { at, stride, count } = matrixPanels(matrix)
  return (row, columns) => {
    const { first, count: panels } = panelRange(count, columns)
    return {
      at: at + row * ROW_BYTES + first * stride,
      panelStride: stride,
      rowStride: ROW_BYTES,
      panels,
      vectors: PANEL / 4,
      offset: first * ROW_BYTES,
    }
  }
}

function instantiate({ memory, module, scratchByteOffset }: KernelContext): Kernels {
  if (!module) throw new TypeError('wasm.instantiate: module is null, expected what wasm.compile() returned')
  const kernels = instantiateWasm(module, memory)
  const dropoutScratch = scratchByteOffset
  const gradientScratch = dropoutScratch + DROPOUT_SCRATCH_BYTES
  const lists = gradientScratch + gradientScratchBytes(CHUNK_PANELS)

  /** out = a · b, for a weight matrix or its transposed form as b. */
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
    gather(out, features, samples, scaling) {
      checkGather(out, features, samples, scaling)
      const to = matrixPanels(out)
      const from = byteOffsetOf(features)
      const index = byteOffsetOf(samples)
      if (scaling) {
        const [offset, factor] = [byteOffsetOf(scaling.offset), byteOffsetOf(scaling.factor)]
        const floats = Number(features.dtype === 'float32')
        return (row, rows) =>
          kernels.gather_scaled(
            ...([to.at + row * ROW_BYTES, ROW_BYTES, to.stride, PANEL, rows, from, floats, out.cols] as const),
            ...([index + row * 4, offset, factor] as const),
          )
      }
      return (row, rows) => kernels.gather(to.at + row * ROW_BYTES, to.stride, rows, from, out.cols, index + row * 4)
    },

    linear(out, x, w) {
      checkLinear(out, x, w)
      return product(out, x, w.master)
    },

    biasActivate(z, bias, activation, dropout) {
      checkBiasActivate(z, bias, activation, dropout)
      const { type, gates } = activation
      const { rate, layer } = dropout
      const [k0, k1] = keyOf(dropout.seed, Purpose.dropout)
      const threshold = dropoutThreshold(rate)
      const scale = 1 / (1 - rate)
      const to = matrixPanels(z)
      const b = byteOffsetOf(bias.master)
      const index = byteOffsetOf(dropout.samples)
      if (type !== 'relu') {
        const code = activationCode[type]
        const kept = gates && matrixPanels(gates)
        return (row, rows, epoch, training, columns) => {
          const { first, count } = panelRange(to.count, columns)
          const at = to.at + row * ROW_BYTES + first * to.stride
          const gate = kept && training ? kept.at + row * ROW_BYTES + first * kept.stride : 0
          const gateStride = kept?.stride ?? 0
          const bad = kernels.bias_activate(
            ...([at, to.stride, gate, gateStride, rows, count] as const),
            ...([b + first * ROW_BYTES, code, z.cols - first * PANEL] as const),
          )
          if (training && rate > 0) {
            kernels.dropout(
              ...([at, to.stride, gate, gateStride, rows, first, count, index + row * 4, dropoutScratch] as const),
              ...([k0, k1, layer, epoch, threshold, scale] as const),
            )
          }
          return bad === 0
        }
      }
      return (row, rows, epoch, training, columns) => {
        const { first, count } = panelRange(to.count, columns)
        const at = to.at + row * ROW_BYTES + first * to.stride
        const biasAt = b + first * ROW_BYTES
        const bad =
          training && rate > 0
            ? kernels.bias_relu_dropout(
                at,
                to.stride,
                rows,
                first,
                count,
                biasAt,
                index + row * 4,
                dropoutScratch,
                k0,
                k1,
                layer,
                epoch,
                threshold,
                scale,
              )
            : kernels.bias_relu(at, to.stride, rows, count, biasAt)
        return bad === 0
      }
    },

    dropout(x, dropout) {
      checkDropout(x, dropout)
      const { rate, seed, layer, samples } = dropout
      const [k0, k1] = keyOf(seed, Purpose.dropout)
      const { at, stride, count } = matrixPanels(x)
      const index = byteOffsetOf(samples)
      return (row, rows, epoch) =>
        kernels.dropout(
          ...([at + row * ROW_BYTES, stride, 0, 0, rows, 0, count, index + row * 4, dropoutScratch] as const),
          ...([k0, k1, layer, epoch, dropoutThreshold(rate), 1 / (1 - rate)] as const),
        )
    },

    softmaxLoss(args) {
      checkSoftmaxLoss(args)
      const { z, bias, labels, samples, losses, correct, smoothing } = args
      const to = matrixPanels(z)
      const b = byteOffsetOf(bias.master)
      const label = byteOffsetOf(labels)
      const index = byteOffsetOf(samples)
      const loss = byteOffsetOf(losses)
      const hit = byteOffsetOf(correct)
      return (row, rows, deltaScale) =>
        kernels.softmax_loss(
          to.at + row * ROW_BYTES,
          to.stride,
          rows,
          z.cols,
          b,
          label,
          index + row * 4,
          loss + row * 8,
          hit + row * 4,
          deltaScale,
          smoothing,
        ) === 0
    },

    squaredLoss(args) {
      checkSquaredLoss(args)
      const { z, bias, targets, samples, losses, correct } = args
      const to = matrixPanels(z)
      const [b, wanted, index, loss, hit] = [bias.master, targets, samples, losses, correct].map(t =>
        byteOffsetOf(t as Tensor),
      )
      return (row, rows, deltaScale) =>
        kernels.squared_loss(
          ...([to.at + row * ROW_BYTES, ROW_BYTES, to.stride, PANEL, rows, z.cols, b, wanted] as const),
          ...([index + row * 4, loss + row * 8, hit + row * 4, deltaScale] as const),
        ) === 0
    },

    linearBackward(dx, dz, w) {
      checkLinearBackward(dx, dz, w)
      if (!w.derived) throw new TypeError('linearBackward: w.derived is null, expected the (O, I) form')
      return product(dx, dz, w.derived)
    },

    activateBackward(dx, a, activation, rate) {
      const left = gatesOf(dx, a, activation)
      const { type } = activation
      const to = matrixPanels(dx)
      const from = matrixPanels(left)
      const scale = 1 / (1 - rate)
      return (row, rows, columns) => {
        const { first, count } = panelRange(to.count, columns)
        const at = to.at + row * ROW_BYTES + first * to.stride
        const onAt = from.at + row * ROW_BYTES + first * from.stride
        if (type !== 'relu') return kernels.gate_backward(at, to.stride, onAt, from.stride, rows, count) === 0
        return kernels.relu_backward(at, to.stride, onAt, from.stride, rows, count, scale) === 0
      }
    },

    ...bindAugment(kernels, memory, scratchByteOffset),
    ...bindNorms(kernels, partOf),
    derive: w => bindDerive(kernels, CHUNK_PANELS, w),
    weightUpdate: (w, x, dz) => bindWeightUpdate(kernels, gradientScratch, lists, CHUNK_PANELS, w, x, dz),
    biasUpdate: (bias, dz) => bindBiasUpdate(kernels, gradientScratch, bias, dz),
    storeRow,
    loadRow,
  }
}
