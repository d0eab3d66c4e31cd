/** Table of the arguments of products in machine code, and of what they prepare. Pure; any thread. */
import { BF16_DEPTH } from '../layouts.js'
import type { PatchSizes } from '../products.js'
import { BF16_ROW_BYTES, BLOCK_ROW_BYTES, F32_BYTES, LANES, PAIR_BYTES, VECTOR_BYTES } from './constants.js'
import {
  count,
  type Extent,
  prefetched,
  read,
  rowsOf,
  type Space,
  signature,
  span,
  stride,
  updated,
  type Values,
  value,
  written,
} from './signature.js'

/** Products on AMX: c (32 · blocks, 64) = a · b, of `depth` times 32 terms. */
export const AMX_PRODUCT = signature(
  'amx_product',
  read('a', ({ blocks, aStride, depth }) => span(2 * LANES * blocks, aStride, VECTOR_BYTES * depth)),
  read('b', ({ depth }) => depth * BF16_DEPTH * BF16_ROW_BYTES),
  written('c', ({ blocks }) => 2 * LANES * blocks * BLOCK_ROW_BYTES),
  stride('aStride'),
  count('blocks'),
  count('depth'),
)

const lanesOf = (bits: number): number => 32 - Math.clz32(bits)
const WORD_LANES = 64

/** Masks of 16 bits each for the present numbers of a row, 64 at most. */
const validBytes: Extent = ({ valid0, valid1, valid2, valid3 }) => {
  const last = [valid3, valid2, valid1, valid0].findIndex(bits => bits > 0)
  return last < 0 ? 0 : F32_BYTES * (LANES * (3 - last) + lanesOf([valid3, valid2, valid1, valid0][last]))
}

export const rowWordsSignature = (space: Space) =>
  signature(
    'row_words',
    read('a', rowsOf('aStride', validBytes), { space }),
    stride('aStride'),
    count('rows'),
    ...[value('valid0'), value('valid1'), value('valid2'), value('valid3')],
    stride('bRow'),
  )

/** The numbers of k up to the last one that a word of a row names; `first` is where the words of the call begin. */
function namedPlaces(block: Uint32Array, from: number, rows: number): number {
  let last = 0
  for (let row = 0; row < rows; row++) {
    const [low, high] = [block[from / 4 + 2 * row], block[from / 4 + 2 * row + 1]]
    last = Math.max(last, high > 0 ? WORD_LANES / 2 + lanesOf(high) : lanesOf(low))
  }
  return last
}

/** `vectors`: those of a row of the panel; `wordsAt`: where the words of rows lie in the block. */
export function multiplySignature(space: Space, vectors: number, wordsAt: number) {
  const panelsBefore = ({ panels }: Values) => (panels - 1) * vectors * VECTOR_BYTES
  const cRow: Extent = values => panelsBefore(values) + (vectors - 1) * VECTOR_BYTES + F32_BYTES * lanesOf(values.mask)
  const places: Extent = ({ rows, first }, { block }) => namedPlaces(block, wordsAt + first, rows)
  return signature(
    'multiply_rows',
    read(
      'a',
      rowsOf('aStride', (values, memory) => F32_BYTES * places(values, memory)),
      { space },
    ),
    stride('aStride'),
    count('rows'),
    updated('c', rowsOf('cStride', cRow)),
    stride('cStride'),
    value('mask'),
    value('first'),
    prefetched('ahead'),
    stride('aheadStep'),
    read(
      'panel',
      (values, memory) => {
        const rows = places(values, memory)
        return rows === 0 ? 0 : span(rows, values.panelStride, panelsBefore(values) + vectors * VECTOR_BYTES)
      },
      { optional: true },
    ),
    stride('panelStride'),
    count('panels'),
  )
}

/** Product of one row of a by rows of b where they lie; `whole`: vectors of a row before the last, which `mask` limits. */
export function addRowsSignature(wordsAt: number) {
  const rowBytes: Extent = ({ whole, mask }) => whole * VECTOR_BYTES + F32_BYTES * lanesOf(mask)
  const places: Extent = ({ first }, { block }) => namedPlaces(block, wordsAt + first, 1)
  return signature(
    'add_rows',
    read('a', (values, memory) => F32_BYTES * places(values, memory)),
    read('b', (values, memory) => {
      const rows = places(values, memory)
      return rows === 0 ? 0 : span(rows, values.bStride, rowBytes(values, memory))
    }),
    stride('bStride'),
    updated('c', rowBytes),
    value('whole'),
    value('mask'),
    value('first'),
  )
}

