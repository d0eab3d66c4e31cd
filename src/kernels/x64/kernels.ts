/**
 * Table of the kernels that stand in for functions of the WASM module, in AVX-512: same arguments, same operations in the same
 * order on each number, so the same bits; only more numbers at once. Each row says which calls it serves; all others stay with
 * the WASM module. Pure; any thread.
 *
 * README.md in this folder says how to add one. Test: node dist/test/kernels/x64/kernels.test.js
 */
import type { WasmExports } from '../abi.js'
import { ACTIVATION_CODES, biasActivate, derivativeBackward } from './activations.js'
import { adam, adamRows } from './adam.js'
import type { Assembler } from './assembler.js'
import { backward, forward } from './bf16-blocks.js'
import { columns, pairs, rows } from './bf16-layouts.js'
import { updatedWeights, weights } from './bf16-weights.js'
import { BLOCK_ROW_BYTES, F32_BYTES, GROUP, LANES, PAIR_BYTES, VECTOR_BYTES } from './constants.js'
import { biasRelu, biasReluDropout, columnSums, copyRows, dropout, gather, reluBackward } from './elementwise.js'
import { philoxKeys } from './emit-helpers.js'
import { mapNormalise, mapNormBackward, mapSums } from './map-norm.js'
import * as M from './map-signatures.js'
import { pool, poolBackward } from './pool.js'
import type { Signature } from './signature.js'
import * as S from './signatures.js'

type Arguments = readonly number[]

/** A kernel for the calls that it serves; of a size that is no multiple, the rest is the WASM module's. */
export interface X64Kernel<N extends string = string> {
  readonly name: keyof WasmExports
  readonly signature: Signature<N>
  readonly code: () => Assembler
  /** The argument that counts columns or numbers, and the multiple in which it is served. */
  readonly size: { readonly argument: N; readonly multiple: number }
  /** Increments of arguments for the rest, for each of `size` that has been served. */
  readonly moves: Readonly<Partial<Record<N, number>>>
  readonly serves: (args: Arguments) => boolean
  /** True if the module has work left even if nothing is left of `size`. */
  readonly leaves?: (args: Arguments) => boolean
  /** Changes of arguments for the rest beyond `moves`. */
  readonly moveMore?: (args: number[], served: number) => void
  /** Writes words of the block that are derived from arguments. */
  readonly prepare?: (words: Uint32Array, args: Arguments) => void
}

/** Minimum of elements with which a call pays. */
const MIN_ELEMENTS = 512
/** The same of dropout, in the module's vectors: each takes a counter of Philox. */
const MIN_DROPOUT_VECTORS = 128
/** Floats that the WASM module counts as one vector. */
const WASM_VECTOR = 4
const WASM_VECTOR_BYTES = WASM_VECTOR * F32_BYTES
const OCTET = 8
const F64_BYTES = 8

type Positions<N extends string> = Readonly<Record<N, number>>
const enough = (floats: number): boolean => floats >= MIN_ELEMENTS
/** A row-major matrix of (rows, vectors) that is one panel. */
const rowMajor =
  ({ rows, panels, vectors }: Positions<'rows' | 'panels' | 'vectors'>) =>
  (args: Arguments): boolean =>
    args[panels] === 1 && enough(WASM_VECTOR * args[rows] * args[vectors])
/** Rows of a matrix that is row-major in any case. */
const ofRows =
  ({ rows, vectors }: Positions<'rows' | 'vectors'>) =>
  (args: Arguments): boolean =>
    enough(WASM_VECTOR * args[rows] * args[vectors])
/** The values under the windows of a sample. */
const ofWindows =
  ({ outHeight, outWidth, vectors, size }: Positions<'outHeight' | 'outWidth' | 'vectors' | 'size'>) =>
  (args: Arguments): boolean =>
    enough(WASM_VECTOR * args[outHeight] * args[outWidth] * args[vectors] * args[size] ** 2)
