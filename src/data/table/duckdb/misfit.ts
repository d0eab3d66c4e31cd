/** Error for a field that does not fit the type that was demanded of its column. Main thread. */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import type { ValueType } from '../columns.js'
import { conversionOf } from '../text/meaning.js'
import { shortened } from '../text/reading.js'
import { type DelimitedFiles, placeOfRow } from './faults.js'
import type { ReadColumn } from './source.js'

/** `row`: of all files. */
export async function explainMisfit(
  where: string,
  table: DelimitedFiles | null,
  column: ReadColumn,
  row: number,
  text: string,
): Promise<DataError> {
  const place = await placeOfRow(where, table, row)
  const expected = EXPECTED[column.reading?.type ?? 'text']
  return new DataError(
    `${place}: column ${inspect(column.name)} is ${inspect(shortened(text))}, expected ${expected}`,
    {
      hint: hintOf(column, text),
    },
  )
}

const EXPECTED: Readonly<Record<ValueType, string>> = {
  number: 'a finite number',
  boolean: 'true or false',
  date: 'a date or a time',
  text: 'the number of a class',
}

function hintOf({ reading }: ReadColumn, text: string): string | undefined {
  if (reading?.type === 'date' && /^\d{1,2}[/-]\d{1,2}[/-]\d{4}/.test(text))
    return 'say which number is the day: data.table.dayFirst'
  const conversion = reading?.type === 'number' ? conversionOf(text) : null
  if (conversion !== null) return conversion
  if (reading?.type === 'number' && /\d,\d/.test(text)) return 'decimal commas are read with data.table.decimal ","'
  return 'leave the field empty if its value is not known, or choose another kind in data.columns'
}
