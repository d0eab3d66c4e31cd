/**
 * Tables as a data set: reads the columns that are used into memory, splits the rows, fits the encoding on the training rows
 * alone or takes a model's, and encodes in `load`. Main thread.
 *
 * Letters: `N` rows, `F` features, `K` targets.
 */
import { inspect } from 'node:util'
import { allRowsAdvice } from '../../config/all-rows.js'
import type { Task } from '../../config/tasks.js'
import { DataError, ShapeError } from '../../errors.js'
import { formatNames } from '../../format.js'
import type { SavedInput } from '../input.js'
import {
  checkViews,
  type DataConfig,
  type DatasetSource,
  type Features,
  type LoadedFile,
  type Split,
} from '../source.js'
import { ALL_ROWS, expectOneSpelling, sortedClasses } from '../table.js'
import { expectLearnable } from '../targets.js'
import { collectColumns } from './collect.js'
import type { ColumnProfile, TableChunk } from './columns.js'
import { encodeRows } from './encode.js'
import { type FeatureKind, featureCount, featureNames, kindOf, type TableEncoding } from './encoding.js'
import { fitTable } from './fit-table.js'
import { type ChosenColumns, chooseKinds, expectColumns, noColumn, withoutCounters } from './kinds.js'
import { notLearned, strata } from './labels.js'
import { missingRows } from './missing.js'
import { tableNotes } from './notes.js'
import type { TableFormat, TableReader } from './reader.js'
import { splitTable, type TableSplits } from './splits.js'
import { takeRows } from './take.js'
import { type TargetValues, targetNames, targetValues, taskOfTargets } from './targets.js'
import { expectWeight, WEIGHT_REASON, weightsOf } from './weights.js'

/** Opens the files at an absolute path, a folder or a glob. */
export type OpenReader = (path: string, format: TableFormat) => Promise<TableReader>

interface SplitColumn {
  readonly kind: 'column' | 'group' | 'time'
  readonly name: string
}

/** Uses of the columns of a table, before the values are read. */
interface TablePlan {
  readonly where: string
  readonly targets: readonly string[]
  readonly task: Task
  readonly reason: string | null
  /** Columns to fit; null: a model's encoding is used. */
  readonly chosen: ChosenColumns | null
  readonly known: TableEncoding | null
  readonly splitBy: SplitColumn | null
  /** Column of the samples' weights; null: all weigh the same, or rows are only scored. */
  readonly weight: string | null
  /** True if all rows are test rows. */
  readonly isScored: boolean
}

/** Rows of a file in memory, with what the network is to learn from them. */
interface ReadTable {
  readonly chunk: TableChunk
  readonly targets: TargetValues
  /** Rows that are used, ascending: the others lack a target, or a value whose policy leaves the row out. */
  readonly rows: Uint32Array
  readonly files: readonly LoadedFile[]
  readonly warnings: readonly string[]
  readonly notes: readonly string[]
}

/**
 * Opens a table. `model`: the model whose encoding is used; null: it is fitted. `path` and `testPath` are absolute. Throws
 * DataError for a column that is missing, values that do not fit, and splits that leave a part empty.
 */
export async function openTable(
  path: string,
  testPath: string | null,
  config: DataConfig,
  model: SavedInput | null,
  open: OpenReader,
): Promise<DatasetSource> {
  const known = model?.table ?? null
  return withReader(open, path, formatOf(config, known), async reader => {
    const planned = planColumns(reader, path, testPath, config, model)
    const names = reader.columns.map(({ name }) => name)
    const features = planned.known?.columns.map(({ column }) => column) ?? planned.chosen!.features.map(featureName)
    const extra = [planned.splitBy?.name ?? [], planned.weight ?? []].flat()
    const chunk = await collectColumns(reader, [...new Set([...features, ...planned.targets, ...extra])])
    const chosen = planned.chosen && withoutCounters(planned.chosen, reader.rows, name => chunk.columns.get(name))
    const plan = { ...planned, chosen }
    const all = readRows(reader, chunk, plan, config, path)
    const splits = splitsOf(all, plan, config, testPath !== null)
    const encoding = known ?? fitted(all, plan, config, splits.train)
    const test = testPath === null ? null : await readTest(testPath, open, plan, config, encoding)
    return sourceOf(all, test, splits, plan, encoding, names)
  })
}

