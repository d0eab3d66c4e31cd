/** Rows of a table as inputs of an exported ONNX file, made from what its metadata say. */
import * as ort from 'onnxruntime-web'
import type { ColumnValues, TableChunk } from '../../src/data/table/columns.js'
import { categoryText } from '../../src/data/table/encode.js'
import type { TableEncoding } from '../../src/data/table/encoding.js'
import { bucketOf } from '../../src/data/table/hash.js'
import { type OnnxInput, onnxTable } from '../../src/export/onnx-table.js'

export const tableFeeds = (table: TableEncoding, { columns }: TableChunk): Record<string, ort.Tensor> =>
  Object.fromEntries(
    onnxTable(table).inputs.map(input => [input.input, tensorOf(input, columns.get(input.column)!, table)]),
  )

/** Values of a column as texts or numbers; null: missing. */
export const listOf = (values: ColumnValues): (string | number | null)[] =>
  values.type === 'text'
    ? Array.from(values.codes, code => (code < 0 ? null : values.dictionary[code]))
    : Array.from(values.values, value => (Number.isNaN(value) ? null : value))

function tensorOf(input: OnnxInput, values: ColumnValues, table: TableEncoding): ort.Tensor {
  const list = listOf(values)
  const dims = [list.length, 1]
  if (input.type === 'string')
    return new ort.Tensor(
      'string',
      list.map(value => (value ?? input.missing) as string),
      dims,
    )
  if (input.type === 'double') {
    return new ort.Tensor(
      'float64',
      Float64Array.from(list, value => (value === null ? Number.NaN : Number(value))),
      dims,
    )
  }
  const encoding = table.columns.find(({ column }) => column === input.column)
  const buckets = encoding?.kind === 'category' ? encoding.buckets : 0
  const textOf = (value: string | number) => (typeof value === 'number' ? categoryText(value) : value)
  const found = list.map(value => BigInt(value === null ? 0 : bucketOf(textOf(value), buckets)))
  return new ort.Tensor('int64', BigInt64Array.from(found), dims)
}
