/**
 * Encoding of a table's columns as features: kinds, categories, fills and scales, fitted on the training rows and kept in
 * every checkpoint, so that prediction, `serve`, `export` and `train --from` use exactly that. JSON; any thread.
 */

import type { EmbeddingShape } from '../../model/embedding.js'

/** Period of which a date becomes the position, as sine and cosine: of a year, month, week, day or hour. */
export const CYCLES = ['year', 'month', 'week', 'day', 'hour'] as const
export type Cycle = (typeof CYCLES)[number]

/** Values of the training rows, which forms offer. */
export interface SeenRange {
  readonly min: number
  readonly max: number
  /** Step that all values are multiples of: 1, or a day, a minute or a second; null: none. */
  readonly step: number | null
}

/** Quantity as a feature, z = (x - offset) * factor or that with a smooth limit, one more for each bin, and possibly one that is 1 where the value is missing. */
export interface NumberEncoding {
  readonly column: string
  readonly kind: 'number'
  readonly offset: number
  /** 0 for a column that is constant in the training rows. */
  readonly factor: number
  /** The first feature is z / √(1 + (z / limit)²); absent: z, and in files of older versions. */
  readonly limit?: number | undefined
  /**
   * Limits of bins, ascending: a feature for each two that follow each other is 0 below both, 1 above both, and linear between
   * (piecewise linear encoding; Gorishniy et al., "On embeddings for numerical features in tabular deep learning", 2022).
   */
  readonly knots: readonly number[]
  /** Value that replaces a missing one: the median of the training rows. */
  readonly fill: number
  /** True if a last feature is 1 where the value is missing, else 0. */
  readonly indicator: boolean
  /** Absent without a value, and in files of older versions. */
  readonly seen?: SeenRange | undefined
}

/** True for a number whose features are a linear one and possibly an indicator, which have faster encoders. */
export const isLinear = ({ knots, limit }: NumberEncoding): boolean => knots.length < 2 && limit === undefined

/** Yes or no as one feature, 1 or 0, and possibly an indicator as that of a number. */
export interface BooleanEncoding {
  readonly column: string
  readonly kind: 'boolean'
  /** The more frequent value of the training rows, 0 or 1. */
  readonly fill: number
  readonly indicator: boolean
}

export interface CategoryEncoding {
  readonly column: string
  readonly kind: 'category'
  /** One feature each, 1 for that category; sorted. Numbers are written as JavaScript prints them. */
  readonly categories: readonly string[]
  /** True if the training column has numbers or booleans: text is then compared as the number that it writes. */
  readonly numeric: boolean
  /** Features after the categories that all other values are hashed into; 0: a value that is no category has zeros alone. */
  readonly buckets: number
  /** True if one more feature, the last, is 1 where the value is missing. */
  readonly missing: boolean
  /** The most frequent category of the training rows, which forms begin with; absent without one, and in files of older versions. */
  readonly usual?: string | undefined
}

/** Date or time as positions in cycles, elapsed time, and possibly an indicator, in this order. */
export interface DateEncoding {
  readonly column: string
  readonly kind: 'date'
  /** Cycles that the training rows vary in: each becomes a sine and a cosine. */
  readonly cycles: readonly Cycle[]
  /** True if elapsed time is a feature: (x - offset) * factor, x in seconds since 1970. */
  readonly elapsed: boolean
  readonly offset: number
  readonly factor: number
  readonly fill: number
  readonly indicator: boolean
  /** Values of the training rows, as for a number, in seconds. */
  readonly seen?: SeenRange | undefined
}

/**
 * Category as a row of an embedding: one feature, its index. Row 0 is for values that are no category, those of a single training
 * row among them; then come the categories, and last, with `missing`, the row of missing values.
 */
export interface EmbeddedEncoding {
  readonly column: string
  readonly kind: 'embedding'
  /** Categories, and how they are written, as of one feature for each. */
  readonly categories: readonly string[]
  readonly numeric: boolean
  /** True if missing values have a row of their own; else theirs is row 0. */
  readonly missing: boolean
  /** Length of the learned vectors. */
  readonly size: number
  /** Most frequent category, as for a category with one feature for each. */
  readonly usual?: string | undefined
}

/** Features that one column becomes. All numbers are f64; features are computed in f64 and rounded once. */
export type ColumnEncoding = NumberEncoding | BooleanEncoding | CategoryEncoding | DateEncoding | EmbeddedEncoding

/** Kind of a column of the data. */
export type FeatureKind = Exclude<ColumnEncoding['kind'], 'embedding'>
export const kindOf = ({ kind }: Pick<ColumnEncoding, 'kind'>): FeatureKind =>
  kind === 'embedding' ? 'category' : kind

/** Rows of an embedding. */
export const rowsOfEmbedding = ({ categories, missing }: EmbeddedEncoding): number =>
  1 + categories.length + (missing ? 1 : 0)

/** Embeddings of a table's columns, whose indices are the last features of a row. */
export const embeddingsOf = ({ columns }: Pick<TableEncoding, 'columns'>): EmbeddingShape[] =>
  columns.flatMap(column => (column.kind === 'embedding' ? [{ rows: rowsOfEmbedding(column), size: column.size }] : []))

/** Column that was left out, and the reason. */
export interface UnusedColumn {
  readonly column: string
  readonly reason: string
}

export interface TableEncoding {
  readonly version: 1
  /** Features in the order of the network's inputs: embedded ones are the last. */
  readonly columns: readonly ColumnEncoding[]
  /** Target columns, in order. */
  readonly targets: readonly string[]
  /** Column whose values are the samples' weights; null: every weight is 1. */
  readonly weight: string | null
  readonly unused: readonly UnusedColumn[]
}

/** Names of the features of a column, in their order. */
export function featureNames(encoding: ColumnEncoding): string[] {
  const { column } = encoding
  const missing = `${column} is missing`
  switch (encoding.kind) {
    case 'category':
      return [
        ...encoding.categories.map(name => `${column} = ${name}`),
        ...Array.from({ length: encoding.buckets }, (_, bucket) => `${column} #${bucket}`),
        ...(encoding.missing ? [missing] : []),
      ]
    case 'date':
      return [
        ...encoding.cycles.flatMap(cycle => [`${column} ${cycle} (sine)`, `${column} ${cycle} (cosine)`]),
        ...(encoding.elapsed ? [column] : []),
        ...(encoding.indicator ? [missing] : []),
      ]
    case 'number':
      return [column, ...binNames(column, encoding.knots), ...(encoding.indicator ? [missing] : [])]
    case 'embedding':
      return [column]
    case 'boolean':
      return [column, ...(encoding.indicator ? [missing] : [])]
  }
}

const binNames = (column: string, knots: readonly number[]): string[] =>
  knots.slice(1).map((to, bin) => `${column} from ${knots[bin]} to ${to}`)

/** Number of features of a column. */
export function widthOf(encoding: ColumnEncoding): number {
  switch (encoding.kind) {
    case 'category':
      return encoding.categories.length + encoding.buckets + (encoding.missing ? 1 : 0)
    case 'date':
      return 2 * encoding.cycles.length + (encoding.elapsed ? 1 : 0) + (encoding.indicator ? 1 : 0)
    case 'number':
      return 1 + Math.max(0, encoding.knots.length - 1) + (encoding.indicator ? 1 : 0)
    case 'embedding':
      return 1
    case 'boolean':
      return encoding.indicator ? 2 : 1
  }
}

/** Number of features of a row. */
export const featureCount = ({ columns }: Pick<TableEncoding, 'columns'>): number =>
  columns.reduce((sum, column) => sum + widthOf(column), 0)
