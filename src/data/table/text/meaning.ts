/**
 * Meaning of a field of text: a number, a date, true or false, or a way to write that nothing is known. The type of a column
 * follows from all of its fields. Pure; any thread.
 */

/** A number as people and programs write it; no infinity, no digits in groups. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
const COMMA_NUMBER = /^[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?$/
const GROUPED = String.raw`\d{1,3}(?:[.,' _\u00a0\u202f]\d{3})+(?:[.,]\d+)?`
/**
 * Decimal separator that the rest does not have, digits in groups, a currency or a percent sign: "9,1", "1.234,5", "1,234.5", "12 000",
 * "1_000", "$5", "-3.5 %".
 */
const OTHER_NUMBER = new RegExp(String.raw`^[+-]?(?:[$€£¥] ?)?[+-]?(?:\d+(?:[.,]\d+)?|${GROUPED})(?: ?[%‰€$£¥])?$`)
const PADDED = /^0\d+$/
const INFINITE = /^[+-]?inf(inity)?$/i
const WHOLE = /^[+-]?\d+$/
const DIGITS = /^\d+$/
/** Texts that stand for a missing value in a column whose other values are all numbers, dates or booleans. */
const MISSING = new Set(['NA', 'N/A', 'NaN', 'nan', 'null', 'NULL', '?'])

const TIME = String.raw`(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*([AaPp][Mm])?`
const ZONE = String.raw`\s*(Z|UTC|[+-]\d{2}(?::?\d{2})?)?`
const ISO_DATE = new RegExp(String.raw`^(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ]+${TIME}${ZONE})?$`)
const DAY_MONTH = new RegExp(String.raw`^(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?:[T ,]+${TIME})?$`)
const MONTH_NAME = new RegExp(String.raw`^(\d{1,2})[- ]([A-Za-z]{3,9})\.?[- ,]+(\d{4})(?:[T ,]+${TIME})?$`)
const NAME_FIRST = new RegExp(String.raw`^([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})(?:[T ,]+${TIME})?$`)
const TIME_OF_DAY = new RegExp(`^${TIME}$`)
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const FULL_MONTHS = 'january february march april may june july august september october november december'.split(' ')

/** Forms that a text can have; several at once for a date with a day and a month that can be exchanged. */
export const Can = {
  missing: 1,
  number: 2,
  infinite: 4,
  boolean: 8,
  /** A date with one reading. */
  date: 16,
  dayFirst: 32,
  monthFirst: 64,
  time: 128,
  /** Looks like a number, in another form than is read. */
  otherNumber: 256,
  /** A whole number that f64 cannot distinguish from its neighbours. */
  huge: 512,
  /** Digits alone: a whole number without a sign. */
  digits: 1024,
  /** Digits that begin with a zero which a number would not have, as in 01234. */
  padded: 2048,
} as const

/** Bits of `Can`. `text` is trimmed and not empty. */
export function meaningOf(text: string, decimal: '.' | ','): number {
  if (MISSING.has(text)) return Can.missing
  const first = text.charCodeAt(0)
  // The first character rules most texts out.
  if (first === 116 || first === 84 || first === 102 || first === 70) {
    const lower = text.toLowerCase()
    if (lower === 'true' || lower === 'false') return Can.boolean
  }
  if ((decimal === ',' ? COMMA_NUMBER : NUMBER).test(text)) {
    const value = numberOf(text, decimal)
    if (!Number.isFinite(value)) return Can.infinite
    const isHuge = Math.abs(value) > Number.MAX_SAFE_INTEGER && WHOLE.test(text)
    const digits = DIGITS.test(text) ? Can.digits | (isPadded(text) ? Can.padded : 0) : 0
    return Can.number | (isHuge ? Can.huge : 0) | digits
  }
  if (INFINITE.test(text)) return Can.infinite
  let can = 0
  if (dateOf(text, null) !== null) can |= Can.date
  else {
    if (dateOf(text, true) !== null) can |= Can.dayFirst
    if (dateOf(text, false) !== null) can |= Can.monthFirst
    if (can === 0 && timeOf(text) !== null) can |= Can.time
  }
  if (OTHER_NUMBER.test(text)) can |= Can.otherNumber
  return can
}

export const numberOf = (text: string, decimal: '.' | ','): number =>
  Number(decimal === ',' ? text.replace(',', '.') : text)

