/**
 * Tables as text: CSV and TSV, by RFC 4180, gzipped or not. csv-parse splits records; here columns are chosen,
 * and numbers and classes checked. Main thread; reads a file once, from end to end.
 */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { inspect } from 'node:util'
import { CsvError, parse } from 'csv-parse'
import { DataError } from '../errors.js'
import { contentOf } from './content.js'
import {
  type Chosen,
  ColumnsLeftOut,
  chooseColumns,
  columnNotes,
  headerWarning,
  isNumber,
  listed,
  notFinite,
  RowCounters,
} from './csv-columns.js'
import { expectDistinctFeatures, RowSample } from './digits-kept.js'
import type { DataConfig, DatasetSource, TableColumns } from './source.js'
import { GrowingFloats, type NamedRows, tableSource } from './table.js'

type CsvPart = Pick<DataConfig, 'task' | 'csv'>

const DELIMITERS = [',', ';', '\t', '|'] as const
/** Longest record: a longer one has lost its closing quote. */
const MAX_RECORD_BYTES = 4 * 2 ** 20

interface Table extends NamedRows {
  readonly features: Float32Array
  readonly columns: TableColumns
  readonly warnings: readonly string[]
  readonly notes: readonly string[]
}

/** `path` and `testPath` are absolute. */
export async function openCsv(path: string, testPath: string | null, config: DataConfig): Promise<DatasetSource> {
  const train = await readTable(path, config, null)
  const { columns } = train
  // Find the label columns by name, wherever they are in the test file.
  const ofTest = { ...config, csv: { ...config.csv, label: [...columns.labels] } }
  const test = testPath === null ? null : await readTable(testPath, ofTest, columns.features)
  const shape = { name: 'csv', where: path, height: 1, width: columns.features.length, dtype: 'float32' } as const
  const source = tableSource(shape, train, test, config)
  return { ...source, columns, warnings: [...train.warnings, ...(source.warnings ?? [])], notes: train.notes }
}

/** `wanted`: the feature columns of the training file, which the test file must have too. */
async function readTable(
  file: string,
  { task, csv: config }: CsvPart,
  wanted: readonly string[] | null,
): Promise<Table> {
  const md5 = createHash('md5')
  let bytes = 0
  const chunks = contentOf(file)
  const first = await chunks.next()
  if (first.done) throw new DataError(`${file}: is empty, expected a table`)
  const beginning = Buffer.from(first.value) // a chunk is overwritten by the next
  const all = async function* () {
    yield beginning
    for await (const chunk of chunks) yield Buffer.from(chunk)
  }
  const counted = async function* () {
    for await (const chunk of all()) {
      md5.update(chunk)
      bytes += chunk.length
      yield chunk
    }
  }
  const delimiter = config.delimiter === 'auto' ? detectDelimiter(beginning.toString('utf8')) : config.delimiter
  const parser = parse({
    ...{ delimiter, bom: true, info: true, relax_column_count: true, skip_empty_lines: true },
    max_record_size: MAX_RECORD_BYTES,
  })
  const source = Readable.from(counted())
  source.on('error', error => parser.destroy(error))
  source.pipe(parser)

  const features = new GrowingFloats(Float32Array)
  const sample = new RowSample()
  const counters = new RowCounters()
  let leftOut: ColumnsLeftOut | null = null
  const classNames: string[] = []
  const targets = task === 'regression' ? new GrowingFloats(Float64Array) : null
  let names: readonly string[] | null = null
  let chosen: Chosen | null = null
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      const at = `${file}: line ${info.lines}`
      if (names === null) {
        names = config.header ? headerOf(at, record) : record.map((_, column) => String(column))
        if (config.header) continue
      }
      expectFields(at, record, names, delimiter)
      chosen ??= chooseColumns(file, names, record, config, wanted)
      if (wanted === null && config.features === null) {
        leftOut ??= new ColumnsLeftOut(names, chosen)
        leftOut.add(record, info.lines)
      }
      const number = (column: number) => numberOf(record[column], () => `${at}: column ${inspect(names![column])}`)
      const numbers = chosen.features.map(number)
      for (const value of numbers) features.push(value)
      counters.add(numbers)
      if (sample.wantsNext()) sample.add(numbers)
      if (targets) for (const column of chosen.labels) targets.push(number(column))
      else classNames.push(classOf(at, record, names, chosen.labels[0]))
    }
  } catch (error) {
    throw csvError(file, error)
  } finally {
    source.destroy()
  }
  if (names === null || chosen === null)
    throw new DataError(`${file}: the table is empty, expected rows below the header`)
  leftOut?.refuseNumbers(file, names)
  if (chosen.features.length === 0) {
    const beside = listed(chosen.labels.map(column => names![column]))
    throw new DataError(`${file}: has no column of numbers beside ${beside}, expected some to learn from`, {
      hint: leftOut ? `it has ${leftOut.reasons(names).join(', ') || 'no other column'}` : undefined,
    })
  }
  const digest = { path: file, bytes, md5: md5.digest('hex'), official: null }
  const namesAt = (places: readonly number[]) => places.map(column => names![column])
  const { labels: labelPlaces, features: featurePlaces } = chosen
  const others = names.filter((_, column) => !labelPlaces.includes(column) && !featurePlaces.includes(column))
  const columns = { features: namesAt(featurePlaces), labels: namesAt(labelPlaces), others }
  expectDistinctFeatures(file, sample, column => `column ${inspect(columns.features[column])}`)
  return {
    ...{ features: features.values, classNames, columns, files: [digest] },
    targets: targets && { names: columns.labels, values: targets.values },
    warnings: [
      ...(config.header ? headerWarning(file, names, chosen) : []),
      ...(config.features === null ? counters.warnings(file, columns.features) : []),
    ],
    notes: columnNotes(columns, leftOut?.reasons(names) ?? null),
  }
}

