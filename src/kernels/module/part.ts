/**
 * Locations of matrices, for the kernels other than products, which serve panels and row-major matrices alike.
 * Words as in assembly/layout.ts. Pure; runs in workers.
 */
import type { Matrix } from '../../tensor/tensor.js'
import type { Extent, Place } from '../abi.js'
import type { Columns } from '../backend.js'

/** Some columns of a matrix, from some row on: a row-major matrix is one panel. */
export interface Part {
  readonly place: Place
  readonly panels: number
  /** Vectors of a panel's row. */
  readonly vectors: number
  /** Bytes before these columns in a vector of units. */
  readonly offset: number
}

/** Locates parts of a backend's matrices: all columns unless some are given. */
export type PartOf = (matrix: Matrix) => (row: number, columns?: Columns) => Part

/** Location of a matrix that does not exist. */
export const NOWHERE: Place = [0, 0, 0]

export const extentOf = (rows: number, { panels, vectors }: Part): Extent => [rows, panels, vectors]
