/** Encoding of columns: every value by hand. */
import t from 'tap'
import type { ColumnValues, TableChunk } from '../../../src/data/table/columns.js'
import { phaseOf, secondsOf } from '../../../src/data/table/dates.js'
import { encodeRows } from '../../../src/data/table/encode.js'
import {
  type ColumnEncoding,
  embeddingsOf,
  type FeatureKind,
  featureCount,
  featureNames,
  type NumberEncoding,
} from '../../../src/data/table/encoding.js'
import { fitColumn } from '../../../src/data/table/fit.js'
import { binsFor } from '../../../src/data/table/fit-table.js'
import { bucketOf } from '../../../src/data/table/hash.js'
import { parseEncoding } from '../../../src/data/table/parse.js'
import { chunkOfRows } from '../../../src/data/table/rows.js'

const NONE = Number.NaN
const numbers = (...values: number[]): ColumnValues => ({ type: 'number', values: Float64Array.from(values) })
const text = (...values: (string | null)[]): ColumnValues => {
  const dictionary = [...new Set(values.filter(value => value !== null))]
  return {
    type: 'text',
    codes: Int32Array.from(values, value => (value === null ? -1 : dictionary.indexOf(value))),
    dictionary,
  }
}
const all = (values: ColumnValues) =>
  Uint32Array.from({ length: values.type === 'text' ? values.codes.length : values.values.length }, (_, row) => row)
const fit = (values: ColumnValues, kind: FeatureKind, more = {}, rows = all(values)) =>
  fitColumn(values, rows, 'file', {
    ...{ column: 'x', kind, maxCategories: 3, above: 'hash', buckets: 2, embeddingSize: null, bins: 0, elapsed: true },
    limit: null,
    ...more,
  })
const chunkOf = (values: ColumnValues): TableChunk => ({
  ...{ firstRow: 0, rows: all(values).length, columns: new Map([['x', values]]) },
})

/** Features of each row. */
function encoded(encoding: ColumnEncoding, values: ColumnValues): number[][] {
  const columns = [encoding]
  const width = featureCount({ columns })
  const chunk = chunkOf(values)
  const into = new Float32Array(chunk.rows * width).fill(7) // what was there must not matter
  encodeRows({ columns }, chunk, into)
  return Array.from({ length: chunk.rows }, (_, row) => [...into.subarray(row * width, (row + 1) * width)])
}

t.test(
  'a number is standardised by the rows that are fitted, and its median fills a gap beside an indicator',
  async t => {
    const values = numbers(1, 3, NONE, 9, 100)
    const encoding = fit(values, 'number', {}, Uint32Array.of(0, 1, 2, 3)) // 100 is no training row
    // Values 1, 3, 9: mean 13/3, deviation sqrt(104/9), median 3.
    const factor = 1 / Math.sqrt(104 / 9)
    t.match(encoding, { kind: 'number', fill: 3, indicator: true })
    const of = (x: number) => Math.fround((x - 13 / 3) * factor)
    const rows = encoded(encoding, values)
    for (const [row, x] of [1, 3, 3, 9, 100].entries()) t.ok(Math.abs(rows[row][0] - of(x)) < 1e-6, `row ${row}`)
    t.same(
      rows.map(row => row[1]),
      [0, 0, 1, 0, 0],
    )
    t.same(featureNames(encoding), ['x', 'x is missing'])
  },
)

t.test('the median of any numbers is that of the sorted ones, to the bit', t => {
  let state = 7
  const random = (below: number) => {
    state = (state * 48271) % 2147483647
    return state % below
  }
  let cases = 0
  for (let round = 0; round < 300; round++) {
    const few = 1 + random(9)
    const values = Float64Array.from(
      { length: 1 + random(40) },
      () => [-0, 0, random(few) - 2, random(1e6) / 7][random(4)],
    )
    const encoding = fit({ type: 'number', values }, 'number') as NumberEncoding
    const sorted = values.toSorted()
    const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
    const median = low === high ? low : low + (high - low) / 2
    if (!Object.is(encoding.fill, median)) t.fail(`${[...values]}: ${encoding.fill}, expected ${median}`)
    cases++
  }
  t.equal(cases, 300)
  t.end()
})