/** The delimiter that is most frequent in the first line, outside of quotes; a comma if it has none. */
export function detectDelimiter(text: string): (typeof DELIMITERS)[number] {
  const counts = new Map<string, number>()
  let quoted = false
  for (const character of text) {
    if (character === '"') quoted = !quoted
    else if (!quoted && (character === '\n' || character === '\r')) break
    else if (!quoted) counts.set(character, (counts.get(character) ?? 0) + 1)
  }
  return DELIMITERS.reduce((best, each) => ((counts.get(each) ?? 0) > (counts.get(best) ?? 0) ? each : best))
}

function headerOf(at: string, record: readonly string[]): string[] {
  const names = record.map(name => name.trim())
  const twice = names.find((name, column) => names.indexOf(name) !== column)
  if (twice === undefined) return names
  throw new DataError(`${at}: two columns are named ${inspect(twice)}, expected names that differ`, {
    hint: 'without a header: --set data.csv.header=false',
  })
}

function expectFields(at: string, record: readonly string[], names: readonly string[], delimiter: string): void {
  if (record.length === names.length) return
  throw new DataError(
    `${at}: has ${record.length} fields, expected ${names.length} as in the first line, separated by ${inspect(delimiter)}`,
    { hint: '--set data.csv.delimiter, if fields are separated by something else' },
  )
}

function classOf(at: string, record: readonly string[], names: readonly string[], column: number): string {
  const label = record[column].trim()
  if (label !== '') return label
  throw new DataError(`${at}: column ${inspect(names[column])} is empty, expected a class`)
}

function numberOf(field: string, where: () => string): number {
  const value = isNumber(field) ? Number(field) : Number.NaN
  if (Number.isFinite(Math.fround(value))) return value
  throw notFinite(where(), field.trim())
}

function csvError(file: string, error: unknown): unknown {
  if (!(error instanceof CsvError)) return error
  return new DataError(`${file}: ${error.message.slice(0, 200)}`, { cause: error })
}
