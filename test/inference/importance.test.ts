/** Importance of a table's columns and partial dependence: known answers, and the definition applied to raw values. */
import ndarray from 'ndarray'
import t from 'tap'
import type { ColumnValues, TableChunk } from '../../src/data/table/columns.js'
import { encodeRows } from '../../src/data/table/encode.js'
import { type ColumnEncoding, featureCount, type TableEncoding } from '../../src/data/table/encoding.js'
import { takeRows } from '../../src/data/table/take.js'
import { partialDependence } from '../../src/inference/table/dependence.js'
import { fieldTexts } from '../../src/inference/table/field-text.js'
import {
  importanceRows,
  type Network,
  permutationImportance,
  placesOf,
  REPEATS,
} from '../../src/inference/table/importance.js'
import { definedScore, mainScore } from '../../src/inference/table/main-score.js'
import { Purpose, permutation } from '../../src/tensor/random.js'

const ROWS = 40
const SEED = 7

const columns: ColumnEncoding[] = [
  { column: 'noise', kind: 'number', offset: 0, factor: 1, knots: [], fill: 0, indicator: false },
  { column: 'size', kind: 'number', offset: 1, factor: 2, knots: [0, 5, 10], fill: 3, indicator: true },
  { column: 'colour', kind: 'category', categories: ['blue', 'red'], numeric: false, buckets: 1, missing: true },
  { column: 'loud', kind: 'boolean', fill: 0, indicator: false },
]
const encoding: TableEncoding = { version: 1, columns, targets: ['y'], weight: null, unused: [] }
const width = featureCount(encoding)

const numbers = (of: (row: number) => number): ColumnValues => ({
  type: 'number',
  values: Float64Array.from({ length: ROWS }, (_, row) => of(row)),
})
const colours = ['red', 'blue', 'green']
const chunk: TableChunk = {
  firstRow: 0,
  rows: ROWS,
  columns: new Map<string, ColumnValues>([
    ['noise', numbers(row => (row * 13) % 17)],
    ['size', numbers(row => (row % 8 === 0 ? Number.NaN : (row * 7) % 11))],
    [
      'colour',
      { type: 'text', dictionary: colours, codes: Int32Array.from({ length: ROWS }, (_, row) => (row % 4) - 1) },
    ],
    ['loud', { type: 'boolean', values: Float64Array.from({ length: ROWS }, (_, row) => Number(row % 3 === 0)) }],
  ]),
}
const encoded = (from: TableChunk) => {
  const features = new Float32Array(from.rows * width)
  encodeRows(encoding, from, features)
  return features
}

/** A network whose outputs are what `of` makes of the features of a row. */
function network(of: (features: Float32Array) => readonly number[], outputNames: readonly string[]): Network {
  return {
    width,
    widths: [width, outputNames.length],
    outputNames,
    parameterNames: ['layers.0.weight'],
    parameter: () => ndarray(new Float32Array(width * outputNames.length).fill(1), [width, outputNames.length]),
    predict: samples => {
      const features = samples as Float32Array
      const rows = Array.from({ length: features.length / width }, (_, row) => [
        ...of(features.subarray(row * width, (row + 1) * width)),
      ])
      return ndarray(Float32Array.from(rows.flat()), [rows.length, outputNames.length])
    },
  }
}

const sizeOnly = network(row => [row[1]], ['y'])
const sizes = Float32Array.from(encoded(chunk).filter((_, i) => i % width === 1))

t.test('a network that uses one column: that column has all the importance, every other exactly none', async t => {
  const score = mainScore('auto', { task: 'regression', targets: sizes }, ['y'])
  const found = permutationImportance(sizeOnly, encoding, encoded(chunk), score, SEED)
  t.match(found, { base: 1, rows: ROWS, repeats: REPEATS, score: { title: 'R²', better: 'higher' }, skipped: [] })
  const [first, ...others] = found.columns
  t.equal(first.column, 'size')
  t.ok(first.mean > 1 && first.spread > 0, 'shuffled targets: R² is about -1')
  t.same(
    others.map(({ mean, spread }) => [mean, spread]),
    [
      [0, 0],
      [0, 0],
      [0, 0],
    ],
  )
})