/** `unionAt`: where the word lies in the block that names the rows; null: all of them. */
export const packSignature = (vectors: number, unionAt: number | null) =>
  signature(
    'pack_rows',
    read('b', (values, memory) => {
      const rows = unionAt === null ? values.rows : namedPlaces(memory.block, unionAt, 1)
      const rowBytes = (vectors - 1) * VECTOR_BYTES + F32_BYTES * lanesOf(values.mask)
      return rows === 0 ? 0 : span(rows, values.bStride, rowBytes)
    }),
    stride('bStride'),
    count('rows'),
    value('mask'),
  )

export const TRANSPOSE_BLOCKS = signature(
  'transpose_blocks',
  read('from', ({ fromStride, steps }) => span(LANES, fromStride, VECTOR_BYTES * steps)),
  stride('fromStride'),
  count('steps'),
  written('to', ({ steps, toStep, toStride }) => span(steps, toStep, span(LANES, toStride, VECTOR_BYTES)), {
    space: 'block',
  }),
  stride('toStride'),
  stride('toStep'),
)

export const TRANSPOSE_NUMBERS = signature(
  'transpose_numbers',
  read(
    'from',
    rowsOf('fromStride', ({ numbers }) => F32_BYTES * numbers),
  ),
  stride('fromStride'),
  count('rows'),
  count('numbers'),
  written('to', ({ numbers, toStride, rows }) => span(numbers, toStride, F32_BYTES * rows), { space: 'block' }),
  stride('toStride'),
)

/** Rows of a in bf16, 64 numbers of each at most; `mask`: pairs of numbers of the second half that are there. */
export const BF16_LISTS = signature(
  'bf16_lists',
  read(
    'a',
    rowsOf('aStride', ({ mask }) => BF16_ROW_BYTES / 2 + F32_BYTES * lanesOf(mask)),
  ),
  stride('aStride'),
  count('rows'),
  value('mask'),
)

/** Some 64-column blocks of b, `blocks` in all, of which these pairs of rows are packed. */
export const bf16PanelSignature = (blocks: number) =>
  signature(
    'bf16_panel',
    read('b', ({ pairs, bBlock }) => span(blocks, bBlock, PAIR_BYTES * pairs)),
    stride('bBlock'),
    count('pairs'),
  )

/** Rows from `first` on, by the panel; c in 64-column blocks, `cBlock` bytes from one to the next. */
export const bf16MultiplySignature = (blocks: number) =>
  signature(
    'bf16_multiply',
    updated('c', ({ rows, cBlock }) => span(blocks, cBlock, rows * BLOCK_ROW_BYTES)),
    stride('cBlock'),
    count('rows'),
    value('first'),
    prefetched('ahead'),
    stride('aheadStep'),
  )

/** Bytes of the picture that patches of so many rows of positions lie in. */
const pictureOf = ({ size, run, width, step, rowStep, pictureRow }: PatchSizes, rows: number): number =>
  (rows - 1) * rowStep + (width - 1) * step + span(size, pictureRow, F32_BYTES * run)

/** c = patches in a · b, of some rows of positions. */
export const patchProductSignature = (sizes: PatchSizes) => {
  const { size, run, width, vectors, bRow, cRow } = sizes
  return signature(
    'patch_product',
    read('a', ({ rows }) => pictureOf(sizes, rows)),
    read('b', () => span(size * run, bRow, VECTOR_BYTES * vectors)),
    written('c', ({ rows }) => span(rows * width, cRow, VECTOR_BYTES * vectors)),
    count('rows'),
  )
}

/** c = patches in a, transposed, · b, or plus that where `adds` is not zero. */
export const patchGradientSignature = (sizes: PatchSizes) => {
  const { size, run, width, vectors, bRow, cRow } = sizes
  return signature(
    'patch_gradient',
    read('a', ({ rows }) => pictureOf(sizes, rows)),
    read('b', ({ rows }) => span(rows * width, bRow, VECTOR_BYTES * vectors)),
    updated('c', () => span(size * run, cRow, VECTOR_BYTES * vectors)),
    count('rows'),
    value('adds'),
  )
}

export const CLEAR = signature(
  'clear',
  written('to', ({ vectors }) => vectors * VECTOR_BYTES),
  count('vectors'),
)
