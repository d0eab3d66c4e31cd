/**
 * Kernels of the WASM module again, in AVX-512: same arguments, same operations in the same order on each number, so the
 * same bits; only more numbers at once. Pure: what is here becomes code in code.ts. Which calls they serve says each
 * kernel's `serves`; all others stay with the WASM module.
 *
 * What they are called with says block.ts; CONSTANTS are at a fixed place of the block.
 *
 * Test: npx tap dist/test/tensor/x64.test.js
 */
import type { WasmExports } from '../abi.js'
import { adam, adamRows } from './adam.js'
import type { Assembler } from './assembler.js'
import { columns, pairs, rows } from './bf16-forms.js'
import { backward, forward } from './bf16-strips.js'
import { GROUP, updatedWeights, weights } from './bf16-weights.js'
import { biasReluDropout, columnSums, copyRows, gather, reluBackward } from './elementwise.js'
import { BYTES, LANES, PAIR_BYTES, STRIP_ROW_BYTES, schedule } from './emit-helpers.js'

type Arguments<N extends keyof WasmExports> = Parameters<WasmExports[N]>

/** A function of the WASM module, for calls that it serves; of a size that is no multiple, the rest is the module's. */
export interface X64Kernel<N extends keyof WasmExports = keyof WasmExports> {
  readonly name: N
  readonly code: () => Assembler
  /** The first argument that is a float32; all after it are. */
  readonly floatsFrom: number
  serves(...args: Arguments<N>): boolean
  /** The argument that counts columns, or numbers, and what it is served in multiples of. */
  readonly size: { readonly at: number; readonly multiple: number }
  /** By how much other arguments differ for the rest, for each that has been served: [argument, by]. */
  readonly moves: readonly (readonly [at: number, by: number])[]
  /** Whether the module has something to do even where no number is left. */
  leaves?(args: readonly number[]): boolean
  /** What else differs then. */
  move?(args: number[], served: number): void
  /** Words that are derived from arguments. */
  prepare?(words: Uint32Array, ...args: Arguments<N>): void
}

const kernel = <N extends keyof WasmExports>(of: X64Kernel<N>): X64Kernel => of as unknown as X64Kernel
const NO_FLOATS = 99
/** Fewer numbers are not worth the call. */
const WORTH = 512

const servesWeights = (...[, , , , turned, , turnedPairs]: Arguments<'bf16_weights' | 'bf16_adam'>) =>
  turned === 0 || turnedPairs % LANES === 0
/** Zeros past the last row. */
const leavesZeros = ([, rows, padded]: readonly number[]) => padded > rows
const movesOfWeights: X64Kernel['moves'] = [
  [0, STRIP_ROW_BYTES],
  [2, -1],
  [3, PAIR_BYTES / 2],
]
function moveTurned(args: number[], served: number): void {
  const [, , , , turned, turnedBlock] = args
  if (turned > 0) args[4] += Math.floor(served / 64) * turnedBlock + (served % 64) * (PAIR_BYTES / 64)
}

