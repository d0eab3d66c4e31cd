/**
 * Encoding of a table's columns as features: kinds, categories, fills and scales, fitted on the training rows and kept in
 * every checkpoint, so that prediction, `serve`, `export` and `train --from` use exactly that. JSON; any thread.
 */

/** Features that one column becomes. All numbers are f64; features are computed in f64 and rounded once. */
export type ColumnEncoding =
  | {
      readonly column: string
      readonly kind: 'number'
      /** Feature: (x - offset) * factor; factor is 0 for a column that is constant. */
      readonly offset: number
      readonly factor: number
      /** Value in the place of a missing one: the median of the training rows. */
      readonly fill: number
      /** True if a second feature is 1 where the value is missing, else 0. */
      readonly indicator: boolean
    }
  | {
      readonly column: string
      readonly kind: 'boolean'
      readonly fill: number
      readonly indicator: boolean
    }
  | {
      readonly column: string
      readonly kind: 'category'
      /** One feature each, 1 for that category; sorted. Numbers are written as JavaScript prints them. */
      readonly categories: readonly string[]
      /** True if one more feature, the last, is 1 where the value is missing. */
      readonly missing: boolean
      /** Number of buckets that rarer categories are hashed into, after the categories; 0: none. */
      readonly buckets: number
    }
  | {
      readonly column: string
      readonly kind: 'date'
      /** Parts that vary in the training rows: each becomes sine and cosine, or a number. */
      readonly parts: readonly ('year' | 'month' | 'day' | 'weekday' | 'hour' | 'minute')[]
      /** Elapsed time in seconds: (x - offset) * factor. */
      readonly offset: number
      readonly factor: number
      readonly fill: number
      readonly indicator: boolean
    }

/** Column that was left out, and the reason. */
export interface UnusedColumn {
  readonly column: string
  readonly reason: string
}

export interface TableEncoding {
  readonly version: 1
  /** Features in the order of the network's inputs. */
  readonly columns: readonly ColumnEncoding[]
  /** Target columns, in order. */
  readonly targets: readonly string[]
  /** Column whose values are the samples' weights; null: every weight is 1. */
  readonly weight: string | null
  readonly unused: readonly UnusedColumn[]
}