t.test(
  'the median of an even number of values is the mean of the middle two; without gaps there is no indicator',
  async t => {
    t.match(fit(numbers(4, 1, 2, 10), 'number'), { fill: 3, indicator: false })
    const encoding = fit(numbers(4, 1, 2, 10), 'number')
    t.same(encoded(encoding, numbers(NONE)), encoded(encoding, numbers(3)), 'a later gap is filled')
  },
)

t.test('times and large ids keep their differences: they are shifted in f64 and rounded once', async t => {
  const values = numbers(...Array.from({ length: 60 }, (_, i) => 1_700_000_000 + i))
  const rows = encoded(fit(values, 'number'), values).map(([x]) => x)
  t.equal(new Set(rows).size, 60)
  const step = 1 / Math.sqrt((60 * 60 - 1) / 12)
  for (let i = 1; i < 60; i++) t.ok(Math.abs(rows[i] - rows[i - 1] - step) < 1e-6)
})

t.test('a constant has the scaling factor 0; a number beyond the range of f32 is refused with its row', async t => {
  t.match(fit(numbers(5, 5, 5), 'number'), { offset: 5, factor: 0 })
  t.same(encoded(fit(numbers(0.1, 0.1, 0.1), 'number'), numbers(0.1)), [[0]])
  t.throws(() => encoded(fit(numbers(1, 2), 'number'), numbers(1, 1e300)), {
    message: "table: column 'x' in row 2 is 1e+300, expected a number that f32 can hold once it is standardised",
  })
  t.throws(() => encoded(fit(numbers(1, 2), 'number'), numbers(Number.POSITIVE_INFINITY)), /is Infinity/)
})

t.test('numbers whose squares are outside the range of f64 are standardised like others', async t => {
  const of = (...values: number[]) => encoded(fit(numbers(...values), 'number'), numbers(...values)).flat()
  const expected = of(1, 2, 3, 7)
  const isLike = (found: number[]) => found.every((value, i) => Math.abs(value - expected[i]) < 1e-6)
  for (const unit of [1e300, 1e-200, -2e300, 1e-300]) {
    t.ok(isLike(of(unit, 2 * unit, 3 * unit, 7 * unit).map(value => value * Math.sign(unit))), `in units of ${unit}`)
  }
  t.strictSame(of(1e308, -1e308), [1, -1], 'a difference that overflows')
  t.match(fit(numbers(1e300, 1e300), 'number'), { factor: 0, offset: 1e300 })
})

t.test('bins of a number are quantiles: 0 below, 1 above, linear within', async t => {
  const values = numbers(1, 1, 2, 2, 3, 4, 5, 6, 10, 30, 40)
  const encoding = fit(values, 'number', { bins: 2 })
  t.match(encoding, { knots: [1, 4, 40] })
  t.same(featureNames(encoding), ['x', 'x from 1 to 4', 'x from 4 to 40'])
  const bins = encoded(encoding, numbers(0, 1, 2.5, 4, 22, 40, 99, NONE)).map(row => row.slice(1))
  t.same(bins, [
    [0, 0],
    [0, 0],
    [0.5, 0],
    [1, 0],
    [1, 0.5],
    [1, 1],
    [1, 1],
    [1, 0], // the median
  ])
  t.match(fit(values, 'number', { bins: 10 }), { knots: [1, 2, 3, 4, 5, 6, 10, 30, 40] }, 'equal quantiles are one')
  t.match(fit(numbers(1, 2, 3, 4, 5, 6, 7, 8, 8), 'number', { bins: 4 }), { knots: [] }, 'few values have none')
})

t.test('bins "auto": 8, or as many as leave 5 training rows for each feature, and none instead of one', async t => {
  t.same(
    [1000, 80, 79, 40, 20, 19, 10, 1].map(rows => binsFor(rows, 2)),
    [8, 8, 7, 4, 2, 0, 0, 0],
  )
  t.same(
    [1, 10, 100].map(numbers => binsFor(1000, numbers)),
    [8, 8, 2],
  )
  t.equal(binsFor(0, 0), 0)
})