export const KERNELS: readonly X64Kernel[] = [
  kernel({
    name: 'adam',
    code: adam,
    floatsFrom: 5,
    serves: (_w, _m, _v, _g, n) => n >= WORTH,
    size: { at: 4, multiple: LANES },
    moves: [0, 1, 2, 3].map(i => [i, 4]),
  }),
  kernel({
    name: 'adam_rows',
    code: adamRows,
    floatsFrom: 8,
    serves: (...[, , , , n, rows]) => n * rows >= WORTH,
    size: { at: 4, multiple: LANES },
    moves: [0, 1, 2, 3].map(i => [i, 4]),
  }),
  kernel({
    name: 'bias_relu_dropout',
    code: biasReluDropout,
    floatsFrom: 15,
    serves: (_z, _zPanel, _zRow, rows, panels, vectors) => panels === 1 && 4 * rows * vectors >= WORTH,
    size: { at: 5, multiple: LANES },
    moves: [
      [0, 16],
      [6, 1],
      [7, 16],
    ],
    prepare: (words, ...args) => schedule(words, args[10], args[11]),
  }),
  kernel({
    name: 'gather',
    code: gather,
    floatsFrom: NO_FLOATS,
    serves: (...[, , , rows, panels, , features]) => panels === 1 && features % LANES === 0 && rows * features >= WORTH,
    size: { at: 3, multiple: 1 },
    moves: [],
  }),
  kernel({
    name: 'relu_backward',
    code: reluBackward,
    floatsFrom: 9,
    serves: (...[, , , , , , rows, panels, vectors]) => panels === 1 && 4 * rows * vectors >= WORTH,
    size: { at: 8, multiple: 4 },
    moves: [
      [0, 16],
      [3, 16],
    ],
  }),
  kernel({
    name: 'column_sums',
    code: columnSums,
    floatsFrom: NO_FLOATS,
    serves: (_g, _dz, _stride, rows, vectors, accumulate) => accumulate === 0 && 4 * rows * vectors >= WORTH,
    size: { at: 4, multiple: LANES },
    moves: [
      [0, 16],
      [1, 16],
    ],
  }),
  kernel({
    name: 'copy_rows',
    code: copyRows,
    floatsFrom: NO_FLOATS,
    serves: (_to, _toStride, _from, _fromStride, rows, bytes) => rows * bytes >= 4 * WORTH,
    size: { at: 5, multiple: BYTES },
    moves: [
      [0, 1],
      [2, 1],
    ],
  }),
  kernel({
    name: 'bf16_rows',
    code: rows,
    floatsFrom: NO_FLOATS,
    serves: (_to, _toStride, _from, _fromStride, rows, octets) => 8 * rows * octets >= WORTH,
    size: { at: 5, multiple: 2 },
    moves: [
      [0, 16],
      [2, 32],
    ],
  }),
  kernel({
    name: 'bf16_pairs',
    code: pairs,
    floatsFrom: NO_FLOATS,
    serves: (_to, _from, _stride, rows, padded) => rows === padded && rows % 2 === 0,
    size: { at: 3, multiple: 1 },
    moves: [],
  }),
  kernel({
    name: 'bf16_columns',
    code: columns,
    floatsFrom: NO_FLOATS,
    serves: (...[, , , , rows, vectors, padded]) => rows === padded && rows % (2 * LANES) === 0 && vectors % 4 === 0,
    size: { at: 4, multiple: 1 },
    moves: [],
  }),
  kernel({
    name: 'bf16_weights',
    code: weights,
    floatsFrom: NO_FLOATS,
    serves: servesWeights,
    size: { at: 1, multiple: GROUP },
    leaves: leavesZeros,
    moves: movesOfWeights,
    move: moveTurned,
  }),
  kernel({
    name: 'bf16_adam',
    code: updatedWeights,
    floatsFrom: 10,
    serves: servesWeights,
    size: { at: 1, multiple: GROUP },
    leaves: leavesZeros,
    moves: [...movesOfWeights, ...[7, 8, 9].map(i => [i, STRIP_ROW_BYTES] as const)],
    move: moveTurned,
  }),
  kernel({
    name: 'bf16_forward',
    code: () => forward(false),
    floatsFrom: NO_FLOATS,
    serves: () => true,
    size: { at: 3, multiple: 1 },
    moves: [],
  }),
  kernel({
    name: 'bf16_forward_dropout',
    code: () => forward(true),
    floatsFrom: 17,
    serves: () => true,
    size: { at: 3, multiple: 1 },
    moves: [],
    prepare: (words, ...args) => schedule(words, args[12], args[13]),
  }),
  kernel({
    name: 'bf16_backward',
    code: backward,
    floatsFrom: 12,
    serves: (...args) => args[3] === args[9],
    size: { at: 3, multiple: 1 },
    moves: [],
  }),
]