/** Columns that a model is trained on: features, then targets. */
const columnsOf = ({ columns, targets }: TableEncoding): string[] => [
  ...columns.map(({ column }) => column),
  ...targets,
]

const featureName = ({ profile }: { readonly profile: ColumnProfile }): string => profile.name

async function withReader<T>(
  open: OpenReader,
  path: string,
  format: TableFormat,
  use: (reader: TableReader) => Promise<T>,
): Promise<T> {
  const reader = await open(path, format)
  try {
    return await use(reader)
  } finally {
    await reader.close()
  }
}

/** How files are to be read: the experiment's settings, and the types that a model's columns must have. */
export function formatOf(
  { table, query, columns }: Pick<DataConfig, 'table' | 'query' | 'columns'>,
  encoding: TableEncoding | null,
): TableFormat {
  const types: Record<string, TableFormat['types'][string]> = {}
  for (const [name, kind] of Object.entries(columns)) {
    if (kind !== 'category' && kind !== 'ignore') types[name] = kind
  }
  for (const column of encoding?.columns ?? []) {
    if (column.kind !== 'category' && column.kind !== 'embedding') types[column.column] = column.kind
    else if (!column.numeric) types[column.column] = 'text'
  }
  return {
    delimiter: table.delimiter === 'auto' ? null : table.delimiter,
    header: table.header === 'auto' ? null : table.header,
    decimal: table.decimal === 'auto' ? null : table.decimal,
    dayFirst: table.dayFirst === 'auto' ? null : table.dayFirst,
    query,
    types,
  }
}

function planColumns(
  { columns: profiles, rows }: TableReader,
  where: string,
  testPath: string | null,
  config: DataConfig,
  model: SavedInput | null,
): TablePlan {
  const known = model?.table ?? null
  const names = profiles.map(({ name }) => name)
  const targets = known ? known.targets : targetNames(where, profiles, config.target)
  if (known) expectColumns(where, names, columnsOf(known))
  const isScored = testPath === null && config.testFraction === ALL_ROWS
  const splitBy = isScored ? null : splitColumn(where, config.split, profiles)
  // Scores are not weighted: a file that is scored needs no such column.
  const weight = isScored ? null : config.weight
  if (weight !== null) expectWeight(where, weight, profiles, targets)
  const reserved = {
    ...(splitBy !== null && { [splitBy.name]: REASONS[splitBy.kind] }),
    ...(config.weight !== null && { [config.weight]: WEIGHT_REASON }),
  }
  const profilesOf = targets.map(name => profiles.find(profile => profile.name === name)!)
  const task = model ? model.task : config.task
  return {
    ...{ where, targets, known, splitBy, weight, isScored },
    ...taskOfTargets(where, profilesOf, task),
    chosen: known ? null : chooseKinds(where, profiles, rows, config.columns, targets, reserved),
  }
}

const REASONS = {
  column: 'it says the splits',
  group: 'it says the groups of the splits',
  time: 'it says the times of the splits',
} as const

function splitColumn(
  where: string,
  split: DataConfig['split'],
  profiles: readonly ColumnProfile[],
): SplitColumn | null {
  const kind = (['column', 'group', 'time'] as const).find(each => split[each] !== null)
  if (kind === undefined) return null
  const name = split[kind]!
  const profile = profiles.find(each => each.name === name)
  if (!profile)
    throw noColumn(
      where,
      `data.split.${kind}`,
      name,
      profiles.map(each => each.name),
    )
  if (kind === 'time' && profile.type !== 'date' && profile.type !== 'number') {
    throw new DataError(
      `${where}: data.split.time is ${inspect(name)}, a column of ${profile.type}, expected dates or numbers`,
    )
  }
  return { kind, name }
}

