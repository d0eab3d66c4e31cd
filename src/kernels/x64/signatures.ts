/**
 * Table of the arguments of all kernels in machine code, in the order of the WASM module's functions (kernels/abi.ts) where
 * they stand in for one. Pure; any thread.
 */
import { BF16_ROW_BYTES, BLOCK_ROW_BYTES, F32_BYTES, GROUP, LANES, PAIR_BYTES, VECTOR_BYTES } from './constants.js'
import {
  count,
  type Extent,
  float,
  prefetched,
  read,
  rowsOf,
  signature,
  span,
  stride,
  unused,
  unusedPointer,
  updated,
  value,
  written,
} from './signature.js'

/** Floats that the WASM module counts as one of its vectors, in bytes. */
export const WASM_VECTOR = 16
const OCTET_BYTES = 16

const floats: Extent = ({ n }) => F32_BYTES * n
/** Scalars of Adam's update, in the order of the arguments. */
export const ADAM_VALUES = [
  ...['stepSize', 'beta1', 'oneMinusBeta1', 'beta2', 'oneMinusBeta2'],
  ...['invBiasCorrection2', 'epsilon', 'l2', 'decoupledDecay'],
] as const
export type AdamValue = (typeof ADAM_VALUES)[number]
const adamNumbers = ADAM_VALUES.map(name => float(name))

export const wasmVectors: Extent = ({ vectors }) => WASM_VECTOR * vectors
const blockRow: Extent = () => BLOCK_ROW_BYTES
const bf16Row: Extent = () => BF16_ROW_BYTES
const denseBlock: Extent = ({ rows }) => rows * BLOCK_ROW_BYTES
const pairsOfRows: Extent = ({ rows }) => (rows / 2) * PAIR_BYTES
const oneWordEach: Extent = ({ rows }) => F32_BYTES * rows

/** Dropout's mask: the counters of Philox and the key. */
const mask = [
  ...[read('samples', oneWordEach), unusedPointer('scratch'), value('k0'), value('k1')],
  ...[value('layer'), value('epoch'), value('threshold'), float('scale')],
] as const

export const ADAM = signature(
  'adam',
  updated('w', floats),
  updated('m', floats),
  updated('v', floats),
  read('g', floats),
  count('n', LANES),
  ...adamNumbers,
)

export const ADAM_ROWS = signature(
  'adam_rows',
  updated('w', rowsOf('row', floats)),
  updated('m', rowsOf('mRow', floats)),
  updated('v', rowsOf('mRow', floats)),
  read('g', rowsOf('gRow', floats)),
  count('n', LANES),
  count('rows'),
  stride('row'),
  stride('mRow'),
  stride('gRow'),
  ...adamNumbers,
)

export const BIAS_RELU = signature(
  'bias_relu',
  updated('z', rowsOf('zRow', wasmVectors)),
  unused('zPanel'),
  stride('zRow'),
  count('rows'),
  unused('panels'),
  count('vectors', VECTOR_BYTES / WASM_VECTOR),
  read('bias', wasmVectors),
)

export const BIAS_RELU_DROPOUT = signature(
  'bias_relu_dropout',
  updated('z', rowsOf('zRow', wasmVectors)),
  unused('zPanel'),
  stride('zRow'),
  count('rows'),
  unused('panels'),
  count('vectors', LANES),
  value('first'),
  read('bias', wasmVectors),
  ...mask,
)

export const DROPOUT = signature(
  'dropout',
  updated('z', rowsOf('zRow', wasmVectors)),
  unused('zPanel'),
  stride('zRow'),
  unusedPointer('derivatives'),
  unused('gPanel'),
  unused('gRow'),
  count('rows'),
  unused('panels'),
  count('vectors', LANES / 2),
  value('first'),
  ...mask,
)

/** Extent of the images, up to the last index that the samples name. */
const imagesNamed: Extent = ({ samples, rows, features }, { arena }) =>
  (arena.subarray(samples / 4, samples / 4 + rows).reduce((last, sample) => Math.max(last, sample), 0) + 1) * features

export const GATHER = signature(
  'gather',
  written(
    'out',
    rowsOf('outRow', ({ features }) => F32_BYTES * features),
  ),
  unused('outPanel'),
  stride('outRow'),
  count('rows'),
  unused('panels'),
  unused('vectors'),
  count('features', LANES),
  read('images', imagesNamed),
  read('samples', oneWordEach),
)

export const RELU_BACKWARD = signature(
  'relu_backward',
  updated('dx', rowsOf('dxRow', wasmVectors)),
  unused('dxPanel'),
  stride('dxRow'),
  read('a', rowsOf('aRow', wasmVectors)),
  unused('aPanel'),
  stride('aRow'),
  count('rows'),
  unused('panels'),
  count('vectors', VECTOR_BYTES / WASM_VECTOR),
  float('scale'),
)

