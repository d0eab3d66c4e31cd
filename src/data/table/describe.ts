/**
 * Description of a table: each column's facts, role and kind, and the distribution of its values. One pass over the rows that
 * the reader keeps or reads again. Main thread.
 */
import type { DataConfig, LoadedFile } from '../source.js'
import type { ColumnKind, ColumnProfile } from './columns.js'
import { chooseKinds, withoutCounters } from './kinds.js'
import type { TableReader } from './reader.js'
import { reservedColumns, splitColumn } from './reserved.js'
import { rowsOfReader } from './table-rows.js'
import { targetNames } from './targets.js'
import { expectWeight } from './weights.js'

export interface ColumnDescription extends ColumnProfile {
  readonly role: 'feature' | 'target' | 'weight' | 'split' | 'ignored'
  /** Kind as a feature; null: it is none. */
  readonly kind: ColumnKind | null
  /** Reason why the column is not a feature; null for features and targets. */
  readonly reason: string | null
  /** Counts of values in equal parts of the range; null for text. */
  readonly histogram: readonly number[] | null
  /** Most frequent texts, with counts; null for other types. */
  readonly top: readonly (readonly [text: string, count: number])[] | null
}

export interface TableDescription {
  readonly files: readonly LoadedFile[]
  readonly rows: number
  readonly format: TableReader['format']
  readonly columns: readonly ColumnDescription[]
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
}

/** Parts of a histogram. */
const BINS = 20
const MOST_TOP = 5
/** Distinct texts that are counted; a column with more has no frequent ones. */
const MOST_COUNTED = 20_000

/** `config`: the section `data`. Throws DataError for a column in it that is not there. */
export async function describeTable(
  where: string,
  reader: TableReader,
  config: Pick<DataConfig, 'columns' | 'target' | 'split' | 'weight'>,
): Promise<TableDescription> {
  const { rows, format, notes, warnings, columns } = reader
  const targets = targetNames(where, columns, config.target)
  const splitBy = splitColumn(where, config.split, columns)
  if (config.weight !== null) expectWeight(where, config.weight, columns, targets)
  const distributions = await distributionsOf(reader)
  const kinds = chooseKinds(where, columns, rows, config.columns, targets, reservedColumns(splitBy, config.weight))
  const chosen = await withoutCounters(kinds, rowsOfReader(reader))
  const described = columns.map((profile): ColumnDescription => {
    const { name } = profile
    const feature = chosen.features.find(each => each.profile.name === name)
    const unused = chosen.unused.find(each => each.column === name)
    const other = name === config.weight ? 'weight' : name === splitBy?.name ? 'split' : 'ignored'
    const role = targets.includes(name) ? 'target' : feature ? 'feature' : other
    const { histogram = null, top = null } = distributions.get(name) ?? {}
    return { ...profile, role, kind: feature?.kind ?? null, reason: unused?.reason ?? null, histogram, top }
  })
  return { files: await reader.digests(), rows, format, columns: described, notes, warnings }
}

interface Distribution {
  histogram?: number[]
  top?: [string, number][]
}

async function distributionsOf(reader: TableReader): Promise<Map<string, Distribution>> {
  const readable = reader.columns.filter(column => column.unreadable === undefined)
  const bins = new Map(readable.map(({ name }) => [name, new Array<number>(BINS).fill(0)]))
  const texts = new Map(readable.map(({ name }) => [name, new Map<string, number>()]))
  for await (const chunk of reader.read(readable.map(({ name }) => name))) {
    for (const { name, range } of readable) {
      const values = chunk.columns.get(name)!
      if (values.type === 'text') addTexts(texts.get(name)!, values.codes, values.dictionary)
      else addNumbers(bins.get(name)!, values.values, range)
    }
  }
  return new Map(
    readable.map(({ name, type }): [string, Distribution] => {
      if (type !== 'text') return [name, { histogram: bins.get(name)! }]
      const top = [...texts.get(name)!].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, MOST_TOP)
      return [name, { top }]
    }),
  )
}

function addNumbers(bins: number[], values: Float64Array, range: ColumnProfile['range']): void {
  if (range === null) return
  const [min, max] = range
  // Halves, because the difference of two large numbers may be infinite.
  const width = max / 2 - min / 2
  for (const value of values) {
    if (Number.isNaN(value)) continue
    const place = width > 0 ? Math.floor(((value / 2 - min / 2) / width) * BINS) : 0
    bins[Math.min(place, BINS - 1)]++
  }
}

function addTexts(counts: Map<string, number>, codes: Int32Array, dictionary: readonly string[]): void {
  const added = new Uint32Array(dictionary.length)
  for (const code of codes) if (code >= 0) added[code]++
  dictionary.forEach((text, code) => {
    const known = counts.get(text)
    if (known !== undefined || counts.size < MOST_COUNTED) counts.set(text, (known ?? 0) + added[code])
  })
}
