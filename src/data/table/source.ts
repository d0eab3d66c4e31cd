/**
 * Tables as a data set: reads the columns that are used into memory, splits the rows, fits the encoding on the training rows
 * alone or takes a model's, and encodes in `load`. Main thread.
 *
 * Letters: `N` rows, `F` features, `K` targets.
 */
import { inspect } from 'node:util'
import { allRowsAdvice } from '../../config/all-rows.js'
import type { Task } from '../../config/tasks.js'
import { DataError } from '../../errors.js'
import { formatNames } from '../../format.js'
import { ALL_ROWS, expectOneSpelling, sortedClasses } from '../in-memory.js'
import type { SavedInput } from '../input.js'
import type { DataConfig, DatasetSource, Split, WriteRows } from '../source.js'
import { expectLearnable } from '../targets.js'
import type { ColumnProfile } from './columns.js'
import { type FeatureKind, featureCount, featureNames, kindOf, type TableEncoding } from './encoding.js'
import { fitTable } from './fit-table.js'
import { formatOf } from './format.js'
import { type ChosenColumns, chooseKinds, expectColumns, withoutCounters } from './kinds.js'
import { notLearned, similarClasses, strata } from './labels.js'
import { type LoadSettings, loadPart, loadParts, streamPart, type TablePart, valuesOf } from './load.js'
import { missingRows, policiesOf } from './missing.js'
import { countMissing, tableNotes } from './notes.js'
import type { TableFormat, TableReader } from './reader.js'
import { reservedColumns, type SplitColumn, splitColumn } from './reserved.js'
import { splitTable, type TableSplits } from './splits.js'
import { type TableRows, tableRowsOf } from './table-rows.js'
import { targetNames, targetValues, taskOfTargets } from './targets.js'
import { expectWeight } from './weights.js'

/** Opens the files at an absolute path, a folder or a glob. */
export type OpenReader = (path: string, format: TableFormat) => Promise<TableReader>

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

/** Rows of a file, with what the network is to learn from them. */
interface ReadTable extends Omit<TablePart, 'validationFrom'> {
  /** Rows that are used, ascending: the others lack a target, or a value whose policy leaves the row out. */
  readonly rows: Uint32Array
  readonly warnings: readonly string[]
  readonly notes: readonly string[]
  /** Notes on rows that are left out. */
  readonly omissions: readonly string[]
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
  const reader = await open(path, formatOf(config, known))
  const files: TableRows[] = []
  try {
    expectRows(reader, path)
    const planned = planColumns(reader, path, testPath, config, model)
    const names = reader.columns.map(({ name }) => name)
    const features = planned.known?.columns.map(({ column }) => column) ?? planned.chosen!.features.map(featureName)
    const extra = [...planned.targets, planned.splitBy?.name ?? [], planned.weight ?? []].flat()
    const table = await tableRowsOf(reader, [...new Set([...features, ...extra])])
    files.push(table)
    const chosen = planned.chosen && (await withoutCounters(planned.chosen, table))
    const plan = { ...planned, chosen }
    const all = await readRows(reader, table, extra, plan, config, path)
    const splits = splitsOf(all, plan, config, testPath !== null)
    const encoding = known ?? (await fitted(all, plan, config, splits.train))
    const test = testPath === null ? null : await readTest(testPath, open, plan, config, encoding)
    if (test) files.push(test.table)
    const missing = await countMissing(encoding, table, splits.train)
    return sourceOf(all, test, splits, plan, encoding, { names, missing, stream: config.stream })
  } catch (error) {
    await reader.close()
    for (const table of files) await table.close()
    throw error
  }
}

/** Columns that a model is trained on: features, then targets. */
const columnsOf = ({ columns, targets }: TableEncoding): string[] => [
  ...columns.map(({ column }) => column),
  ...targets,
]

const featureName = ({ profile }: { readonly profile: ColumnProfile }): string => profile.name

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
  const profilesOf = targets.map(name => profiles.find(profile => profile.name === name)!)
  const task = model ? model.task : config.task
  return {
    ...{ where, targets, known, splitBy, weight, isScored },
    ...taskOfTargets(where, profilesOf, task),
    chosen: known
      ? null
      : chooseKinds(where, profiles, rows, config.columns, targets, reservedColumns(splitBy, config.weight)),
  }
}

/** Kinds of the feature columns. */
function kindsOf({ chosen, known }: TablePlan): { column: string; kind: FeatureKind }[] {
  return (
    known?.columns.map(encoding => ({ column: encoding.column, kind: kindOf(encoding) })) ??
    chosen!.features.map(({ profile, kind }) => ({ column: profile.name, kind }))
  )
}

/** Throws DataError for a table that has names alone. */
function expectRows({ rows }: TableReader, where: string): void {
  if (rows === 0) throw emptyTable(where)
}

const emptyTable = (where: string) => new DataError(`${where}: the table is empty, expected rows with a target`)

/** `extra`: columns that are in memory in any case. */
async function readRows(
  reader: TableReader,
  table: TableRows,
  extra: readonly string[],
  plan: TablePlan,
  { missing, columns }: DataConfig,
  where: string,
): Promise<ReadTable> {
  const { files, warnings, notes } = reader
  const chunk = table.memory ?? (await table.collect(extra))
  const targets = targetValues(where, chunk, plan.targets, plan.task)
  const used = await missingRows(where, table, kindsOf(plan), targets, plan.targets, policiesOf(missing, columns))
  if (used.rows.length === 0) throw emptyTable(where)
  const digests = () => reader.digests()
  return { table, chunk, targets, rows: used.rows, files, digests, warnings, notes, omissions: used.notes }
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
    classes: targets.task === 'classification' ? targets.names.length : 2,
    how: splitBy === null ? { kind: 'class' } : { ...splitBy, values: chunk.columns.get(splitBy.name)! },
    advice: allRowsAdvice('table'),
  })
}

