/**
 * Decision how a column of text is read, from the meanings of all of its fields, and the conversion that follows. Nothing is
 * decided from a sample. Pure; any thread.
 */
import { formatCount } from '../../../format.js'
import type { ValueType } from '../columns.js'
import {
  booleanOf,
  Can,
  conversionOf,
  dateOf,
  isMissing,
  isOtherNumber,
  meaningOf,
  numberOf,
  timeOf,
} from './meaning.js'

/** Conversion of a column's texts to values. */
export interface Reading {
  readonly type: ValueType
  /** For a date: reading of 01/02/2020, or a time of day. */
  readonly dates: 'day-first' | 'month-first' | 'time' | null
}

export const TEXT: Reading = { type: 'text', dates: null }
const NUMBER: Reading = { type: 'number', dates: null }
const BOOLEAN: Reading = { type: 'boolean', dates: null }
const DATE: Reading = { type: 'date', dates: null }

/** Field that decided something, for a message. */
export interface Example {
  readonly row: number
  readonly text: string
}

/** Counts of the meanings of a column's fields. Empty fields are not counted. */
export class Meanings {
  fields = 0
  missing = 0
  numbers = 0
  infinite = 0
  booleans = 0
  dates = 0
  dayFirst = 0
  monthFirst = 0
  /** Dates that have both readings. */
  both = 0
  times = 0
  otherNumbers = 0
  huge = 0
  /** Whole numbers without a sign. */
  digits = 0
  padded = 0
  firstInfinite: Example | null = null
  firstMissing: Example | null = null
  firstNoNumber: Example | null = null
  firstBoth: Example | null = null
  firstPadded: Example | null = null

  constructor(readonly decimal: '.' | ',') {}

  /** Adds `count` fields of that text, which is trimmed and not empty; `row`: the first of them. */
  add(text: string, count: number, row: number): void {
    const can = meaningOf(text, this.decimal)
    this.fields += count
    if (can & Can.missing) {
      this.missing += count
      this.firstMissing = earlier(this.firstMissing, text, row)
      return
    }
    if (can & Can.number) this.numbers += count
    else this.firstNoNumber = earlier(this.firstNoNumber, text, row)
    if (can & Can.huge) this.huge += count
    if (can & Can.digits) this.digits += count
    if (can & Can.padded) {
      this.padded += count
      this.firstPadded = earlier(this.firstPadded, text, row)
    }
    if (can & Can.infinite) {
      this.infinite += count
      this.firstInfinite = earlier(this.firstInfinite, text, row)
    }
    if (can & Can.boolean) this.booleans += count
    if (can & Can.date) this.dates += count
    if (can & Can.dayFirst) this.dayFirst += count
    if (can & Can.monthFirst) this.monthFirst += count
    if ((can & Can.dayFirst) !== 0 && (can & Can.monthFirst) !== 0) {
      this.both += count
      this.firstBoth = earlier(this.firstBoth, text, row)
    }
    if (can & Can.time) this.times += count
    if (can & Can.otherNumber) this.otherNumbers += count
  }

  /** Fields that are neither empty nor a way to write that nothing is known. */
  get values(): number {
    return this.fields - this.missing
  }
}

function earlier(known: Example | null, text: string, row: number): Example {
  return known === null || row < known.row ? { row, text } : known
}

export interface Decision {
  readonly reading: Reading
  /** True if texts such as NA are missing values. */
  readonly missingTexts: boolean
  readonly warning?: string
  /** Why a column of numbers is text, where that is nothing to worry about. */
  readonly note?: string
  /** Field that the warning is about. */
  readonly example?: Example | null
}