/**
 * Seconds since 1970-01-01 UTC; a time without a zone is taken for UTC. `dayFirst`: reading of 01/02/2020; null: such a date
 * has none. Null: no date, or none that exists.
 */
export function dateOf(text: string, dayFirst: boolean | null): number | null {
  const first = text.charCodeAt(0)
  const isDigit = first >= 48 && first <= 57
  if (isDigit) {
    const iso = ISO_DATE.exec(text)
    if (iso) return secondsOf(+iso[1], +iso[2], +iso[3], iso, 4)
    const slashed = DAY_MONTH.exec(text)
    if (slashed) {
      // A month before the day is never written with points.
      const order = slashed[2] === '.' ? true : dayFirst
      if (order === null) return null
      const [day, month] = order ? [+slashed[1], +slashed[3]] : [+slashed[3], +slashed[1]]
      return secondsOf(+slashed[4], month, day, slashed, 5)
    }
    const named = MONTH_NAME.exec(text)
    return named && secondsOf(+named[3], monthOf(named[2]), +named[1], named, 4)
  }
  const named = NAME_FIRST.exec(text)
  return named && secondsOf(+named[3], monthOf(named[1]), +named[2], named, 4)
}

/** Seconds since midnight; null: no time of day. */
export function timeOf(text: string): number | null {
  const match = TIME_OF_DAY.exec(text)
  return match && clockOf(match, 1)
}

function monthOf(name: string): number {
  const lower = name.toLowerCase()
  const short = MONTHS.indexOf(lower)
  return (short >= 0 ? short : FULL_MONTHS.indexOf(lower)) + 1
}

/** `match` has hour, minute, second, AM or PM and a zone from `at` on, where the text has them. */
function secondsOf(year: number, month: number, day: number, match: RegExpExecArray, at: number): number | null {
  if (month < 1 || month > 12 || day < 1 || day > 31) return null
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1) return null // such as 31 April
  const clock = match[at] === undefined ? 0 : clockOf(match, at)
  if (clock === null) return null
  return date.getTime() / 1000 + clock - zoneOf(match[at + 4])
}

function clockOf(match: RegExpExecArray, at: number): number | null {
  const half = match[at + 3]?.toLowerCase()
  let hour = +match[at]
  if (half !== undefined) {
    if (hour < 1 || hour > 12) return null
    hour = (hour % 12) + (half === 'pm' ? 12 : 0)
  }
  const minute = +match[at + 1]
  const second = +(match[at + 2] ?? 0)
  return hour > 23 || minute > 59 || second >= 61 ? null : hour * 3600 + minute * 60 + second
}

/** Offset from UTC in seconds. */
function zoneOf(zone: string | undefined): number {
  const match = zone === undefined ? null : /^([+-])(\d{2}):?(\d{2})?$/.exec(zone)
  return match === null ? 0 : (match[1] === '-' ? -1 : 1) * (+match[2] * 3600 + +(match[3] ?? 0) * 60)
}

const TRUE = new Set(['true', 't', 'yes', 'y', '1'])
const FALSE = new Set(['false', 'f', 'no', 'n', '0'])

/** 1 or 0 for a text of a column that is demanded to be boolean; null: neither. */
export function booleanOf(text: string): number | null {
  const lower = text.toLowerCase()
  return TRUE.has(lower) ? 1 : FALSE.has(lower) ? 0 : null
}

/** True for digits alone that begin with a zero which a number would not have. `text` is trimmed. */
export const isPadded = (text: string): boolean => PADDED.test(text)
export const isMissing = (text: string): boolean => MISSING.has(text)
export const isNumberText = (text: string): boolean => NUMBER.test(text.trim())
export const isCommaNumber = (text: string): boolean => /^[+-]?\d*,\d+([eE][+-]?\d+)?$/.test(text.trim())
export const isOtherNumber = (text: string): boolean => OTHER_NUMBER.test(text)

/** How `data.query` makes numbers of texts that only have signs or groups more than a number; null: it is not as simple as that. */
export const conversionOf = (text: string): string | null =>
  OTHER_NUMBER.test(text) && NUMBER.test(text.replaceAll(/[^0-9.+-]/g, '')) && !isCommaNumber(text)
    ? "data.query converts such texts: CAST(regexp_replace(column, '[^0-9.+-]', '', 'g') AS DOUBLE)"
    : null
