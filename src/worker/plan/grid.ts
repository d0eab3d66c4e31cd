/**
 * Blocks of rows x columns of a layer's outputs: the tasks of a pass that runs layer by layer. A function of the network
 * and the mini-batch alone, never of the workers. Pure; runs in workers.
 */
import type { Backend, Columns, Rows } from '../../kernels/backend.js'

/** Divides (cols) into up to 16 ranges that begin at multiples of `unit`. */
export function columnRanges(cols: number, unit: number): Columns[] {
  const width = Math.ceil(cols / (BLOCKS * unit)) * unit
  return Array.from({ length: Math.ceil(cols / width) }, (_, i) => ({
    start: i * width,
    end: Math.min((i + 1) * width, cols),
  }))
}

/** The height of a grid's blocks where each has all columns; else null. */
export function wholeRows(rows: number, cols: number, depth: number, unit: BlockUnit): number | null {
  const blocks = divideGrid(rows, cols, depth, unit)
  return blocks.every(({ columns }) => columns.end - columns.start === cols) ? blocks[0].rows : null
}

export type BlockUnit = Pick<Backend, 'blockRows' | 'blockColumns' | 'blockCost'>

export interface Block extends Rows {
  readonly columns: Columns
}

/** Work of a block beside others of its grid. */
export const workOfBlock = ({ rows, columns }: Block): number => rows * (columns.end - columns.start)

/** Blocks of a grid: enough for 16 workers, unless they have less work than a product is worth its call. */
const BLOCKS = 16
/** Multiplications that make a block worth its call. */
const MIN_BLOCK_WORK = 6e6
/** Overhead of a block's edges, in rows and columns: a block of 128 x 128 runs at 0.9 of the speed of the whole product. */
const EDGE = 8
const costOfBlock = (rows: number, cols: number): number => rows * cols * (1 + EDGE * (1 / rows + 1 / cols))

/** Returns the blocks over some rows of a layer, joined into groups if these are given; they are kept for each number of rows. */
export function gridOf(
  cols: number,
  depth: number,
  unit: BlockUnit,
  groups: number | null = null,
  /** Rows that no block goes beyond; null: all. */
  height: number | null = null,
): (rows: number) => readonly Block[] {
  const known = new Map<number, readonly Block[]>()
  return rows => {
    let blocks = known.get(rows)
    if (!blocks) {
      const divided =
        height === null ? divideGrid(rows, cols, depth, unit) : divideGroups(rows, cols, depth, unit, height)
      blocks = groups === null ? divided : joinBlocks(divided, groups)
      known.set(rows, blocks)
    }
    return blocks
  }
}

/**
 * Joins blocks of a grid into about `groups` groups of neighbours, as many blocks in each as can be, each with the size of its blocks:
 * of all rows and some columns if there are columns enough, since kernels that prepare rows once for all columns, or weights once for
 * all rows, take longer for each block by itself.
 */
export function joinBlocks(blocks: readonly Block[], groups: number): Block[] {
  const [{ rows: height, columns: first }] = blocks
  const width = first.end - first.start
  const last = blocks[blocks.length - 1]
  const [rows, cols] = [last.row + last.rows, last.columns.end]
  const wide = Math.ceil(cols / width)
  const across = ranges(cols, width, groups)
  const down = ranges(rows, height, Math.ceil(groups / wide))
  return across.flatMap(({ start, end }) =>
    down.map(range => ({
      row: range.start,
      rows: range.end - range.start,
      columns: { start, end, block: { rows: height, columns: width } },
    })),
  )
}

/** Ranges of (total) that begin at multiples of `size`: `count` if there are so many pieces, with equally many in each, or one more. */
function ranges(total: number, size: number, count: number): Columns[] {
  const pieces = Math.ceil(total / size)
  const parts = Math.min(count, pieces)
  const startOf = (part: number) => Math.min(total, size * Math.floor((part * pieces) / parts))
  return Array.from({ length: parts }, (_, part) => ({ start: startOf(part), end: startOf(part + 1) }))
}

/** Blocks of groups of so many rows, enough of all groups together. */
function divideGroups(rows: number, cols: number, depth: number, unit: BlockUnit, height: number): Block[] {
  const groups = Math.ceil(rows / height)
  const most = 2 ** Math.max(0, Math.ceil(Math.log2(BLOCKS / groups)))
  return Array.from({ length: groups }, (_, group) => group * height).flatMap(first =>
    divideGrid(Math.min(height, rows - first), cols, depth, unit, most).map(block => ({
      ...block,
      row: first + block.row,
    })),
  )
}

const upTo = (n: number, unit: number): number => Math.ceil(n / unit) * unit

/**
 * Divides (rows, cols), sums of `depth` products, into up to about 16 blocks that begin at multiples of the units, of the
 * shape that costs least. Exported for tests.
 */
export function divideGrid(rows: number, cols: number, depth: number, unit: BlockUnit, most = BLOCKS): Block[] {
  const { blockRows, blockColumns, blockCost = costOfBlock } = unit
  const powers = Math.min(Math.log2(most), Math.max(0, Math.floor(Math.log2((rows * cols * depth) / MIN_BLOCK_WORK))))
  const choices = Array.from({ length: powers + 1 }, (_, power) => {
    const height = upTo(rows / 2 ** power, blockRows)
    const width = upTo(cols / 2 ** (powers - power), blockColumns)
    return { height, width, cost: blockCost(height, width) }
  })
  const { height, width } = choices.reduce((best, choice) => (choice.cost < best.cost ? choice : best))
  const blocks: Block[] = []
  // Blocks of the same columns follow each other, so that their weights are read from memory once.
  for (let start = 0; start < cols; start += width) {
    const columns = { start, end: Math.min(start + width, cols) }
    for (let row = 0; row < rows; row += height) {
      blocks.push({ row, rows: Math.min(height, rows - row), columns })
    }
  }
  return blocks
}
