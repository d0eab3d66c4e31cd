/**
 * Form of delimited text, from its first records: separator, names or none in the first line, decimal separator, and the first line of
 * scikit-learn's tables. Decisions made here hold for all rows, and are reported to the user; types are not decided here. Pure; any
 * thread.
 */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import { formatNames } from '../../../format.js'
import type { TableFormat } from '../reader.js'
import { Can, isCommaNumber, isMissing, isNumberText, meaningOf } from './meaning.js'
import { RecordFault, RecordSplitter, type TextRecord } from './records.js'

export interface TextForm {
  readonly delimiter: string
  readonly decimal: '.' | ','
  /** Lines before the first row: 1 for names. */
  readonly skippedRecords: number
  /** True if names were read from the file. */
  readonly header: boolean
  readonly names: readonly string[]
  /**
   * First line that gives counts and class names, as in scikit-learn's tables; `rows` is yet to be compared. `isRow`: it has
   * as many fields as a row, and may be one.
   */
  readonly counts: { readonly rows: number; readonly classNames: readonly string[]; readonly isRow: boolean } | null
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
  /** First rows, for candidates of types. */
  readonly sample: readonly TextRecord[]
}

const DELIMITERS = [';', '\t', '|', ','] as const
/** Records that decide about the form. */
export const FORM_RECORDS = 1000
const MOST_SHOWN = 12

/**
 * `head`: the beginning of the file; `isWhole`: it is all of it; `mayCount`: the first line may have the numbers of rows and
 * columns. Throws DataError.
 */
export function formOf(file: string, head: string, isWhole: boolean, format: TableFormat, mayCount = true): TextForm {
  const delimiter = format.delimiter ?? detectDelimiter(head, isWhole)
  const records = recordsOf(file, head, isWhole, delimiter)
  if (records.length === 0) throw new DataError(`${file}: has no rows, expected a table`)
  const counts = mayCount && format.header === null ? countsLine(records) : null
  const rest = counts === null ? records : records.slice(1)
  if (rest.length === 0) throw new DataError(`${file}: has no rows below its first line, expected a table`)
  const decimal = format.decimal ?? detectDecimal(delimiter, rest)
  const { header, notes, warnings } = detectHeader(file, rest, format.header, decimal)
  // The lines before the first row are left out by their number.
  if ((header || counts !== null) && records[0].line > 1) {
    throw new DataError(
      `${file}: line 1: is empty, expected ${header ? 'the names of the columns' : 'the numbers of rows and columns'}`,
      { hint: `they are in line ${records[0].line}; delete the lines before it` },
    )
  }
  const names = header ? namesOf(file, rest[0], delimiter) : rest[0].fields.map((_, column) => String(column))
  const allNotes = [
    ...(counts === null
      ? []
      : [
          `the first line has the numbers of rows and columns${counts.classNames.length > 0 ? ' and names of classes' : ''}`,
        ]),
    ...(counts === null ? notes : []),
    ...(header ? namelessNotes(rest[0], names) : []),
    ...(decimal === ',' ? ['decimal commas are read'] : []),
  ]
  return {
    ...{ delimiter, decimal, header, names, counts, warnings, notes: allNotes },
    skippedRecords: (counts === null ? 0 : 1) + (header ? 1 : 0),
    sample: header ? rest.slice(1) : rest,
  }
}

function recordsOf(file: string, head: string, isWhole: boolean, delimiter: string): TextRecord[] {
  const splitter = new RecordSplitter(delimiter)
  try {
    const records = splitter.add(head)
    if (isWhole) records.push(...splitter.end())
    return records.slice(0, FORM_RECORDS)
  } catch (error) {
    if (error instanceof RecordFault)
      throw new DataError(`${file}: line ${error.line}: ${error.message}`, { cause: error })
    throw error
  }
}

/**
 * The separator that splits all records into the same number of fields, most of them numbers; where none does, the one
 * that is most frequent in the first line.
 */