const allPadded =
  ({ rows, padded }: Positions<'rows' | 'padded'>) =>
  (args: Arguments): boolean =>
    args[rows] === args[padded]
/** The module writes zeros past the last row. */
const zeroPadsRows =
  ({ rows, padded }: Positions<'rows' | 'padded'>) =>
  (args: Arguments): boolean =>
    args[padded] > args[rows]
const keysOf =
  ({ k0, k1 }: Positions<'k0' | 'k1'>) =>
  (words: Uint32Array, args: Arguments): void =>
    philoxKeys(words, args[k0], args[k1])

const ADAM_MOVES = { w: F32_BYTES, m: F32_BYTES, v: F32_BYTES, g: F32_BYTES }
const WEIGHT_MOVES = { w: BLOCK_ROW_BYTES, padded: -1, pairs: PAIR_BYTES / 2 }

type WeightPositions = Positions<'transposed' | 'transposedBlock' | 'transposedPairs'>
const servesWeights =
  ({ transposed, transposedPairs }: WeightPositions) =>
  (args: Arguments): boolean =>
    args[transposed] === 0 || args[transposedPairs] % LANES === 0
/** Rows in a block of the transposed layout. */
const BLOCK_ROWS = 64
const moveTransposed =
  ({ transposed, transposedBlock }: WeightPositions) =>
  (args: number[], served: number): void => {
    if (args[transposed] === 0) return
    const blocks = Math.floor(served / BLOCK_ROWS) * args[transposedBlock]
    args[transposed] += blocks + (served % BLOCK_ROWS) * (PAIR_BYTES / BLOCK_ROWS)
  }
const always = () => true

/** A row of the table, whose names the compiler compares with those of the signature. */
const kernel = <N extends string>(of: X64Kernel<N>): X64Kernel => of as unknown as X64Kernel

