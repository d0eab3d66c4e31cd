/**
 * Columns of a table as text: which are learned from, which are left out and why, and columns that look like numbers but
 * are not written as gradloom reads them. Pure; any thread.
 */
import { inspect } from 'node:util'
import { DataError } from '../errors.js'
import { formatCounted, formatList } from '../format.js'
import type { DataConfig } from './source.js'

type CsvConfig = DataConfig['csv']
type Column = string | number

/** A number as people and programs write it; not NaN, not an infinity, no digits in groups. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
/** A number with a decimal comma or with digits in groups: "9,1", "1.234,5", "1,234.5", "12 000". */
const OTHER_NUMBER = /^[+-]?(\d+,\d+|\d{1,3}([.,' \u00a0\u202f]\d{3})+([.,]\d+)?)$/
/** Spellings of a missing value in other programs. */
const MISSING = /^(|\?|-+|\.|n\/?a|nan|null|none|missing|[+-]?inf(inity)?)$/i
/** Names that programs give to the row numbers that they write. */
const COUNTER = /^(|unnamed: ?\d+|index|id|no|nr|row|row_?(id|index|number|names?)|rownum)$/i
/** Names shown in a line. */
const MOST_SHOWN = 12

/** Indices of columns. */
export interface Chosen {
  readonly labels: readonly number[]
  readonly features: readonly number[]
}

export const isNumber = (field: string): boolean => NUMBER.test(field.trim())

/**
 * Columns of labels and features. `wanted`: names of the feature columns of the training file. Throws DataError for a
 * column that is not there, that is chosen twice, or that is a label and a feature.
 */
export function chooseColumns(
  file: string,
  names: readonly string[],
  firstRow: readonly string[],
  config: CsvConfig,
  wanted: readonly string[] | null,
): Chosen {
  const indexOf = (setting: string, column: Column): number => {
    const index = typeof column === 'number' ? column : names.indexOf(column)
    if (index >= 0 && index < names.length) return index
    throw new DataError(
      `${file}: ${setting} is ${inspect(column)}, expected one of its ${names.length} columns: ${names.slice(0, 20).join(', ')}` +
        `${names.length > 20 ? ', …' : ''}`,
    )
  }
  const labels =
    config.label === null
      ? [names.length - 1]
      : [config.label].flat().map((column: Column) => indexOf('data.csv.label', column))
  const features = wanted
    ? wanted.map(name => indexOf('a column of the training rows', name))
    : config.features
      ? config.features.map(column => indexOf('data.csv.features', column))
      : names.map((_, column) => column).filter(column => !labels.includes(column) && isNumber(firstRow[column]))
  const both = labels.find(column => features.includes(column))
  if (both !== undefined) {
    throw new DataError(`${file}: data.csv.features has ${inspect(names[both])}, the column of data.csv.label`)
  }
  for (const [setting, columns] of [
    ['data.csv.label', labels],
    ['data.csv.features', features],
  ] as const) {
    const twice = columns.find((column, i) => columns.indexOf(column) !== i)
    if (twice === undefined) continue
    throw new DataError(`${file}: ${setting} has ${inspect(names[twice])} twice, expected each column once`)
  }
  return { labels, features }
}

/** Statistics of the fields of a column that was not chosen. */
interface Fields {
  readonly column: number
  numbers: number
  texts: number
  /** First field that is no number, and its line in the file. */
  first: { readonly line: number; readonly text: string } | null
}

/**
 * Fields of the columns that the first row did not choose: a gap, or a decimal comma, in the first row must not remove a
 * column of numbers. Columns that the experiment names are not watched: the choice is its own.
 */
export class ColumnsLeftOut {
  readonly #fields: readonly Fields[]
  #rows = 0

  constructor(names: readonly string[], { labels, features }: Chosen) {
    this.#fields = names
      .map((_, column) => column)
      .filter(column => !labels.includes(column) && !features.includes(column))
      .map(column => ({ column, numbers: 0, texts: 0, first: null }))
  }

  add(record: readonly string[], line: number): void {
    this.#rows++
    for (const fields of this.#fields) {
      const text = record[fields.column].trim()
      if (NUMBER.test(text)) {
        fields.numbers++
        continue
      }
      fields.first ??= { line, text }
      if (OTHER_NUMBER.test(text)) fields.numbers++
      else if (!MISSING.test(text)) fields.texts++
    }
  }

  /** Throws DataError for a column of numbers with some fields that are none. */
  refuseNumbers(file: string, names: readonly string[]): void {
    for (const { column, numbers, texts, first } of this.#fields) {
      if (first === null || numbers === 0 || (texts > 0 && 2 * numbers <= this.#rows)) continue
      throw notFinite(
        `${file}: line ${first.line}: column ${inspect(names[column])}`,
        first.text,
        `; ${numbers} of the column's ${this.#rows} fields are numbers`,
      )
    }
  }

  /** Columns with the reason why they are left out. */
  reasons(names: readonly string[]): string[] {
    return this.#fields.map(({ column, texts, first }) => {
      const text = first?.text ?? ''
      return `${inspect(names[column])} (${texts === 0 ? 'no values' : `text, as ${inspect(shortened(text))}`})`
    })
  }
}

/** The error for a field that is no number. `evidence` begins with "; " where there is some. */
export function notFinite(where: string, text: string, evidence = ''): DataError {
  const other = OTHER_NUMBER.test(text)
  const expected = other ? 'a number with a decimal point and no groups of digits' : 'a finite number'
  return new DataError(`${where} is ${inspect(shortened(text))}, expected ${expected}${evidence}`, {
    hint: other
      ? 'write numbers as 1234.5, or choose other feature columns: data.csv.features'
      : 'fill in or leave out such rows, or choose other feature columns: data.csv.features',
  })
}

const shortened = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text)

/** Numbers of a column that begin anywhere and grow by 1 each row. */
export class RowCounters {
  #counting: { readonly column: number; next: number }[] = []
  #rows = 0

  add(numbers: readonly number[]): void {
    if (this.#rows++ === 0) this.#counting = numbers.map((value, column) => ({ column, next: value }))
    if (this.#counting.length > 0) this.#counting = this.#counting.filter(each => numbers[each.column] === each.next++)
  }

  /** Warnings about columns that are row numbers by their name and their values. */
  warnings(file: string, names: readonly string[]): string[] {
    if (this.#rows < 3) return []
    return this.#counting
      .filter(({ column }) => COUNTER.test(names[column]))
      .map(
        ({ column }) =>
          `${file}: column ${inspect(names[column])} counts the rows and is learned from; it tells the class only where rows ` +
          'are sorted; data.csv.features names the columns to learn from',
      )
  }
}

/** A first line of numbers is most likely a row; whole numbers that count up may be names. */
export function headerWarning(file: string, names: readonly string[], { features }: Chosen): string[] {
  const header = features.map(column => names[column])
  const counts = header.every(
    (name, i) => /^\d+$/.test(name) && (i === 0 || Number(name) === Number(header[i - 1]) + 1),
  )
  if (counts || !header.every(isNumber)) return []
  return [
    `${file}: the first line is taken for the names of the columns, and they are numbers (${listed(header)}); if it is a row: ` +
      '--set data.csv.header=false',
  ]
}

/** Names in one line, the rest counted. */
export const listed = (names: readonly string[]): string =>
  formatList(
    names.map(name => inspect(name)),
    MOST_SHOWN,
  )

/** Notes on the columns of a table, in lines. `reasons`: columns left out; null: the experiment names the features. */
export function columnNotes(
  columns: {
    readonly features: readonly string[]
    readonly labels: readonly string[]
    readonly others: readonly string[]
  },
  reasons: readonly string[] | null,
): string[] {
  const { features, labels, others } = columns
  const shown = reasons ?? others.map(name => inspect(name))
  const why = reasons ? '' : ', which data.csv.features does not name'
  return [
    `predicts ${listed(labels)} from ${formatCounted(features.length, 'column')}: ${listed(features)}`,
    ...(shown.length > 0 ? [`left out: ${formatList(shown, MOST_SHOWN)}${why}`] : []),
  ]
}
