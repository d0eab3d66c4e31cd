/**
 * Places of faults in delimited text: file and line of a record or of a row. Reads the files again from the beginning, and only
 * after something was found to be wrong. Main thread.
 */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import type { Compression, TableFile } from '../files.js'
import { notUtf8, type TextForm } from '../text/form.js'
import { RecordFault, RecordSplitter } from '../text/records.js'
import type { Database } from './database.js'
import { firstLine, textOf } from './delimited.js'

export interface DelimitedFiles {
  readonly database: Database
  readonly files: readonly TableFile[]
  readonly compression: Compression
  readonly form: TextForm
}

/** Place of a row, as the beginning of a message. */
export async function placeOfRow(where: string, table: DelimitedFiles | null, row: number): Promise<string> {
  if (table === null) return `${where}: row ${row + 1}`
  let before = 0
  for await (const { file, line, isRow } of recordsOf(table)) {
    if (!isRow) continue
    if (before === row) return `${file}: line ${line}`
    before++
  }
  return `${where}: row ${row + 1}`
}

/** Checks the form of all records, and counts the rows. Throws DataError for the first fault. */
export async function checkForm(table: DelimitedFiles): Promise<number> {
  const expected = table.form.names.length
  let rows = 0
  for await (const { file, line, fields, isRow } of recordsOf(table)) {
    if (!isRow) continue
    rows++
    // An empty field after the last delimiter is accepted, as DuckDB does.
    if (fields.length === expected || (fields.length === expected + 1 && fields[expected] === '')) {
      if (fields.some(field => field.includes('\ufffd'))) throw notUtf8(file, line)
      continue
    }
    const counted = fields.length === 1 ? '1 field' : `${fields.length} fields`
    throw new DataError(
      `${file}: line ${line}: has ${counted}, expected ${expected}; the separator is ${inspect(table.form.delimiter)}`,
      {
        hint: hintOf(table.form, fields.length),
      },
    )
  }
  return rows
}

/** Most files with one column have a line of their own above the names: a title, a comment, a directive. */
const hintOf = ({ names }: TextForm, fields: number): string =>
  names.length === 1 && fields > 1
    ? 'the first line decides the number of columns: delete lines above the names of the columns'
    : 'fields with the separator in them are put in quotes; another separator: data.table.delimiter'

/** Error for what DuckDB refused; says the place where the form of a record is at fault. */
export async function explainRefusal(where: string, table: DelimitedFiles | null, error: unknown): Promise<Error> {
  if (error instanceof DataError) return error
  if (table !== null) {
    try {
      await checkForm(table)
    } catch (fault) {
      if (fault instanceof DataError) return fault
    }
  }
  const text = firstLine(error)
  if (/out of memory/i.test(text)) {
    return new DataError(`${where}: needs more memory than it may have; ${text}`, { cause: error })
  }
  return new DataError(`${where}: cannot be read; ${text}`, { cause: error })
}

interface PlacedRecord {
  readonly file: string
  readonly line: number
  readonly fields: readonly string[]
  /** False for names and the like. */
  readonly isRow: boolean
}

async function* recordsOf({ database, files, compression, form }: DelimitedFiles): AsyncGenerator<PlacedRecord> {
  for (const file of files) {
    const splitter = new RecordSplitter(form.delimiter)
    let index = 0
    const placed = (record: { line: number; fields: readonly string[] }): PlacedRecord => ({
      ...{ file: file.path, line: record.line, fields: record.fields },
      isRow: index++ >= form.skippedRecords,
    })
    try {
      for await (const text of textOf(database, file, compression)) {
        for (const record of splitter.add(text)) yield placed(record)
      }
      for (const record of splitter.end()) yield placed(record)
    } catch (error) {
      if (!(error instanceof RecordFault)) throw error
      throw new DataError(`${file.path}: line ${error.line}: ${error.message}`, { cause: error })
    }
  }
}
