/** Format in which an experiment, and a model, want the files of a table to be read. Pure; any thread. */
import type { DataConfig } from '../source.js'
import { columnSettings } from './column-settings.js'
import type { TableEncoding } from './encoding.js'
import type { TableFormat } from './reader.js'

/** Format to read files in: the experiment's settings, and the types that a model's columns must have. */
export function formatOf(
  { table, query, columns }: Pick<DataConfig, 'table' | 'query' | 'columns'>,
  encoding: TableEncoding | null,
): TableFormat {
  const types: Record<string, TableFormat['types'][string]> = {}
  const dayFirstOf: Record<string, boolean> = {}
  for (const [name, { kind, dayFirst }] of Object.entries(columnSettings(columns))) {
    if (kind !== null && kind !== 'category' && kind !== 'ignore') types[name] = kind
    if (dayFirst !== null) dayFirstOf[name] = dayFirst
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
    ...(Object.keys(dayFirstOf).length > 0 && { dayFirstOf }),
  }
}