t.test('the definition: raw values of a column are shuffled, then encoded; all its features go together', async t => {
  const mixed = network(row => [row.reduce((sum, x, f) => sum + x * (f + 1), 0)], ['y'])
  const targets = Float32Array.from({ length: ROWS }, (_, row) => (row * 5) % 23)
  for (const metric of ['auto', 'validation-rmse', 'validation-mae', 'train-loss']) {
    const score = mainScore(metric, { task: 'regression', targets }, ['y'])
    const base = score.of(mixed.predict(encoded(chunk)).data)!
    const found = permutationImportance(mixed, encoding, encoded(chunk), score, SEED)
    t.equal(found.base, base)
    for (const [index, { column, kind }] of columns.entries()) {
      const falls = Array.from({ length: REPEATS }, (_, repeat) => {
        const order = permutation(ROWS, SEED, Purpose.importance, index * REPEATS + repeat)
        const shuffled = new Map(chunk.columns).set(column, takeRows(chunk, order, [column]).columns.get(column)!)
        const worse = score.of(mixed.predict(encoded({ ...chunk, columns: shuffled })).data)!
        return score.better === 'higher' ? base - worse : worse - base
      })
      const mean = falls.reduce((sum, fall) => sum + fall, 0) / REPEATS
      const spread = Math.sqrt(falls.reduce((sum, fall) => sum + (fall - mean) ** 2, 0) / REPEATS)
      t.same(
        found.columns.find(each => each.column === column),
        { column, kind, mean, spread },
        `${metric}: ${column}`,
      )
    }
    t.same(
      found.columns.map(({ mean }) => mean),
      found.columns.map(({ mean }) => mean).sort((a, b) => b - a),
    )
  }
})

t.test('classes: accuracy by hand, and the score that the run names', async t => {
  // Predicts the second class for red: right in every row.
  const isRed = network(row => (row[6] === 1 ? [0.2, 0.8] : [0.9, 0.1]), ['no', 'yes'])
  const labels = Int32Array.from({ length: ROWS }, (_, row) => Number(colours[(row % 4) - 1] === 'red'))
  const of = (metric: string) =>
    permutationImportance(
      isRed,
      encoding,
      encoded(chunk),
      mainScore(metric, { task: 'classification', labels }, ['no', 'yes']),
      SEED,
    )
  const found = of('auto')
  t.match(found, { base: 1, score: { title: 'accuracy', form: 'percent' } })
  // A quarter of the rows is red: 2 x 1/4 x 3/4 of shuffled ones are wrong, on average.
  t.ok(Math.abs(found.columns[0].mean - 0.375) < 0.1, `${found.columns[0].mean}`)
  t.same(
    found.columns.map(({ column, mean }) => [column, mean === 0]),
    [
      ['colour', false],
      ['noise', true],
      ['size', true],
      ['loud', true],
    ],
  )
  const loss = of('validation-log-loss')
  t.match(loss.score, { title: 'log loss', better: 'lower' })
  const byHand = -(0.25 * Math.log(0.8) + 0.75 * Math.log(0.9))
  t.ok(Math.abs(loss.base - byHand) < 1e-6, `${loss.base}, expected ${byHand}`)
  t.match(of('validation-roc-auc'), { score: { title: 'ROC AUC' }, base: 1 })
  t.match(of('validation-loss').score.title, 'log loss')
  t.ok(of('validation-log-loss').columns[0].mean > 0, 'a loss rises')
})

t.test('importance uses RMSE where R² is undefined because the target is constant', async t => {
  const targets = new Float32Array(ROWS).fill(3)
  t.match(mainScore('auto', { task: 'regression', targets }, ['y']), { title: 'RMSE', better: 'lower' })
  t.equal(mainScore('auto', { task: 'regression', targets }, ['y']).of(new Float32Array(ROWS).fill(5)), 2)
})

t.test('importance uses accuracy where the chosen score is undefined for the rows', async t => {
  const labels = new Int32Array(ROWS).fill(1)
  const outputs = new Float32Array(2 * ROWS).fill(0.5)
  const of = (metric: string) => definedScore(metric, { task: 'classification', labels }, ['no', 'yes'], outputs).title
  t.equal(of('validation-roc-auc'), 'accuracy')
  t.equal(of('validation-brier'), 'Brier score')
})

