/** Predictions as text: numbers that come back, quotes, missing values, dates. */
import t from 'tap'
import { f32Text, putFraction } from '../../../src/inference/table/number-text.js'
import { type OutputColumn, predictionColumns } from '../../../src/inference/table/predictions.js'
import { headOf, RowsWriter, type TextFormat } from '../../../src/inference/table/writers.js'
import fc from '../../helpers/fast-check.js'

const rowsText = (format: TextFormat, columns: readonly OutputColumn[]) =>
  new RowsWriter(format).write(columns).toString()

t.test('f32Text: every f32 number is restored from at most 9 digits', async t => {
  fc.assert(
    fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), value => {
      const text = f32Text(value)
      const digits = text.replace(/e.*$/, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '')
      return Math.fround(Number(text)) === value && digits.length <= 9
    }),
    { numRuns: 5000 },
  )
  t.same(
    [0.1, 0.3, 1 / 3, 1e-7, 16777216, -2.5].map(value => f32Text(Math.fround(value))),
    ['0.1', '0.3', '0.33333334', '1e-7', '16777216', '-2.5'],
  )
})

/** The positive f32 number that is `steps` after another. */
const stepped = (value: number, steps: number) => {
  const bits = new Int32Array(Float32Array.of(value).buffer)
  bits[0] += steps
  return new Float32Array(bits.buffer)[0]
}

t.test('putFraction writes what f32Text prints, or leaves the number to it', async t => {
  const written = (value: number) => {
    const into = Buffer.alloc(16)
    return into.toString('latin1', 0, putFraction(value, into, 0))
  }
  for (const [min, max] of [
    [2 ** -19, 1],
    [2 ** -43, 2 ** -19],
  ] as const) {
    fc.assert(
      fc.property(fc.float({ min, max, maxExcluded: true, noNaN: true }), value => written(value) === f32Text(value)),
      { numRuns: 20_000 },
    )
  }
  for (let power = 1; power < 13; power++) {
    const near = Math.fround(10 ** -power)
    for (const value of [near, stepped(near, -1), stepped(near, 1)]) t.equal(written(value), f32Text(value))
  }
  for (const value of [0, 1, 0.5, 0.25, 0.1, 0.01, 0.99999994, 0.0001, 0.001, 0.00001, 2 ** -13, 0.000009999999]) {
    t.equal(written(Math.fround(value)), f32Text(Math.fround(value)))
  }
  for (const value of [-0.5, 1e-14, Number.NaN, 2.5, Number.POSITIVE_INFINITY]) t.equal(written(value), '')
})

t.test('a writer is reusable, and its buffer grows', async t => {
  const writer = new RowsWriter('csv')
  const column = (rows: number): OutputColumn[] => [
    { name: 'p', values: { type: 'f32', values: new Float32Array(rows).fill(0.1) } },
    { name: 'long', values: { type: 'name', codes: new Int32Array(rows), names: ['ä'.repeat(300)] } },
  ]
  const expected = (rows: number) => `0.1,${'ä'.repeat(300)}\n`.repeat(rows)
  t.equal(writer.write(column(3)).toString(), expected(3))
  t.equal(writer.write(column(5000)).toString(), expected(5000), 'three megabytes')
  t.equal(writer.write(column(1)).toString(), expected(1))
})

const kept: OutputColumn[] = [
  { name: 'a "name"', values: { type: 'text', codes: Int32Array.of(1, -1, 0), dictionary: ['x, y', 'two\nlines'] } },
  { name: 'n', values: { type: 'number', values: Float64Array.of(1700000001, Number.NaN, 0.1) } },
  { name: 'yes', values: { type: 'boolean', values: Float64Array.of(1, 0, Number.NaN) } },
  { name: 'day', values: { type: 'date', values: Float64Array.of(0, 1717158600.5, 1717113600) } },
]
const outputs = { task: 'classification', outputNames: ['cat', 'a,b'], target: 'kind' } as const
const columns = [...kept, ...predictionColumns(outputs, Float32Array.of(0.25, 0.75, 0.5, 0.5, 1, 0))]

t.test(
  'CSV: quotes where they are needed, empty fields where a value is missing, the first of equal classes',
  async t => {
    t.equal(
      headOf(
        'csv',
        columns.map(({ name }) => name),
      ) + rowsText('csv', columns),
      [
        '"a ""name""",n,yes,day,predicted_kind,probability_cat,"probability_a,b"',
        '"two\nlines",1700000001,true,1970-01-01,"a,b",0.25,0.75',
        ',,false,2024-05-31 12:30:00.500,cat,0.5,0.5',
        '"x, y",0.1,,2024-05-31,cat,1,0',
        '',
      ].join('\n'),
    )
  },
)

t.test('NDJSON: one object per row, null for missing values', async t => {
  const lines = rowsText('ndjson', columns).trimEnd().split('\n')
  t.equal(headOf('ndjson', ['a']), '')
  t.same(
    lines.map(line => JSON.parse(line)),
    [
      {
        ...{ 'a "name"': 'two\nlines', n: 1700000001, yes: true, day: '1970-01-01' },
        ...{ predicted_kind: 'a,b', probability_cat: 0.25, 'probability_a,b': 0.75 },
      },
      {
        ...{ 'a "name"': null, n: null, yes: false, day: '2024-05-31 12:30:00.500' },
        ...{ predicted_kind: 'cat', probability_cat: 0.5, 'probability_a,b': 0.5 },
      },
      {
        ...{ 'a "name"': 'x, y', n: 0.1, yes: null, day: '2024-05-31' },
        ...{ predicted_kind: 'cat', probability_cat: 1, 'probability_a,b': 0 },
      },
    ],
  )
})

t.test('regression: a column for each target, and no probabilities', async t => {
  const columns = predictionColumns(
    { task: 'regression', outputNames: ['price', 'rent'], target: null },
    Float32Array.of(1, 2, 3, 4),
  )
  t.equal(rowsText('csv', columns), '1,2\n3,4\n')
  t.same(
    columns.map(({ name }) => name),
    ['predicted_price', 'predicted_rent'],
  )
})
