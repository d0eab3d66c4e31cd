/** Arguments of the kernels of feature maps, as in signatures.ts. Positions lie `…Pos` bytes apart, rows of positions `…Row`. Pure; any thread. */
import { count, type Extent, read, rowsOf, signature, span, stride, updated, value, written } from './signature.js'
import { wasmVectors } from './signatures.js'

/** Floats that the WASM module counts as one of its vectors: of those a kernel here takes four at a time. */
const WASM_VECTORS = 4
const f64Channels: Extent = ({ vectors }) => 32 * vectors
const tableOf: Extent = ({ vectors }) => 64 * vectors

export const MAP_SUMS = signature(
  'map_sums',
  updated('products', f64Channels),
  updated('sums', f64Channels),
  read('a', rowsOf('aRow', wasmVectors)),
  stride('aRow'),
  read('b', rowsOf('bRow', wasmVectors)),
  stride('bRow'),
  count('rows'),
  count('vectors', WASM_VECTORS),
)

export const MAP_NORMALISE = signature(
  'map_normalise',
  updated('z', rowsOf('zRow', wasmVectors)),
  stride('zRow'),
  written('normed', rowsOf('nRow', wasmVectors), { optional: true }),
  stride('nRow'),
  count('rows'),
  count('vectors', WASM_VECTORS),
  read('table', tableOf),
)

export const MAP_NORM_BACKWARD = signature(
  'map_norm_backward',
  updated('dy', rowsOf('dRow', wasmVectors)),
  stride('dRow'),
  read('normed', rowsOf('nRow', wasmVectors)),
  stride('nRow'),
  count('rows'),
  count('vectors', WASM_VECTORS),
  read('table', tableOf),
)

/** Outputs of a sample: a position for each window. */
const outputs =
  (position: string): Extent =>
  (values, memory) =>
    span(values.outHeight * values.outWidth, values[position], wasmVectors(values, memory))
/** Inputs of a sample, up to the last one that lies in a window. */
const windows =
  (position: string): Extent =>
  (values, memory) => {
    const { outHeight, outWidth, width, size } = values
    return span((outHeight * size - 1) * width + outWidth * size, values[position], wasmVectors(values, memory))
  }

export const POOL = signature(
  'pool',
  written('out', outputs('outPos')),
  stride('outPos'),
  count('outHeight'),
  count('outWidth'),
  read('x', windows('xPos')),
  stride('xPos'),
  count('width'),
  count('vectors', WASM_VECTORS),
  count('size'),
  value('average'),
)

export const POOL_BACKWARD = signature(
  'pool_backward',
  written('dx', (values, memory) => span(values.height * values.width, values.dxPos, wasmVectors(values, memory))),
  stride('dxPos'),
  count('height'),
  count('width'),
  read('dz', outputs('dzPos')),
  stride('dzPos'),
  count('outHeight'),
  count('outWidth'),
  read('x', windows('xPos')),
  stride('xPos'),
  count('vectors', WASM_VECTORS),
  count('size'),
  value('average'),
)