t.test('labels: accuracy over all of them, and scores by name', async t => {
  const truth = { task: 'multi-label', targets: Float32Array.of(1, 0, 1, 1) } as const
  const outputs = Float32Array.of(0.9, 0.2, 0.4, 0.6)
  t.equal(mainScore('auto', truth, ['a', 'b']).of(outputs), 0.75)
  t.equal(mainScore('validation-exact-match', truth, ['a', 'b']).of(outputs), 0.5)
  const loss = -(Math.log(0.9) + Math.log(0.8) + Math.log(0.4) + Math.log(0.6)) / 4
  t.ok(Math.abs(mainScore('validation-loss', truth, ['a', 'b']).of(outputs)! - loss) < 1e-6)
})

t.test('partial dependence: numbers at quantiles, categories by frequency, missing values last', async t => {
  const outputs = network(row => [row[1], row[5] + 2 * row[6] + 3 * row[7] + 4 * row[8]], ['size', 'colour'])
  const [, size, colour, loud] = placesOf(encoding)
  const features = encoded(chunk)
  const found = partialDependence(outputs, size, chunk, features)
  t.same(
    found.points.map(({ at, text, outputs: [mean] }) => [at, text, mean]),
    [...Array.from({ length: 11 }, (_, x) => [x, String(x), (x - 1) * 2]), [null, null, (3 - 1) * 2]],
    'the feature of each value; the fill where it is missing',
  )
  t.equal(found.points.at(-1)!.count, ROWS / 8)
  const ofColour = partialDependence(outputs, colour, chunk, features)
  t.same(
    ofColour.points.map(({ text, count, outputs: [, mean] }) => [text, count, mean]),
    [
      ['red', 10, 2],
      ['blue', 10, 1],
      ['green', 10, 3],
      [null, 10, 4],
    ],
    'red and blue have features, green is hashed, a missing value has its own',
  )
  t.same(
    partialDependence(outputs, loud, chunk, features).points.map(({ text, count }) => [text, count]),
    [
      ['false', 26],
      ['true', 14],
    ],
  )
})

t.test('the number of rows is bounded for large networks and many columns, and by those available', async t => {
  const wide = (units: number) => ({ ...sizeOnly, widths: [width, units, 1] })
  t.equal(importanceRows(sizeOnly, encoding, 1e6), 2000)
  t.equal(importanceRows(sizeOnly, encoding, 33), 33)
  t.equal(importanceRows(wide(1e7), encoding, 1e6), 200)
})

t.test('columns left out for lack of time are listed', async t => {
  const many = Array.from(
    { length: 30 },
    (_, i): ColumnEncoding => ({
      ...(columns[0] as ColumnEncoding & { kind: 'number' }),
      column: `c${i}`,
    }),
  )
  const features = Float32Array.from({ length: 30 * ROWS }, (_, i) => ((i * 31) % 101) * (i % 30))
  const slow: Network = {
    ...sizeOnly,
    width: 30,
    widths: [30, 1e9, 1],
    parameter: () => ndarray(new Float32Array(30).fill(1), [30, 1]),
    predict: samples => {
      const { length } = samples as Float32Array
      return ndarray(
        Float32Array.from({ length: length / 30 }, (_, row) => (samples as Float32Array)[row * 30 + 29]),
        [length / 30, 1],
      )
    },
  }
  const targets = features.filter((_, i) => i % 30 === 29)
  const found = permutationImportance(
    slow,
    { ...encoding, columns: many },
    features,
    mainScore('auto', { task: 'regression', targets }, ['y']),
    SEED,
  )
  t.equal(found.columns.length, 10)
  t.equal(found.columns[0].column, 'c29', 'those that vary most and have weights')
  t.equal(found.skipped.length, 20)
})

t.test('fields are formatted as text', async t => {
  const dates = (...values: number[]): ColumnValues => ({ type: 'date', values: Float64Array.from(values) })
  t.same(fieldTexts(dates(86_400, Number.NaN), 'date'), ['1970-01-02', null])
  t.same(fieldTexts(dates(86_400, 90_000.5), 'date'), ['1970-01-02 00:00:00', '1970-01-02 01:00:00.500'])
  t.same(fieldTexts(dates(45_000), 'date'), ['12:30:00'])
  t.same(fieldTexts({ type: 'boolean', values: Float64Array.of(1, 0, Number.NaN) }, 'boolean'), ['true', 'false', null])
  t.same(fieldTexts({ type: 'number', values: Float64Array.of(-0, 0.1) }, 'number'), ['0', '0.1'])
})
