/** Opens tables of CSV texts, read by the tests' own reader, and looks at their rows. */

import type { SavedInput } from '../../../src/data/input.js'
import type { DataConfig, DatasetSource, Split } from '../../../src/data/source.js'
import { openTable } from '../../../src/data/table/source.js'
import { dataConfig } from '../../helpers/data-config.js'
import { readerOfText } from '../../helpers/table-reader.js'

export const TABLE = '/tables/rows.csv'
export const TEST_TABLE = '/tables/test.csv'

export interface OpenOptions {
  readonly test?: string
  readonly model?: SavedInput
}

/** A table of a CSV text; `more`: settings of the section `data`. */
export function openText(text: string, more: Partial<DataConfig> = {}, { test, model }: OpenOptions = {}) {
  const texts: Record<string, string> = { [TABLE]: text, ...(test !== undefined && { [TEST_TABLE]: test }) }
  const config = { ...dataConfig({ dataset: 'table', path: TABLE }), task: 'auto' as const, ...more }
  return openTable(TABLE, test === undefined ? null : TEST_TABLE, config, model ?? null, async (path, format) =>
    readerOfText(path, texts[path], format),
  )
}

/** Rows of a split: features by name, and the class or the targets. */
export async function rowsOf(source: DatasetSource, split: Split) {
  const { rows } = source[split]
  const features = new Float32Array(rows * source.width)
  const labels = new Int32Array(rows)
  const targets = new Float32Array(source.task === 'regression' ? rows * source.classes : 0)
  await source.load(split, features, labels, targets)
  return Array.from(labels, (label, row) => ({
    features: Object.fromEntries(source.columns!.features.map((name, f) => [name, features[row * source.width + f]])),
    goal:
      source.task === 'regression'
        ? [...targets.subarray(row * source.classes, (row + 1) * source.classes)]
        : source.classNames[label],
  }))
}

/** All rows, training rows first. */
export const allRows = async (source: DatasetSource) => [
  ...(await rowsOf(source, 'train')),
  ...(await rowsOf(source, 'test')),
]

/** CSV text of rows. */
export const csv = (header: string, rows: readonly (readonly unknown[])[]): string =>
  `${[header, ...rows.map(row => row.join(','))].join('\n')}\n`

/** The specification of a model that was trained on a source. */
export const modelOf = (source: DatasetSource): SavedInput => ({
  ...{ height: 1, channels: 1, width: source.width, dtype: 'float32' },
  ...{ classNames: source.classNames, preparation: 'plain', background: null },
  columns: { features: source.columns!.features, labels: source.columns!.labels },
  ...{ task: source.task, table: source.table!, scaling: null },
  targets: source.task === 'regression' ? { offset: [0], factor: [1] } : null,
})