t.test('a limit keeps outliers near the other values: z / √(1 + (z / limit)²), whatever the bins', async t => {
  const values = numbers(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, NONE)
  const { offset, factor } = fit(values, 'number') as NumberEncoding
  const z = (value: number) => (value - offset) * factor
  for (const bins of [0, 2]) {
    const encoding = fit(values, 'number', { limit: 3, bins })
    t.match(encoding, { limit: 3 })
    t.equal(featureCount({ columns: [encoding] }), 2 + bins)
    const [small, one, outlier, low, missing] = encoded(encoding, numbers(5.01, 2, 1e20, -1e30, NONE))
    t.equal(small[0], Math.fround(z(5.01) / Math.sqrt(1 + (z(5.01) / 3) * (z(5.01) / 3))))
    t.equal(one[0], Math.fround(z(2) / Math.sqrt(1 + (z(2) / 3) * (z(2) / 3))))
    t.same([outlier[0], low[0]], [3, -3])
    t.same([missing[0], missing.at(-1)], [0, 1], 'the median and the indicator')
    t.same(
      parseEncoding(
        JSON.parse(JSON.stringify({ version: 1, columns: [encoding], targets: ['y'], weight: null, unused: [] })),
        2 + bins,
      )?.columns,
      [encoding],
    )
  }
})

t.test(
  'a category has one feature per value, sorted, and one for missing values; an unseen value gives zeros',
  async t => {
    const values = text('b', 'a', null, 'b')
    const encoding = fit(values, 'category')
    t.same(encoding, {
      column: 'x',
      kind: 'category',
      categories: ['a', 'b'],
      numeric: false,
      buckets: 0,
      missing: true,
      usual: 'b',
    })
    t.same(encoded(encoding, text('a', 'b', null, 'c')), [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
      [0, 0, 0],
    ])
    t.same(featureNames(encoding), ['x = a', 'x = b', 'x is missing'])
    t.same(encoded(fit(text('a', 'b'), 'category'), text(null)), [[0, 0]], 'missing where training had none')
  },
)

t.test(
  'an embedded category is a row: 0 for values of one training row and unseen ones, the last for missing ones',
  async t => {
    const values = text('d', 'b', 'a', null, 'b', 'a', 'c', 'c', 'c')
    const options = { maxCategories: 3, above: 'embed' }
    const encoding = fit(values, 'category', options)
    t.match(encoding, { kind: 'embedding', categories: ['a', 'b', 'c'], numeric: false, missing: true, size: 3 })
    t.same(encoded(encoding, text('a', 'b', 'c', 'd', 'new', null)), [[1], [2], [3], [0], [0], [4]])
    t.same(featureNames(encoding), ['x'])
    t.same(embeddingsOf({ columns: [encoding] }), [{ rows: 5, size: 3 }])
    const whole = fit(text('d', 'b', 'a', 'b', 'a', 'c', 'c'), 'category', { ...options, embeddingSize: 7 })
    t.match(whole, { missing: false, size: 7 })
    t.same(encoded(whole, text(null, 'c')), [[0], [3]], 'missing where training had none')
    t.match(fit(values, 'category', { maxCategories: 4, above: 'embed' }), { kind: 'category', buckets: 0 }, 'few')
  },
)

t.test('embedded numbers are compared by value, and only rows of the fit add vectors', async t => {
  const values = numbers(5, 5, 2, 2, 9, 9, 9, NONE)
  const options = { maxCategories: 1, above: 'embed' }
  const encoding = fit(values, 'category', options, Uint32Array.of(0, 1, 2, 3, 4))
  t.match(encoding, { kind: 'embedding', categories: ['2', '5'], numeric: true, missing: false })
  t.same(encoded(encoding, numbers(2, 5, 9, NONE)), [[1], [2], [0], [0]])
  t.same(encoded(encoding, text('2.0', ' 5', 'x')), [[1], [2], [0]])
})

t.test(
  'an encoding whose embedded columns are not the last, or that does not fit the network, is no encoding',
  async t => {
    const [plain, embedded] = [
      fit(numbers(1, 2, 3), 'number'),
      fit(text('a', 'a', 'b', 'b'), 'category', { maxCategories: 1, above: 'embed' }),
    ]
    const of = (columns: readonly ColumnEncoding[]) =>
      JSON.parse(JSON.stringify({ version: 1, columns, targets: ['y'], weight: null, unused: [] }))
    t.same(parseEncoding(of([plain, embedded]), 2), of([plain, embedded]))
    t.equal(parseEncoding(of([embedded, plain]), 2), null)
    t.equal(parseEncoding(of([plain, embedded]), 3), null)
    t.equal(parseEncoding(of([plain, { ...embedded, size: 0 } as ColumnEncoding]), 2), null)
  },
)