/** Kinds of the feature columns. */
function kindsOf({ chosen, known }: TablePlan): { column: string; kind: FeatureKind }[] {
  return (
    known?.columns.map(encoding => ({ column: encoding.column, kind: kindOf(encoding) })) ??
    chosen!.features.map(({ profile, kind }) => ({ column: profile.name, kind }))
  )
}

function readRows(
  { files, warnings, notes }: TableReader,
  chunk: TableChunk,
  plan: TablePlan,
  { missing }: DataConfig,
  where: string,
): ReadTable {
  const targets = targetValues(where, chunk, plan.targets, plan.task)
  const used = missingRows(where, chunk, kindsOf(plan), targets, plan.targets, missing)
  if (used.rows.length === 0) throw new DataError(`${where}: the table is empty, expected rows with a target`)
  return { chunk, targets, rows: used.rows, files, warnings, notes: [...notes, ...used.notes] }
}

/** Training, validation and test rows. `hasTest`: the test rows are in another file. */
function splitsOf(
  { rows, targets, chunk }: ReadTable,
  { where, splitBy, isScored, targets: names }: TablePlan,
  { validation, testFraction }: DataConfig,
  hasTest: boolean,
): TableSplits {
  const none = new Uint32Array(0)
  if (isScored) return { train: none, validation: none, test: rows }
  const labels = strata(targets, chunk.rows, names.length)
  return splitTable(where, {
    ...{ rows, labels, validation, testFraction: hasTest ? 0 : testFraction },
    how: splitBy === null ? { kind: 'class' } : { ...splitBy, values: chunk.columns.get(splitBy.name)! },
    advice: allRowsAdvice('table'),
  })
}

function fitted(
  { chunk }: ReadTable,
  { where, targets, chosen, splitBy, weight }: TablePlan,
  { categories, numbers }: DataConfig,
  rows: Uint32Array,
): TableEncoding {
  const encoding = fitTable(where, chunk, rows, chosen!, {
    ...{ targets, maxCategories: categories.max, above: categories.above, buckets: categories.buckets },
    ...{ embeddingSize: categories.embeddingSize, bins: numbers.bins },
    late: splitBy?.kind === 'time' ? splitBy.name : null,
  })
  return { ...encoding, weight }
}

function readTest(path: string, open: OpenReader, plan: TablePlan, config: DataConfig, encoding: TableEncoding) {
  return withReader(open, path, formatOf(config, encoding), async reader => {
    const names = reader.columns.map(({ name }) => name)
    expectColumns(path, names, columnsOf(encoding))
    const chunk = await collectColumns(reader, columnsOf(encoding))
    return readRows(reader, chunk, { ...plan, known: encoding }, config, path)
  })
}