async function fitted(
  { table, targets: truth }: ReadTable,
  { where, targets, chosen, splitBy, weight }: TablePlan,
  { categories, numbers }: DataConfig,
  rows: Uint32Array,
): Promise<TableEncoding> {
  const encoding = await fitTable(where, table, rows, chosen!, {
    ...{ targets, truth, maxCategories: categories.max, above: categories.above, buckets: categories.buckets },
    ...{ embeddingSize: categories.embeddingSize, bins: numbers.bins, limit: numbers.limit },
    late: splitBy?.kind === 'time' ? splitBy.name : null,
  })
  return { ...encoding, weight }
}

async function readTest(path: string, open: OpenReader, plan: TablePlan, config: DataConfig, encoding: TableEncoding) {
  const reader = await open(path, formatOf(config, encoding))
  try {
    expectRows(reader, path)
    const names = reader.columns.map(({ name }) => name)
    expectColumns(path, names, columnsOf(encoding))
    const table = await tableRowsOf(reader, columnsOf(encoding))
    return await readRows(reader, table, encoding.targets, { ...plan, known: encoding }, config, path)
  } catch (error) {
    await reader.close()
    throw error
  }
}

/** Bytes of training features above which they are not held in memory. */
const STREAMED_BYTES = 2 ** 30

interface SourceFacts {
  /** All columns of the table. */
  readonly names: readonly string[]
  /** Missing values of the training rows, by column. */
  readonly missing: ReadonlyMap<string, number>
  readonly stream: DataConfig['stream']
}

/** The data set. `test`: the rows of a test file; null: those of `splits`. */
function sourceOf(
  all: ReadTable,
  test: ReadTable | null,
  splits: TableSplits,
  { where, targets, task, reason, weight, isScored }: TablePlan,
  encoding: TableEncoding,
  { names, missing, stream }: SourceFacts,
): DatasetSource {
  const classNames = all.targets.task === 'classification' ? classesOf(where, all, isScored) : targets
  if (all.targets.task !== 'classification' && !isScored) {
    const values = valuesOf(all.targets.values, targets.length, all.rows)
    expectLearnable(where, { task: all.targets.task, names: targets, values })
  }
  if (test) expectKnownClasses(test, classNames)
  const train = new Uint32Array(splits.train.length + splits.validation.length)
  train.set(splits.train)
  train.set(splits.validation, splits.train.length)
  // The digests of a file are those of the split that it is read for first.
  const none = async () => []
  const tested = test ?? { ...all, rows: splits.test, digests: isScored ? all.digests : none }
  const parts: Record<Split, TablePart> = {
    train: { ...all, rows: train, validationFrom: splits.train.length, digests: isScored ? none : all.digests },
    test: { ...tested, validationFrom: tested.rows.length },
  }
  const settings: LoadSettings = { encoding, classNames, where, weight }
  const bytes = Float32Array.BYTES_PER_ELEMENT * splits.train.length * featureCount(encoding)
  const streams = !isScored && (stream === 'always' || (stream === 'auto' && bytes > STREAMED_BYTES))
  const used = new Set(columnsOf(encoding))
  return {
    ...{ name: 'table', where, height: 1, width: featureCount(encoding), channels: 1, dtype: 'float32' },
    ...{ task, classes: classNames.length, classNames, table: encoding },
    columns: {
      features: encoding.columns.flatMap(featureNames),
      labels: targets,
      others: names.filter(name => !used.has(name)),
    },
    train: { rows: train.length },
    test: { rows: parts.test.rows.length },
    ...(isScored ? {} : { validationFrom: splits.train.length }),
    warnings: [
      ...[...all.warnings, ...(test?.warnings ?? []), ...similarClasses(where, classNames)],
      ...notLearned(where, all.targets, splits.train, classNames),
    ],
    notes: [
      ...tableNotes(encoding, { task, reason }, classNames, missing),
      ...[all, test].flatMap(read => [...(read?.notes ?? []), ...(read?.omissions ?? [])]),
    ],
    omissions: [...all.omissions, ...(test?.omissions ?? [])],
    ...(weight !== null && { weighted: true }),
    load: (split, features, labels, into = new Float32Array()) =>
      loadPart(parts[split], split, settings, { features, labels, targets: into }),
    ...(!isScored &&
      test === null &&
      all.table.packed !== null && {
        loadLast: into => loadParts(parts, settings, into),
      }),
    ...(streams && {
      stream: (write: WriteRows, labels: Int32Array, into = new Float32Array()) =>
        streamPart(parts.train, settings, write, { labels, targets: into }),
    }),
    async close() {
      await all.table.close()
      await test?.table.close()
    },
    async fields(split, positions) {
      const { table, rows } = parts[split]
      const fileRows = Uint32Array.from({ length: positions.length }, (_, i) => rows[positions[i]])
      const { digests } = split === 'test' && test ? test : all
      return { chunk: await table.take(columnsOf(encoding), fileRows), fileRows, files: await digests() }
    },
  }
}

/** Classes in order. Throws DataError for fewer than two, and for two spellings of one. */
function classesOf(where: string, { targets, rows }: ReadTable, isScored: boolean): readonly string[] {
  if (targets.task !== 'classification') return []
  const seen = new Uint8Array(targets.names.length)
  for (let i = 0; i < rows.length; i++) seen[targets.labels[rows[i]]] = 1
  const classes = sortedClasses(targets.names.filter((_, label) => seen[label] === 1))
  expectOneSpelling(where, classes)
  if (classes.length >= 2 || isScored) return classes
  throw new DataError(`${where}: has ${rows.length} rows in ${classes.length} classes, expected at least 2 classes`)
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