t.test('numbers as categories are compared by value: 1, 1.0 and the text 1 are one', async t => {
  const encoding = fit(numbers(10, 2, 2), 'category')
  t.match(encoding, { categories: ['2', '10'], numeric: true })
  t.same(encoded(encoding, text('2.0', '10', 'x')), [
    [1, 0],
    [0, 1],
    [0, 0],
  ])
  t.same(encoded(encoding, numbers(10, 3)), [
    [0, 1],
    [0, 0],
  ])
  t.same(encoded(fit(text('01', '1'), 'category'), text('1', '01')), [
    [0, 1],
    [1, 0],
  ])
})

t.test('with more categories than features, the most frequent have features and the others share buckets', async t => {
  const values = text('a', 'a', 'b', 'b', 'c', 'c', 'd', 'e')
  const encoding = fit(values, 'category')
  t.match(encoding, { categories: ['a', 'b', 'c'], buckets: 2 })
  const hot = (feature: number) => Array.from({ length: 5 }, (_, f) => Number(f === feature))
  t.same(encoded(encoding, text('b', 'e', 'new')), [hot(1), hot(3 + bucketOf('e', 2)), hot(3 + bucketOf('new', 2))])
  t.same(featureNames(encoding), ['x = a', 'x = b', 'x = c', 'x #0', 'x #1'])
})

t.test('the hash of a text is fixed: it is part of the file format', async t => {
  t.same(
    ['', 'a', 'Zürich', '東京', '0'].map(name => bucketOf(name, 1000)),
    HASHES,
  )
  const counts = new Array(32).fill(0)
  for (let i = 0; i < 3200; i++) counts[bucketOf(`category ${i}`, 32)]++
  t.ok(Math.min(...counts) > 60 && Math.max(...counts) < 140, 'spread over the buckets')
})
const HASHES = [923, 715, 631, 455, 945]

t.test('yes and no are 1 and 0; a missing value is filled with the more frequent one', async t => {
  const values: ColumnValues = { type: 'boolean', values: Float64Array.of(1, 0, 1, NONE) }
  const encoding = fit(values, 'boolean')
  t.same(encoding, { column: 'x', kind: 'boolean', fill: 1, indicator: true })
  t.same(encoded(encoding, text('yes', 'f', 'TRUE', null, '0')), [
    [1, 0],
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 0],
  ])
  t.throws(() => encoded(encoding, text('maybe')), /column 'x' in row 1 is 'maybe', expected yes or no/)
})

t.test('a date is its position in the cycles that vary, as sine and cosine, and elapsed time', async t => {
  const dates = text('2023-01-01', '2023-07-02 12:00', '2023-12-31')
  const encoding = fit(dates, 'date')
  t.match(encoding, { cycles: ['year', 'month', 'week', 'day'], elapsed: true, indicator: false })
  const names = featureNames(encoding)
  const rows = encoded(encoding, dates)
  const at = (row: number, name: string) => rows[row][names.indexOf(name)]
  const near = (got: number, wanted: number) => t.ok(Math.abs(got - wanted) < 1e-6, `${got} is ${wanted}`)
  near(at(0, 'x year (sine)'), 0)
  near(at(0, 'x year (cosine)'), 1)
  near(at(1, 'x year (sine)'), 0) // half of a year of 365 days
  near(at(1, 'x year (cosine)'), -1)
  near(at(1, 'x day (cosine)'), -1) // noon
  near(at(0, 'x week (sine)'), Math.sin((2 * Math.PI * 6) / 7)) // a Sunday
  near(at(2, 'x month (cosine)'), Math.cos((2 * Math.PI * 30) / 31))
  t.ok(at(0, 'x') < at(1, 'x') && at(1, 'x') < at(2, 'x'))
  const days = fit(text('2023-05-01', '2023-05-02'), 'date', { elapsed: false })
  t.match(days, { cycles: ['year', 'month', 'week'], elapsed: false })
})

t.test('phases of days before 1970, and texts of dates', async t => {
  t.equal(phaseOf('day', -1), 86_399 / 86_400)
  t.equal(phaseOf('week', -3 * 86_400), 0) // Monday, 1969-12-29
  t.equal(phaseOf('hour', 1800), 0.5)
  t.equal(phaseOf('month', secondsOf('2024-02-15')), 14 / 29)
  t.equal(secondsOf('1970-01-02'), 86_400)
  t.equal(secondsOf('1970-01-01T00:00:10.5Z'), 10.5)
  t.equal(secondsOf('1970-01-01 02:00+02:00'), 0)
  t.equal(secondsOf('12:30'), 45_000)
  for (const wrong of ['2023-02-30', '2023-13-01', '25:00', 'soon', '01/02/2020'])
    t.ok(Number.isNaN(secondsOf(wrong)), wrong)
})