/** The data set. `test`: the rows of a test file; null: those of `splits`. `names`: all columns of the table. */
function sourceOf(
  all: ReadTable,
  test: ReadTable | null,
  splits: TableSplits,
  { where, targets, task, reason, weight, isScored }: TablePlan,
  encoding: TableEncoding,
  names: readonly string[],
): DatasetSource {
  const classNames = all.targets.task === 'classification' ? classesOf(where, all, isScored) : targets
  if (all.targets.task !== 'classification' && !isScored) {
    const values = rowsOf(all.targets.values, targets.length, all.rows)
    expectLearnable(where, { task: all.targets.task, names: targets, values })
  }
  if (test) expectKnownClasses(test, classNames)
  const train = new Uint32Array(splits.train.length + splits.validation.length)
  train.set(splits.train)
  train.set(splits.validation, splits.train.length)
  const parts: Record<Split, ReadTable> = {
    train: { ...all, rows: train, files: isScored ? [] : all.files },
    test: test ?? { ...all, rows: splits.test, files: isScored ? all.files : [] },
  }
  const used = new Set(columnsOf(encoding))
  return {
    ...{ name: 'table', where, height: 1, width: featureCount(encoding), dtype: 'float32' },
    ...{ task, classes: classNames.length, classNames, table: encoding },
    columns: {
      features: encoding.columns.flatMap(featureNames),
      labels: targets,
      others: names.filter(name => !used.has(name)),
    },
    train: { rows: train.length },
    test: { rows: parts.test.rows.length },
    ...(isScored ? {} : { validationFrom: splits.train.length }),
    warnings: [...all.warnings, ...(test?.warnings ?? []), ...notLearned(where, all.targets, splits.train, classNames)],
    notes: [
      ...tableNotes(encoding, { task, reason }, classNames, all.chunk, splits.train),
      ...all.notes,
      ...(test?.notes ?? []),
    ],
    ...(weight !== null && { weighted: true }),
    load: loader(parts, encoding, classNames, where, weight),
    async fields(split, positions) {
      const { chunk, rows } = parts[split]
      const fileRows = Uint32Array.from({ length: positions.length }, (_, i) => rows[positions[i]])
      const { files } = split === 'test' && test ? test : all
      return { chunk: takeRows(chunk, fileRows, columnsOf(encoding)), fileRows, files }
    },
  }
}

/** Classes in order. Throws DataError for fewer than two, and for two spellings of one. */
function classesOf(where: string, { targets, rows }: ReadTable, isScored: boolean): readonly string[] {
  if (targets.task !== 'classification') return []
  const seen = new Set<number>()
  for (const row of rows) seen.add(targets.labels[row])
  const classes = sortedClasses([...seen].map(label => targets.names[label]))
  expectOneSpelling(where, classes)
  if (classes.length >= 2 || isScored) return classes
  throw new DataError(`${where}: has ${rows.length} rows in ${classes.length} classes, expected at least 2 classes`)
}

/** Rows of values (N, K). */
function rowsOf(values: Float64Array, width: number, rows: Uint32Array): Float64Array {
  const taken = new Float64Array(rows.length * width)
  for (const [i, row] of rows.entries()) taken.set(values.subarray(row * width, (row + 1) * width), i * width)
  return taken
}

function loader(
  parts: Readonly<Record<Split, ReadTable>>,
  encoding: TableEncoding,
  classNames: readonly string[],
  where: string,
  weight: string | null,
): DatasetSource['load'] {
  const width = featureCount(encoding)
  return async (split: Split, features: Features, labels: Int32Array, into = new Float32Array()) => {
    const { chunk, rows, targets, files } = parts[split]
    checkViews('table', split, rows.length, width, features, labels)
    const file = files[0]?.path ?? where
    encodeRows(encoding, chunk, features as Float32Array, rows, file)
    const weights = split === 'train' && weight !== null ? weightsOf(file, chunk, weight, rows) : null
    const loaded = { files, ...(weights && { weights }) }
    if (targets.task === 'classification') {
      const place = targets.names.map(name => classNames.indexOf(name))
      for (let i = 0; i < rows.length; i++) {
        const label = targets.labels[rows[i]]
        labels[i] = place[label]
      }
      return loaded
    }
    const count = encoding.targets.length
    if (into.length !== rows.length * count) {
      throw new ShapeError(`table: load got room for ${into.length} targets, expected ${rows.length * count}`)
    }
    labels.fill(0)
    into.set(rowsOf(targets.values, count, rows))
    return loaded
  }
}

/** Throws DataError for a class of the test file that the training file does not have. */
function expectKnownClasses({ targets, rows, files }: ReadTable, classNames: readonly string[]): void {
  if (targets.task !== 'classification') return
  const isUnknown = targets.names.map(name => !classNames.includes(name))
  const row = rows.find(each => isUnknown[targets.labels[each]])
  if (row === undefined) return
  throw new DataError(
    `${files[0]?.path ?? 'table'}: test rows have the class ${inspect(targets.names[targets.labels[row]])}, expected one of the training rows: ${formatNames(classNames)}`,
  )
}
