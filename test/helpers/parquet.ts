/**
 * Parquet files for tests: written by DuckDB, or by a writer of small ones: row groups whose columns have pages of chosen lengths, with a dictionary for the first pages
 * or without, as other programs than DuckDB write them. Uncompressed; https://github.com/apache/parquet-format.
 */
import { loadDuckDB } from '../../src/data/table/duckdb/package.js'

/** Writes the rows of a statement by DuckDB, with its own options, such as `, ROW_GROUP_SIZE 20480`. Returns the path. */
export async function copiedToParquet(path: string, select: string, options = ''): Promise<string> {
  const { DuckDBInstance } = loadDuckDB('test')
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
  const connection = await instance.connect()
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet${options})`)
  connection.closeSync()
  instance.closeSync()
  return path
}

export interface WrittenColumn {
  readonly name: string
  readonly type: 'INT64' | 'DOUBLE' | 'BYTE_ARRAY'
  /** null: missing. */
  readonly values: readonly (number | string | null)[]
  /** Rows of each page, over and over. */
  readonly pages: readonly number[]
  /** Pages of each row group that refer to a dictionary. */
  readonly dictionaryPages: number
  /** Bytes of the statistics of each page. */
  readonly statistics?: number
}

type Field = readonly [id: number, type: keyof typeof TYPES, value: unknown]
const TYPES = { i32: 5, i64: 6, text: 8, list: 9, struct: 12 } as const
const PHYSICAL = { INT64: 2, DOUBLE: 5, BYTE_ARRAY: 6 } as const
const [PLAIN, RLE, RLE_DICTIONARY] = [0, 3, 8]
const MAGIC = Buffer.from('PAR1')

/** Content of a file with row groups of these lengths. */
export function parquetFile(columns: readonly WrittenColumn[], groups: readonly number[]): Buffer {
  const parts: Buffer[] = [MAGIC]
  let at = MAGIC.length
  let first = 0
  const rowGroups = groups.map(rows => {
    const chunks = columns.map(column => {
      const { content, pagesAt, isDictionary } = chunkOf(column, column.values.slice(first, first + rows))
      const place = at
      parts.push(content)
      at += content.length
      const facts: Field[] = [
        [1, 'i32', PHYSICAL[column.type]],
        [2, 'list', ['i32', [PLAIN, RLE, RLE_DICTIONARY]]],
        [3, 'list', ['text', [column.name]]],
        [4, 'i32', 0],
        [5, 'i64', rows],
        [6, 'i64', content.length],
        [7, 'i64', content.length],
        [9, 'i64', place + pagesAt],
        ...(isDictionary ? [[11, 'i64', place] as const] : []),
      ]
      return [
        [2, 'i64', place],
        [3, 'struct', facts],
      ]
    })
    first += rows
    return [
      [1, 'list', ['struct', chunks]],
      [2, 'i64', 1],
      [3, 'i64', rows],
    ]
  })
  const root: Field[] = [
    [4, 'text', 'schema'],
    [5, 'i32', columns.length],
  ]
  const leaves = columns.map(({ name, type }): Field[] => [
    [1, 'i32', PHYSICAL[type]],
    [3, 'i32', 1],
    [4, 'text', name],
    ...(type === 'BYTE_ARRAY' ? [[6, 'i32', 0] as const] : []),
  ])
  const footer = struct([
    [1, 'i32', 1],
    [2, 'list', ['struct', [root, ...leaves]]],
    [3, 'i64', first],
    [4, 'list', ['struct', rowGroups]],
  ])
  return Buffer.concat([...parts, footer, u32(footer.length), MAGIC])
}

function chunkOf({ type, pages, dictionaryPages, statistics = 0 }: WrittenColumn, values: WrittenColumn['values']) {
  const parts: Buffer[] = []
  const ranges: (typeof values)[] = []
  for (let row = 0, page = 0; row < values.length; page++) {
    ranges.push(values.slice(row, row + pages[page % pages.length]))
    row += pages[page % pages.length]
  }
  const isDictionary = dictionaryPages > 0
  const entries = [...new Set(ranges.slice(0, dictionaryPages).flat())].filter(value => value !== null)
  const indexOf = new Map(entries.map((value, i) => [value, i]))
  if (isDictionary)
    parts.push(
      page(2, Buffer.concat(entries.map(value => plain(type, value))), [
        [
          7,
          'struct',
          [
            [1, 'i32', entries.length],
            [2, 'i32', PLAIN],
          ],
        ],
      ]),
    )
  const pagesAt = parts.reduce((sum, { length }) => sum + length, 0)
  ranges.forEach((range, i) => {
    const present = range.filter(value => value !== null)
    const levels = runs(
      range.map(value => (value === null ? 0 : 1)),
      1,
    )
    const inDictionary = i < dictionaryPages
    const content = inDictionary
      ? [
          Buffer.of(16),
          runs(
            present.map(value => indexOf.get(value)!),
            16,
          ),
        ]
      : present.map(value => plain(type, value))
    const extreme = 'x'.repeat(statistics)
    parts.push(
      page(0, Buffer.concat([u32(levels.length), levels, ...content]), [
        [
          5,
          'struct',
          [
            [1, 'i32', range.length],
            [2, 'i32', inDictionary ? RLE_DICTIONARY : PLAIN],
            [3, 'i32', RLE],
            [4, 'i32', RLE],
            ...(statistics > 0
              ? [
                  [
                    5,
                    'struct',
                    [
                      [5, 'text', extreme],
                      [6, 'text', extreme],
                    ],
                  ] as const,
                ]
              : []),
          ],
        ],
      ]),
    )
  })
  return { content: Buffer.concat(parts), pagesAt, isDictionary }
}

const page = (type: number, content: Buffer, header: readonly Field[]): Buffer =>
  Buffer.concat([
    struct([[1, 'i32', type], [2, 'i32', content.length], [3, 'i32', content.length], ...header]),
    content,
  ])

/** Runs of equal numbers of at most `bits` bits. */
function runs(numbers: readonly number[], bits: number): Buffer {
  const parts: Buffer[] = []
  for (let from = 0; from < numbers.length; ) {
    let to = from
    while (to < numbers.length && numbers[to] === numbers[from]) to++
    parts.push(
      varint(2 * (to - from)),
      Buffer.from([numbers[from] & 255, numbers[from] >> 8].slice(0, (bits + 7) >> 3)),
    )
    from = to
  }
  return Buffer.concat(parts)
}

function plain(type: WrittenColumn['type'], value: number | string | null): Buffer {
  if (type === 'BYTE_ARRAY') return Buffer.concat([u32(Buffer.byteLength(String(value))), Buffer.from(String(value))])
  const bytes = Buffer.alloc(8)
  if (type === 'DOUBLE') bytes.writeDoubleLE(value as number)
  else bytes.writeBigInt64LE(BigInt(value as number))
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128)
  return Buffer.from([...bytes, value])
}

/** Struct of Thrift's compact protocol. */
function struct(fields: readonly Field[]): Buffer {
  let last = 0
  const parts = fields.flatMap(([id, type, value]) => {
    const head = Buffer.of(((id - last) << 4) | TYPES[type])
    last = id
    return [head, encoded(type, value)]
  })
  return Buffer.concat([...parts, Buffer.of(0)])
}

function encoded(type: keyof typeof TYPES, value: unknown): Buffer {
  if (type === 'struct') return struct(value as Field[])
  if (type === 'text') return Buffer.concat([varint(Buffer.byteLength(value as string)), Buffer.from(value as string)])
  if (type !== 'list') return varint(2 * (value as number)) // zigzag of a number that is not negative
  const [of, items] = value as [keyof typeof TYPES, unknown[]]
  const head =
    items.length < 15
      ? [Buffer.of((items.length << 4) | TYPES[of])]
      : [Buffer.of(0xf0 | TYPES[of]), varint(items.length)]
  return Buffer.concat([...head, ...items.map(item => encoded(of, item))])
}