t.test('rows given as objects are encoded as the same values from a file', async t => {
  const columns = [fit(numbers(1, 3, NONE), 'number'), { ...fit(text('a', 'b'), 'category'), column: 'c' }]
  const into = new Float32Array(2 * featureCount({ columns }))
  const rows = [
    { c: 'b', x: '3', other: 1 },
    { x: null, c: null },
  ]
  encodeRows({ columns }, chunkOfRows({ columns }, rows), into)
  t.same([...into], [1, 0, 0, 1, 0, 1, 0, 0])
  encodeRows(
    { columns },
    chunkOfRows({ columns }, [
      { c: ' b\t', x: ' 3 ' },
      { x: ' ', c: ' ' },
    ]),
    into,
  )
  t.same([...into], [1, 0, 0, 1, 0, 1, 0, 0], 'spaces around a text are those of the file')
  t.throws(() => chunkOfRows({ columns }, [{ x: 1 }]), /row 1 has no 'c', expected every column/)
  t.throws(() => chunkOfRows({ columns }, [{ x: 1, c: {} }]), /'c' of row 1 is \{\}, expected text/)
  t.throws(() => chunkOfRows({ columns }, [[1]]), /row 1 is .*, expected an object/)
})

t.test('an encoding is read from a checkpoint only if it is complete and has the features of the network', async t => {
  const encoding = {
    version: 1,
    columns: [
      fit(numbers(1, 2), 'number'),
      fit(text('a', 'b'), 'category'),
      fit(text('2023-05-01', '2023-05-02'), 'date'),
    ],
    targets: ['y'],
    weight: null,
    unused: [{ column: 'id', reason: 'it counts the rows' }],
  }
  const saved = JSON.parse(JSON.stringify(encoding))
  const width = featureCount(saved)
  t.same(parseEncoding(saved, width), encoding)
  t.equal(parseEncoding(saved, width + 1), null)
  const older = { ...saved, columns: saved.columns.map(({ seen: _, usual: __, ...rest }: typeof saved) => rest) }
  t.same(parseEncoding(older, width), older, 'what forms offer is absent in older files')
  for (const damaged of [
    null,
    { ...saved, version: 2 },
    { ...saved, columns: [] },
    { ...saved, columns: [{ ...saved.columns[0], kind: 'other' }] },
    { ...saved, columns: [{ ...saved.columns[0], factor: 'x' }] },
    { ...saved, targets: undefined },
  ]) {
    t.equal(parseEncoding(damaged, width), null)
  }
})

t.test('range and step of the training rows that are fitted, and the most frequent category', async t => {
  const seen = (values: ColumnValues, kind: FeatureKind, rows = all(values)) => {
    const encoding = fit(values, kind, {}, rows)
    return 'seen' in encoding ? encoding.seen : undefined
  }
  t.same(seen(numbers(3, NONE, -1, 2), 'number'), { min: -1, max: 3, step: 1 })
  t.same(seen(numbers(3, NONE, -1, 2.5, 100), 'number', Uint32Array.of(0, 1, 3)), { min: 2.5, max: 3, step: null })
  t.same(seen(text('2023-05-01', '2023-05-03'), 'date'), { min: 1682899200, max: 1683072000, step: 86_400 })
  t.match(seen(text('2023-05-01 10:30', '2023-05-03'), 'date'), { step: 60 })
  t.match(seen(text('10:30:01', '10:30'), 'date'), { min: 37_800, max: 37_801, step: 1 })
  t.match(seen(text('10:30:01.5', '10:30'), 'date'), { step: null })
  t.equal(seen(numbers(NONE, NONE), 'number'), undefined)
  t.match(fit(text('c', 'b', 'b', 'c', 'a'), 'category'), { usual: 'b' }, 'the first of several')
  t.match(fit(numbers(7, 5, 7, 1, 2), 'category', { above: 'embed' }), { kind: 'embedding', usual: '7' })
  t.notOk('usual' in fit(text(null), 'category'))
})
