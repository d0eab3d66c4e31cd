/**
 * Columns of a table: what a file has (type), what they mean to a network (kind), and their values in chunks of rows.
 * Types only; any thread.
 */

/**
 * Meaning of a column. `number`: a quantity. `category`: one of several names or codes. `boolean`: yes or no. `date`: a date, a
 * time of day, or both. `ignore`: not a feature, such as an identifier or free text.
 */
export type ColumnKind = 'number' | 'category' | 'boolean' | 'date' | 'ignore'

/** Values as the reader gives them: numbers (booleans are 0 and 1, dates seconds since 1970-01-01 UTC), or text. */
export type ValueType = 'number' | 'boolean' | 'date' | 'text'

/** Facts about one column, from all rows of the file. */
export interface ColumnProfile {
  readonly name: string
  /** Type in the file, or the one that all its values have: `DOUBLE`, `VARCHAR`, `DATE`, … */
  readonly sqlType: string
  readonly type: ValueType
  readonly missing: number
  /** Distinct values that are not missing; exact up to MOST_COUNTED, else an estimate that is larger. */
  readonly distinct: number
  /** Smallest and largest value of a number, boolean or date; null for text, or if all values are missing. */
  readonly range: readonly [number, number] | null
  /** True if every number is an integer. */
  readonly isInteger: boolean
  /** Reason why no values can be read, such as a nested type; absent: they can. Such a column has type text and 0 distinct values. */
  readonly unreadable?: string
}

/** Distinct values up to which a profile's count is exact. */
export const MOST_COUNTED = 10_000

/** Values of one column in consecutive rows. */
export type ColumnValues =
  | {
      readonly type: 'number' | 'boolean' | 'date'
      /** NaN where the value is missing. */
      readonly values: Float64Array
    }
  | {
      readonly type: 'text'
      /** Index in `dictionary`; -1 where the value is missing. */
      readonly codes: Int32Array
      /** Texts of this chunk, in the order in which they first occur in it. */
      readonly dictionary: readonly string[]
    }

/** Consecutive rows of a table, in the order of the file. */
export interface TableChunk {
  /** Index of the first row. */
  readonly firstRow: number
  readonly rows: number
  /** Requested columns by name. */
  readonly columns: ReadonlyMap<string, ColumnValues>
}
