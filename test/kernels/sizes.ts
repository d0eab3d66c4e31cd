/**
 * Sizes for kernel sweeps: around the edges of 12-wide panels, of SIMD's 4 lanes and of the micro-kernels' rows, and a
 * few beyond each block that a kernel works in (128 rows, 120 and 480 of the inner dimension, 192 inputs).
 */
export const ROWS = [1, 2, 3, 4, 5, 7, 8, 13, 64, 65]
export const WIDTHS = [1, 3, 4, 10, 11, 12, 13, 23, 24, 25, 37, 48, 49]

/** Rows, width, width. */
export const BEYOND_BLOCKS: readonly (readonly [number, number, number])[] = [
  [96, 12, 13],
  [97, 240, 12],
  [193, 241, 25],
  [5, 481, 3],
  [4, 3, 493],
  [98, 192, 241],
  [3, 193, 193],
  [100, 385, 37],
  [257, 121, 61],
]

/** Position of a case's rows in its batch buffers: rows before them, rows after them. */
export interface Placement {
  readonly row: number
  readonly B: number
}

/** Six placements, dealt by the case's number. */
export function placement(n: number, rows: number): Placement {
  const row = [0, 1, 6][n % 3]
  return { row, B: row + rows + [0, 2][n % 2] }
}

/** Sizes of a sweep, and how many there are, counted by hand. */
export interface Sweep<T extends readonly number[]> {
  readonly sizes: readonly T[]
  readonly count: number
}
export type ProductSizes = readonly [rows: number, inputs: number, outputs: number]
export type RowSizes = readonly [rows: number, width: number]

const products = ROWS.flatMap(rows => WIDTHS.flatMap(i => WIDTHS.map((o): ProductSizes => [rows, i, o])))

/** Rows x widths x widths, and beyond blocks. */
export const PRODUCTS: Sweep<ProductSizes> = { sizes: [...products, ...BEYOND_BLOCKS], count: 10 * 13 * 13 + 9 }

/** Rows x widths, and beyond blocks. */
export const BATCHES: Sweep<RowSizes> = {
  sizes: [...ROWS.flatMap(rows => WIDTHS.map((width): RowSizes => [rows, width])), [97, 241], [193, 12]],
  count: 10 * 13 + 2,
}

/** Widths x widths with the row counts in turn, and beyond a chunk of 192 inputs. */
export const UPDATES: Sweep<ProductSizes> = {
  sizes: [
    ...WIDTHS.flatMap((i, n) => WIDTHS.map((o, m): ProductSizes => [ROWS[(n * 13 + m) % 10], i, o])),
    ...([
      [3, 193, 13],
      [97, 205, 3],
      [5, 385, 25],
    ] as const),
  ],
  count: 13 * 13 + 3,
}

/** Every seventh size: 7 divides none of the lists' lengths, so that each row count and width stays. */
export function thinned<T extends readonly number[]>({ sizes, count }: Sweep<T>): Sweep<T> {
  return { sizes: sizes.filter((_, n) => n % 7 === 0), count: Math.ceil(count / 7) }
}
