/**
 * The reference: every kernel in float64 over plain row-major ndarrays, slow and obviously right; all other backends are tested against
 * it, and it against central differences. It takes views with any strides, and allocates as it goes. `exp` and `log` are Math's, whose
 * last bits may change with the engine, so it is not bit-portable. Runs in workers, on the thread's own kernels over shared tensors.
 *
 * Test: node dist/test/kernels/reference.test.js
 */
import ndarray from 'ndarray'
import ops from 'ndarray-ops'
import type { ByteTensor, FloatTensor, IntTensor, Matrix } from '../../tensor/tensor.js'
import type {
  Backend,
  BlockKernel,
  EmbeddedFeatures,
  InputScaling,
  Kernels,
  RowKernel,
  WeightTensors,
} from '../backend.js'
import { bindEmbedding } from '../embedding.js'
import { checkGather, checkLinear, checkLinearBackward } from '../shapes.js'
import { activateBackward, biasActivate, dropout } from './activation.js'
import { augment } from './augment.js'
import { sigmoidLoss, softmaxLoss, squaredLoss } from './loss.js'
import { maps } from './maps.js'
import { matmul } from './matmul.js'
import { batchNorm, batchNormBackward, layerNorm, layerNormBackward, normSums } from './norm.js'
import { biasUpdate, tableUpdate, weightUpdate } from './update.js'
import { allColumns, blockOf, rowsOf, withColumns } from './views.js'

const kernels: Kernels = {
  gather,
  augment,
  linear,
  biasActivate,
  dropout,
  softmaxLoss,
  squaredLoss,
  sigmoidLoss,
  linearBackward,
  activateBackward,
  batchNorm,
  normSums,
  batchNormBackward,
  layerNorm,
  layerNormBackward,
  weightUpdate,
  biasUpdate,
  tableUpdate,
  maps,
  derive: () => () => {}, // no kernel here reads another layout
  storeRow(w, i, values) {
    ops.assign(w.master.pick(i, null), ndarray(values, [w.outputs]))
  },
  loadRow(w, i, values) {
    ops.assign(ndarray(values, [w.outputs]), w.master.pick(i, null))
  },
}

export const reference: Backend = {
  name: 'reference',
  dtype: 'float64',
  bitsDependOnPartition: false,
  tileUnit: { inputs: 1, outputs: 1 },
  // Not measured: enough tiles for a few workers, at a small cost of calls.
  bestTile: { inputs: 64, outputs: 64 },
  blockColumns: 1,
  blockRows: 1,
  shardRows: () => 64,
  scratchBytes: () => 0,
  matrixShape: (rows, cols) => [rows, cols],
  weightShape: (inputs, outputs) => [inputs, outputs],
  derivedShape: () => null,
  biasShape: outputs => [outputs],
  mapsShape: (rows, cols) => [rows, cols],
  convolutionDerivedShape: () => null,
  convolutionScratchBytes: () => 0,
  compile: async () => null,
  instantiate: () => kernels,
}

function gather(
  out: Matrix, // (B, F)
  features: ByteTensor | FloatTensor, // (N, F)
  samples: IntTensor, // (B)
  scaling: InputScaling | null,
  embedded: EmbeddedFeatures | null = null,
): RowKernel {
  checkGather(out, features, samples, scaling, embedded)
  const embed = embedded && bindEmbedding(out, features, samples, embedded)
  const width = features.shape[1]
  return (row, rows) => {
    for (let r = row; r < row + rows; r++) {
      const to: FloatTensor = out.tensor.pick(r, null).hi(width) // (F)
      const from = (features as FloatTensor).pick(samples.get(r), null) // (F)
      if (!scaling) ops.divs(to, from, 255)
      else {
        ops.sub(to, from, scaling.offset)
        ops.muleq(to, scaling.factor)
      }
    }
    embed?.(row, rows)
  }
}

function linear(
  out: Matrix, // (B, O)
  x: Matrix, // (B, I)
  w: WeightTensors,
): BlockKernel {
  checkLinear(out, x, w)
  return (row, rows, columns = allColumns(out)) =>
    matmul(blockOf(out, row, rows, columns), rowsOf(x, row, rows), withColumns(w.master, columns))
}

function linearBackward(
  dx: Matrix, // (B, I)
  dz: Matrix, // (B, O)
  w: WeightTensors,
): BlockKernel {
  checkLinearBackward(dx, dz, w)
  const transposed = w.master.transpose(1, 0)
  return (row, rows, columns = allColumns(dx)) =>
    matmul(blockOf(dx, row, rows, columns), rowsOf(dz, row, rows), withColumns(transposed, columns))
}
