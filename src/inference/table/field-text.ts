/** Raw values of a table's column as a person reads them. Pure; any thread. */
import type { ColumnValues } from '../../data/table/columns.js'
import { categoryText } from '../../data/table/encode.js'
import type { FeatureKind } from '../../data/table/encoding.js'

const DAY = 86_400

/** Text of each row's value; null where it is missing. `kind`: of the column. */
export function fieldTexts(values: ColumnValues, kind: FeatureKind | null): (string | null)[] {
  if (values.type === 'text') return Array.from(values.codes, code => (code < 0 ? null : values.dictionary[code]))
  const numbers = values.values
  const text =
    values.type === 'boolean' || kind === 'boolean'
      ? (value: number) => (value === 1 ? 'true' : 'false')
      : values.type === 'date' || kind === 'date'
        ? dateText(numbers)
        : categoryText
  return Array.from(numbers, value => (Number.isNaN(value) ? null : text(value)))
}

/** A date without a time if none of the column has one; a time alone if all lie on the first day. */
export function dateText(numbers: Float64Array): (seconds: number) => string {
  const present = numbers.filter(seconds => !Number.isNaN(seconds))
  const isTime = present.every(seconds => seconds >= 0 && seconds < DAY)
  const isDay = !isTime && present.every(seconds => seconds % DAY === 0)
  return seconds => {
    const date = new Date(seconds * 1000)
    if (Number.isNaN(date.getTime())) return String(seconds)
    const text = date.toISOString().replace('.000Z', '').replace('T', ' ').replace('Z', '')
    return isDay ? text.slice(0, -9) : isTime ? text.slice(-8) : text
  }
}