export const BIAS_ACTIVATE = signature(
  'bias_activate',
  updated('z', rowsOf('zRow', wasmVectors)),
  unused('zPanel'),
  stride('zRow'),
  written('derivatives', rowsOf('gRow', wasmVectors), { optional: true }),
  unused('gPanel'),
  stride('gRow'),
  count('rows'),
  unused('panels'),
  count('vectors', VECTOR_BYTES / WASM_VECTOR),
  read('bias', wasmVectors),
  value('code'),
  unused('width'),
)

export const DERIVATIVE_BACKWARD = signature(
  'derivative_backward',
  updated('dx', rowsOf('dxRow', wasmVectors)),
  unused('dxPanel'),
  stride('dxRow'),
  read('derivatives', rowsOf('gRow', wasmVectors)),
  unused('gPanel'),
  stride('gRow'),
  count('rows'),
  unused('panels'),
  count('vectors', VECTOR_BYTES / WASM_VECTOR),
)

export const COLUMN_SUMS = signature(
  'column_sums',
  written('g', wasmVectors),
  read('dz', rowsOf('dzRow', wasmVectors)),
  stride('dzRow'),
  count('rows'),
  count('vectors', LANES),
  unused('accumulate'),
)

export const COPY_ROWS = signature(
  'copy_rows',
  written(
    'to',
    rowsOf('toStride', ({ bytes }) => bytes),
  ),
  stride('toStride'),
  read(
    'from',
    rowsOf('fromStride', ({ bytes }) => bytes),
  ),
  stride('fromStride'),
  count('rows'),
  count('bytes', VECTOR_BYTES),
)

export const BF16_ROWS = signature(
  'bf16_rows',
  written(
    'to',
    rowsOf('toStride', ({ octets }) => OCTET_BYTES * octets),
  ),
  stride('toStride'),
  read(
    'from',
    rowsOf('fromStride', ({ octets }) => 2 * OCTET_BYTES * octets),
  ),
  stride('fromStride'),
  count('rows'),
  count('octets', 2),
)

export const BF16_PAIRS = signature(
  'bf16_pairs',
  written('to', pairsOfRows),
  read('from', rowsOf('fromStride', blockRow)),
  stride('fromStride'),
  count('rows', 2),
  unused('padded'),
)

export const BF16_COLUMNS = signature(
  'bf16_columns',
  written('to', ({ vectors, toStride, rows }) => span(4 * vectors, toStride, 2 * rows)),
  stride('toStride'),
  read('from', rowsOf('fromStride', wasmVectors)),
  stride('fromStride'),
  count('rows', 2 * LANES),
  count('vectors', VECTOR_BYTES / WASM_VECTOR),
  unused('padded'),
)

const PAST_CACHES = { aligned: VECTOR_BYTES }
/** Groups of rows become one cache line each, four side by side, then another block. */
const transposedGroups: Extent = ({ rows, transposedBlock, transposedPairs }) => {
  const last = rows / GROUP - 1
  return (
    Math.floor(last / 4) * transposedBlock + (last % 4) * VECTOR_BYTES + span(transposedPairs, PAIR_BYTES, VECTOR_BYTES)
  )
}
const layouts = [
  ...[count('rows', GROUP), unused('padded'), written('pairs', pairsOfRows, PAST_CACHES)],
  written('transposed', transposedGroups, { ...PAST_CACHES, optional: true }),
  stride('transposedBlock'),
  count('transposedPairs', ({ transposed }) => (transposed === 0 ? 1 : LANES)),
] as const

export const BF16_WEIGHTS = signature('bf16_weights', read('w', denseBlock), ...layouts)

export const BF16_ADAM = signature(
  'bf16_adam',
  updated('w', denseBlock),
  ...layouts,
  updated('m', denseBlock),
  updated('v', denseBlock),
  read('g', denseBlock),
  ...adamNumbers,
)

/** One block of 64 columns of a product, on its way to the activations. */
const forwardBlock = [
  written('z', rowsOf('zRow', blockRow)),
  stride('zRow'),
  read('product', denseBlock),
  count('rows'),
  read('bias', blockRow),
  written('to', rowsOf('toStride', bf16Row)),
  stride('toStride'),
  prefetched('ahead'),
  value('aheadRow'),
] as const

export const BF16_FORWARD = signature('bf16_forward', ...forwardBlock)
export const BF16_FORWARD_DROPOUT = signature('bf16_forward_dropout', ...forwardBlock, value('first'), ...mask)

export const BF16_BACKWARD = signature(
  'bf16_backward',
  written('dx', rowsOf('dxRow', blockRow)),
  stride('dxRow'),
  read('product', denseBlock),
  count('rows', 2),
  read('a', rowsOf('aRow', blockRow)),
  stride('aRow'),
  written('to', rowsOf('toStride', bf16Row)),
  stride('toStride'),
  written('pairs', pairsOfRows),
  unused('padded'),
  prefetched('ahead'),
  value('aheadRow'),
  float('scale'),
)