/** `dayFirst`: the user's choice; null: none. Says in `warning` why a column that looks like something else stays text. */
export function decide(column: string, counts: Meanings, dayFirst: boolean | null): Decision {
  const { values } = counts
  if (counts.numbers + counts.infinite === values && (counts.numbers > 0 || values === 0)) {
    // The zeros of a code would be lost in a number, and codes have no order.
    if (counts.padded > 0 && counts.digits === values) {
      return {
        reading: TEXT,
        missingTexts: false,
        note: `column ${column} has codes with leading zeros, such as ${counts.firstPadded!.text}, and is text; if they are quantities, make it a number in data.columns`,
      }
    }
    if (counts.huge === 0) return { reading: NUMBER, missingTexts: true }
    return {
      reading: TEXT,
      missingTexts: false,
      warning:
        `column ${column} has integers above 2^53 (${formatCount(counts.huge)}), which f64 numbers cannot distinguish; it is text. ` +
        'If they are quantities, make it a number in data.columns',
    }
  }
  if (counts.booleans === values) return { reading: BOOLEAN, missingTexts: true }
  if (counts.times === values) return { reading: { type: 'date', dates: 'time' }, missingTexts: true }
  const dates = decideDates(column, counts, dayFirst)
  if (dates !== null) return dates
  return { reading: TEXT, missingTexts: false, ...textWarning(column, counts) }
}

function decideDates(column: string, counts: Meanings, dayFirst: boolean | null): Decision | null {
  const { values, dates } = counts
  if (dates === values) return { reading: DATE, missingTexts: true }
  const asDay = dates + counts.dayFirst === values
  const asMonth = dates + counts.monthFirst === values
  if (!asDay && !asMonth) return null
  if (asDay && asMonth && dayFirst === null) {
    return {
      reading: TEXT,
      missingTexts: false,
      example: counts.firstBoth,
      warning:
        `column ${column} has dates with two readings, as ${counts.firstBoth?.text}, and no date that decides; it is text. ` +
        'Say which number is the day: data.table.dayFirst true or false',
    }
  }
  const first = asDay && asMonth ? dayFirst : asDay
  return { reading: { type: 'date', dates: first ? 'day-first' : 'month-first' }, missingTexts: true }
}

/** Says it where most fields are numbers: one misspelt field must not change a column's meaning in silence. */
function textWarning(column: string, counts: Meanings): Pick<Decision, 'warning' | 'example'> {
  const { values, numbers, otherNumbers, firstNoNumber } = counts
  if (firstNoNumber === null || (numbers + otherNumbers) * 2 < values) return {}
  const isOther = isOtherNumber(firstNoNumber.text)
  const what = isOther
    ? 'a number in another form (a decimal comma, digits in groups, a currency or a percent sign)'
    : 'not a number'
  const advice = conversionOf(firstNoNumber.text) ?? 'If all should be, make it a number in data.columns'
  return {
    example: firstNoNumber,
    warning:
      `column ${column} is text: ${JSON.stringify(shortened(firstNoNumber.text))} is ${what}; ` +
      `${formatCount(numbers)} of its ${formatCount(values)} values are numbers. ${advice}`,
  }
}

export const shortened = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text)

/** Number of a text, NaN for a missing one, null if the text does not fit. `text` is trimmed; an empty one is missing. */
export function fieldValue(text: string, reading: Reading, decimal: '.' | ','): number | null {
  if (text === '' || isMissing(text)) return Number.NaN
  switch (reading.type) {
    case 'number': {
      const can = meaningOf(text, decimal)
      return can & Can.number ? numberOf(text, decimal) : null
    }
    case 'boolean':
      return booleanOf(text)
    case 'date':
      if (reading.dates === 'time') return timeOf(text)
      return dateOf(text, reading.dates === null ? null : reading.dates === 'day-first')
    default:
      return null
  }
}

/** Reading of a column whose type is demanded. */
export function demanded(type: ValueType, counts: Meanings, dayFirst: boolean | null): Reading {
  if (type === 'number') return NUMBER
  if (type === 'boolean') return BOOLEAN
  if (type === 'text') return TEXT
  if (counts.times > 0 && counts.times >= counts.dates) return { type: 'date', dates: 'time' }
  if (counts.dayFirst === 0 && counts.monthFirst === 0) return DATE
  const day = dayFirst ?? (counts.dayFirst === counts.monthFirst ? null : counts.dayFirst > counts.monthFirst)
  return { type: 'date', dates: day === null ? null : day ? 'day-first' : 'month-first' }
}