export function detectDelimiter(head: string, isWhole = true): string {
  let best: { delimiter: string; numbers: number; fields: number } | null = null
  for (const delimiter of DELIMITERS) {
    const fields = consistentFields(head, isWhole, delimiter)
    if (fields === null) continue
    if (
      best === null ||
      fields.numbers > best.numbers ||
      (fields.numbers === best.numbers && fields.fields > best.fields)
    ) {
      best = { delimiter, ...fields }
    }
  }
  if (best !== null) return best.delimiter
  const counts = new Map<string, number>()
  let quoted = false
  for (const character of head) {
    if (character === '"') quoted = !quoted
    else if (!quoted && (character === '\n' || character === '\r')) break
    else if (!quoted) counts.set(character, (counts.get(character) ?? 0) + 1)
  }
  return [',', ';', '\t', '|'].reduce((most, each) => ((counts.get(each) ?? 0) > (counts.get(most) ?? 0) ? each : most))
}

/** Fraction of numbers, and number of fields, where all records but perhaps the first have as many; null: they do not. */
function consistentFields(
  head: string,
  isWhole: boolean,
  delimiter: string,
): { numbers: number; fields: number } | null {
  let records: TextRecord[]
  try {
    const splitter = new RecordSplitter(delimiter)
    records = splitter.add(head.slice(0, 2 ** 18))
    if (isWhole && head.length <= 2 ** 18) records.push(...splitter.end())
  } catch {
    return null
  }
  records = records.slice(0, 200)
  if (records.length === 0) return null
  const fields = records.at(-1)!.fields.length
  const others = records.filter(
    (record, i) => record.fields.length !== fields && !(i === 0 && beginsWithCounts(record)),
  )
  if (fields < 2 || others.length > 0) return null
  let numbers = 0
  let all = 0
  for (const record of records.slice(-100)) {
    if (record.fields.length !== fields) continue
    all += fields
    for (const field of record.fields) {
      if (isNumberText(field) || field.trim() === '' || (delimiter !== ',' && isCommaNumber(field))) numbers++
    }
  }
  return { numbers: numbers / all, fields }
}

const COUNT = /^[1-9]\d*$/
const beginsWithCounts = ({ fields }: TextRecord): boolean =>
  COUNT.test(fields[0].trim()) && COUNT.test(fields[1]?.trim() ?? '')

/** Decimal commas where a column has them and none has decimal points. */
function detectDecimal(delimiter: string, records: readonly TextRecord[]): '.' | ',' {
  if (delimiter === ',' && !records.some(({ fields }) => fields.some(isCommaNumber))) return '.'
  const columns = records[0].fields.length
  let commas = false
  let points = false
  for (let column = 0; column < columns; column++) {
    let comma = 0
    let point = 0
    let other = 0
    for (const { fields } of records.slice(1)) {
      const text = (fields[column] ?? '').trim()
      if (text === '' || isMissing(text)) continue
      if (isCommaNumber(text)) comma++
      else if (!isNumberText(text)) other++
      else if (text.includes('.')) point++
    }
    if (other > 0) continue
    if (comma > 0 && point === 0) commas = true
    if (point > 0) points = true
  }
  return commas && !points ? ',' : '.'
}

/** `178,13,class_0,class_1,class_2`: rows, columns, names of classes; all further records have a field more than columns. */
function countsLine(records: readonly TextRecord[]): TextForm['counts'] {
  const [first, second] = records
  if (second === undefined) return null
  const [rows, columns, ...names] = first.fields.map(field => field.trim())
  if (!beginsWithCounts(first)) return null
  const fields = second.fields.length
  if (Number(columns) !== fields - 1 && Number(columns) !== fields) return null
  const given = names.filter(name => name !== '')
  if (names.length === 0 && fields === 2) return null // a row like others
  if (first.fields.length === fields && given.length > 0) {
    // As many fields as a row has: the names must be texts, and numbers lie below them.
    if (given.some(isNumberText)) return null
  }
  if (first.fields.length !== fields && given.length !== names.length) return null
  return {
    rows: Number(rows),
    classNames: given,
    isRow: first.fields.length === fields && given.length === names.length,
  }
}

interface HeaderChoice {
  readonly header: boolean
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
}