export const KERNELS: readonly X64Kernel[] = [
  kernel({
    name: 'adam',
    signature: S.ADAM,
    code: adam,
    serves: args => enough(args[S.ADAM.at.n]),
    size: { argument: 'n', multiple: LANES },
    moves: ADAM_MOVES,
  }),
  kernel({
    name: 'adam_rows',
    signature: S.ADAM_ROWS,
    code: adamRows,
    serves: args => enough(args[S.ADAM_ROWS.at.n] * args[S.ADAM_ROWS.at.rows]),
    size: { argument: 'n', multiple: LANES },
    moves: ADAM_MOVES,
  }),
  kernel({
    name: 'bias_relu',
    signature: S.BIAS_RELU,
    code: biasRelu,
    serves: rowMajor(S.BIAS_RELU.at),
    size: { argument: 'vectors', multiple: LANES / WASM_VECTOR },
    moves: { z: WASM_VECTOR_BYTES, bias: WASM_VECTOR_BYTES },
  }),
  kernel({
    name: 'bias_relu_dropout',
    signature: S.BIAS_RELU_DROPOUT,
    code: biasReluDropout,
    serves: rowMajor(S.BIAS_RELU_DROPOUT.at),
    size: { argument: 'vectors', multiple: LANES },
    moves: { z: WASM_VECTOR_BYTES, first: 1, bias: WASM_VECTOR_BYTES },
    prepare: keysOf(S.BIAS_RELU_DROPOUT.at),
  }),
  kernel({
    name: 'dropout',
    signature: S.DROPOUT,
    code: dropout,
    serves: args => {
      const { derivatives, panels, rows, vectors } = S.DROPOUT.at
      return args[derivatives] === 0 && args[panels] === 1 && args[rows] * args[vectors] >= MIN_DROPOUT_VECTORS
    },
    size: { argument: 'vectors', multiple: LANES / 2 },
    moves: { z: WASM_VECTOR_BYTES, first: 1 },
    prepare: keysOf(S.DROPOUT.at),
  }),
  kernel({
    name: 'gather',
    signature: S.GATHER,
    code: gather,
    serves: args => {
      const { rows, panels, features } = S.GATHER.at
      return args[panels] === 1 && args[features] % LANES === 0 && enough(args[rows] * args[features])
    },
    size: { argument: 'rows', multiple: 1 },
    moves: {},
  }),
  kernel({
    name: 'relu_backward',
    signature: S.RELU_BACKWARD,
    code: reluBackward,
    serves: rowMajor(S.RELU_BACKWARD.at),
    size: { argument: 'vectors', multiple: LANES / WASM_VECTOR },
    moves: { dx: WASM_VECTOR_BYTES, a: WASM_VECTOR_BYTES },
  }),
  kernel({
    name: 'bias_activate',
    signature: S.BIAS_ACTIVATE,
    code: biasActivate,
    serves: args => {
      const { code, vectors, width } = S.BIAS_ACTIVATE.at
      // The module writes zeros past the last column.
      const isInside = args[width] >= WASM_VECTOR * (args[vectors] - (args[vectors] % (LANES / WASM_VECTOR)))
      return isInside && ACTIVATION_CODES.includes(args[code]) && rowMajor(S.BIAS_ACTIVATE.at)(args)
    },
    size: { argument: 'vectors', multiple: LANES / WASM_VECTOR },
    moves: { z: WASM_VECTOR_BYTES, bias: WASM_VECTOR_BYTES, width: -WASM_VECTOR },
    moveMore: (args, served) => {
      const { derivatives } = S.BIAS_ACTIVATE.at
      if (args[derivatives] !== 0) args[derivatives] += WASM_VECTOR_BYTES * served
    },
  }),
  kernel({
    name: 'derivative_backward',
    signature: S.DERIVATIVE_BACKWARD,
    code: derivativeBackward,
    serves: rowMajor(S.DERIVATIVE_BACKWARD.at),
    size: { argument: 'vectors', multiple: LANES / WASM_VECTOR },
    moves: { dx: WASM_VECTOR_BYTES, derivatives: WASM_VECTOR_BYTES },
  }),
  kernel({
    name: 'column_sums',
    signature: S.COLUMN_SUMS,
    code: columnSums,
    serves: args => {
      const { rows, vectors, accumulate } = S.COLUMN_SUMS.at
      return args[accumulate] === 0 && enough(WASM_VECTOR * args[rows] * args[vectors])
    },
    size: { argument: 'vectors', multiple: LANES },
    moves: { g: WASM_VECTOR_BYTES, dz: WASM_VECTOR_BYTES },
  }),
  kernel({
    name: 'map_sums',
    signature: M.MAP_SUMS,
    code: mapSums,
    serves: ofRows(M.MAP_SUMS.at),
    size: { argument: 'vectors', multiple: LANES / WASM_VECTOR },
    moves: {
      ...{ products: WASM_VECTOR * F64_BYTES, sums: WASM_VECTOR * F64_BYTES },
      ...{ a: WASM_VECTOR_BYTES, b: WASM_VECTOR_BYTES },
    },
  }),
  kernel({
    name: 'map_normalise',
    signature: M.MAP_NORMALISE,
    code: mapNormalise,
    serves: ofRows(M.MAP_NORMALISE.at),
    size: { argument: 'vectors', multiple: LANES / WASM_VECTOR },
    moves: { z: WASM_VECTOR_BYTES, table: VECTOR_BYTES },
    moveMore: (args, served) => {
      const { normed } = M.MAP_NORMALISE.at
      if (args[normed] !== 0) args[normed] += WASM_VECTOR_BYTES * served
    },
  }),
  kernel({
    name: 'map_norm_backward',
    signature: M.MAP_NORM_BACKWARD,
    code: mapNormBackward,
    serves: ofRows(M.MAP_NORM_BACKWARD.at),
    size: { argument: 'vectors', multiple: LANES / WASM_VECTOR },
    moves: { dy: WASM_VECTOR_BYTES, normed: WASM_VECTOR_BYTES, table: VECTOR_BYTES },
  }),
  kernel({
    name: 'pool',
    signature: M.POOL,
    code: pool,
    serves: ofWindows(M.POOL.at),
    size: { argument: 'vectors', multiple: LANES / WASM_VECTOR },
    moves: { out: WASM_VECTOR_BYTES, x: WASM_VECTOR_BYTES },
  }),
  kernel({
    name: 'pool_backward',
    signature: M.POOL_BACKWARD,
    code: poolBackward,
    serves: ofWindows(M.POOL_BACKWARD.at),
    size: { argument: 'vectors', multiple: LANES / WASM_VECTOR },
    moves: { dx: WASM_VECTOR_BYTES, dz: WASM_VECTOR_BYTES, x: WASM_VECTOR_BYTES },
  }),
  kernel({
    name: 'copy_rows',
    signature: S.COPY_ROWS,
    code: copyRows,
    serves: args => enough((args[S.COPY_ROWS.at.rows] * args[S.COPY_ROWS.at.bytes]) / F32_BYTES),
    size: { argument: 'bytes', multiple: VECTOR_BYTES },
    moves: { to: 1, from: 1 },
  }),
  kernel({
    name: 'bf16_rows',
    signature: S.BF16_ROWS,
    code: rows,
    serves: args => enough(OCTET * args[S.BF16_ROWS.at.rows] * args[S.BF16_ROWS.at.octets]),
    size: { argument: 'octets', multiple: LANES / OCTET },
    moves: { to: OCTET * 2, from: OCTET * F32_BYTES },
  }),
  kernel({
    name: 'bf16_pairs',
    signature: S.BF16_PAIRS,
    code: pairs,
    serves: args => allPadded(S.BF16_PAIRS.at)(args) && args[S.BF16_PAIRS.at.rows] % 2 === 0,
    size: { argument: 'rows', multiple: 1 },
    moves: {},
  }),
  kernel({
    name: 'bf16_columns',
    signature: S.BF16_COLUMNS,
    code: columns,
    serves: args => {
      const { rows, vectors } = S.BF16_COLUMNS.at
      return allPadded(S.BF16_COLUMNS.at)(args) && args[rows] % (2 * LANES) === 0 && args[vectors] % WASM_VECTOR === 0
    },
    size: { argument: 'rows', multiple: 1 },
    moves: {},
  }),
  kernel({
    name: 'bf16_weights',
    signature: S.BF16_WEIGHTS,
    code: weights,
    serves: servesWeights(S.BF16_WEIGHTS.at),
    size: { argument: 'rows', multiple: GROUP },
    leaves: zeroPadsRows(S.BF16_WEIGHTS.at),
    moves: WEIGHT_MOVES,
    moveMore: moveTransposed(S.BF16_WEIGHTS.at),
  }),
  kernel({
    name: 'bf16_adam',
    signature: S.BF16_ADAM,
    code: updatedWeights,
    serves: servesWeights(S.BF16_ADAM.at),
    size: { argument: 'rows', multiple: GROUP },
    leaves: zeroPadsRows(S.BF16_ADAM.at),
    moves: { ...WEIGHT_MOVES, m: BLOCK_ROW_BYTES, v: BLOCK_ROW_BYTES, g: BLOCK_ROW_BYTES },
    moveMore: moveTransposed(S.BF16_ADAM.at),
  }),
  kernel({
    name: 'bf16_forward',
    signature: S.BF16_FORWARD,
    code: () => forward(false),
    serves: always,
    size: { argument: 'rows', multiple: 1 },
    moves: {},
  }),
  kernel({
    name: 'bf16_forward_dropout',
    signature: S.BF16_FORWARD_DROPOUT,
    code: () => forward(true),
    serves: always,
    size: { argument: 'rows', multiple: 1 },
    moves: {},
    prepare: keysOf(S.BF16_FORWARD_DROPOUT.at),
  }),
  kernel({
    name: 'bf16_backward',
    signature: S.BF16_BACKWARD,
    code: backward,
    serves: allPadded(S.BF16_BACKWARD.at),
    size: { argument: 'rows', multiple: 1 },
    moves: {},
  }),
]