/** Chooses whether the first record has names, and says so where another reader might choose otherwise. */
function detectHeader(
  file: string,
  records: readonly TextRecord[],
  wanted: boolean | null,
  decimal: '.' | ',',
): HeaderChoice {
  if (wanted !== null) return { header: wanted, notes: [], warnings: [] }
  const first = records[0].fields.map(field => field.trim())
  const below = records.slice(1)
  const isValue = (text: string) => (meaningOf(text, decimal) & ~(Can.missing | Can.otherNumber)) !== 0
  const numbers = first.filter(text => text !== '' && isValue(text) && !isMissing(text))
  const headed = first.some((text, column) => {
    if (text === '' || isMissing(text) || isValue(text)) return false
    const values = below
      .map(({ fields }) => (fields[column] ?? '').trim())
      .filter(value => value !== '' && !isMissing(value))
    return values.length > 0 && values.every(isValue)
  })
  const row = (): HeaderChoice => ({
    header: false,
    notes: [
      `the first line is taken for a row (${listed(first)}), the columns are named "0" to "${first.length - 1}"; if it has names: ` +
        'data.table.header true',
    ],
    warnings: [],
  })
  const names = (why: string): HeaderChoice => ({
    header: true,
    notes: [],
    warnings: [
      `${file}: the first line is taken for the names of the columns, ${why} (${listed(first)}); if it is a row: data.table.header false`,
    ],
  })
  if (numbers.length > 0) {
    const isNames = areNames(numbers) && (numbers.length < first.length || Number(numbers[0]) === 0)
    if (isNames || (headed && numbers.length < first.length && numbers.every(isWhole))) return names('and has numbers')
    return row()
  }
  if (headed) return { header: true, notes: [], warnings: [] }
  if (below.length === 0) return names('and no row follows')
  const filled = first.filter(text => text !== '')
  const isTwice = new Set(filled).size < filled.length
  const occurs = first.some(
    (text, column) => text !== '' && below.some(({ fields }) => (fields[column] ?? '').trim() === text),
  )
  if (isTwice || occurs) return row()
  return {
    header: true,
    notes: [
      `the first line is taken for the names of the columns; all columns are text, so only its own texts show that`,
    ],
    warnings: [],
  }
}

const isWhole = (text: string): boolean => /^\d+$/.test(text)

/** Whole numbers one after the other from 0 on, as programs name columns that have no names, or years. */
function areNames(numbers: readonly string[]): boolean {
  const counts = numbers.every((text, i) => isWhole(text) && (i === 0 || Number(text) === Number(numbers[i - 1]) + 1))
  const isYear = numbers.every(text => /^(19|20)\d\d$/.test(text))
  return counts && ((numbers[0] === '0' && numbers.length > 2) || (isYear && numbers.length > 1))
}

/** `line`: what cannot be decoded has become U+FFFD in it. */
export const notUtf8 = (file: string, line: number): DataError =>
  new DataError(`${file}: line ${line} is not UTF-8, expected text in UTF-8`, {
    hint: 'iconv -f ISO-8859-1 -t UTF-8 file > new-file',
  })

/** Names of the header; a column without one is called by its place. Throws DataError for a name that occurs twice or is not UTF-8. */
function namesOf(file: string, { fields, line }: TextRecord, delimiter: string): string[] {
  const names = fields.map(field => field.trim())
  const have = (character: string) => names.some(name => name.includes(character))
  // NUL, as UTF-16 has it, has a message of its own.
  if (have('\ufffd') && !have('\0')) throw notUtf8(file, line)
  const known = new Map<string, number>()
  names.forEach((name, column) => {
    if (name === '') return
    const before = known.get(name)
    if (before !== undefined) {
      throw new DataError(
        `${file}: line ${line}: columns ${before + 1} and ${column + 1} are both named ${inspect(name)}, expected different names`,
        { hint: `rename one; if the line is a row: data.table.header false; the separator is ${inspect(delimiter)}` },
      )
    }
    known.set(name, column)
  })
  return names.map((name, column) => {
    if (name !== '') return name
    let made = `column${column}`
    while (known.has(made)) made += '_'
    known.set(made, column)
    return made
  })
}

function namelessNotes({ fields }: TextRecord, names: readonly string[]): string[] {
  return fields.flatMap((field, column) =>
    field.trim() === '' ? [`column ${column + 1} has no name and is called ${inspect(names[column])}`] : [],
  )
}

const listed = (texts: readonly string[]): string =>
  formatNames(
    texts.map(text => (text.length > 30 ? `${text.slice(0, 30)}…` : text)),
    MOST_SHOWN,
  )
