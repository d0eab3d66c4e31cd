/** Samples that a program holds: every form gives the same rows, and what cannot be right is refused with its place. */
import ndarray from 'ndarray'
import t from 'tap'
import { readSamples, type SampleSet } from '../../src/data/samples.js'
import { DataError } from '../../src/errors.js'

const ROWS = [
  [1, 2.5, 3],
  [4, 5, 6],
]
const LABELS = ['b', 'a']

async function* later<T>(items: Iterable<T>) {
  for (const item of items) {
    await null
    yield item
  }
}

t.test('arrays, typed arrays, ndarrays and generators are the same samples', async t => {
  const transposed = ndarray(new Float64Array([1, 4, 2.5, 5, 3, 6]), [3, 2]).transpose(1, 0)
  const inside = ndarray(new Float32Array([9, 9, 9, 1, 2.5, 3, 4, 5, 6]), [3, 3]).lo(1, 0)
  const sets: Record<string, SampleSet> = {
    'arrays of arrays': { features: ROWS, labels: LABELS },
    'arrays of typed arrays': { features: ROWS.map(row => Float32Array.from(row)), labels: LABELS },
    'a typed array with a shape': { features: { data: Float64Array.from(ROWS.flat()), shape: [2, 3] }, labels: LABELS },
    'an ndarray': { features: ndarray(Float32Array.from(ROWS.flat()), [2, 3]), labels: LABELS },
    'a transposed ndarray': { features: transposed, labels: LABELS },
    'a part of an ndarray': { features: inside, labels: LABELS },
    generators: { features: ROWS.values(), labels: later(LABELS) },
    'samples of a generator': { rows: ROWS.map((features, i) => ({ features, label: LABELS[i] })).values() },
    'samples of an async generator': { rows: later(ROWS.map((features, i) => ({ features, label: LABELS[i] }))) },
  }
  for (const [what, set] of Object.entries(sets)) {
    const { features, ...rest } = await readSamples('x', set, 'classification')
    t.same([...features], ROWS.flat(), what)
    t.same(
      rest,
      { rows: 2, height: 1, width: 3, channels: 1, dtype: 'float32', classNames: LABELS, targets: null },
      what,
    )
  }
})

t.test('pictures of bytes stay bytes, bytes in rows are numbers', async t => {
  const bytes = Uint8Array.from({ length: 12 }, (_, i) => 20 * i)
  const { features: picture, ...shape } = await readSamples(
    'x',
    { features: { data: bytes, shape: [2, 2, 3] }, labels: new Uint8Array([7, 3]) },
    'classification',
  )
  t.match(shape, { rows: 2, height: 2, width: 3, dtype: 'uint8', classNames: ['7', '3'] })
  t.ok(picture instanceof Uint8Array)
  t.same([...picture], [...bytes])
  const channel = { data: bytes, shape: [2, 2, 3, 1] }
  t.match(await readSamples('x', { features: channel, labels: [0, 1] }, 'classification'), { height: 2, width: 3 })
  const colours = Uint8Array.from({ length: 2 * 2 * 3 * 3 }, (_, i) => i)
  const shaped = { data: colours, shape: [2, 2, 3, 3] }
  const coloured = await readSamples('x', { features: shaped, labels: [0, 1] }, 'classification')
  t.match(coloured, { height: 2, width: 3, channels: 3, dtype: 'uint8' })
  t.same(coloured.features, colours)
  // The same pictures, stored with the channels in front.
  const first = Uint8Array.from(
    { length: 36 },
    (_, i) => 18 * Math.floor(i / 18) + 3 * (i % 6) + (Math.floor(i / 6) % 3),
  )
  const strided = { ...shaped, data: first, stride: [18, 3, 1, 6] }
  t.same(await readSamples('x', { features: strided, labels: [0, 1] }, 'classification'), coloured)
  const rows = await readSamples('x', { features: { data: bytes, shape: [2, 6] }, labels: [0, 1] }, 'classification')
  t.match(rows, { height: 1, width: 6, dtype: 'float32' })
  const nested = await readSamples('x', { features: [ROWS, ROWS], labels: [0, 1] }, 'classification')
  t.match(nested, { rows: 2, height: 2, width: 3, dtype: 'float32' })
})

t.test('classes by name, number, truth value or one-hot; targets one or several', async t => {
  const classNames = async (labels: SampleSet extends infer S ? Extract<S, { labels?: unknown }>['labels'] : never) =>
    (await readSamples('x', { features: ROWS, labels: labels! }, 'classification')).classNames
  t.same(await classNames([10, -1]), ['10', '-1'])
  t.same(await classNames([true, false]), ['true', 'false'])
  t.same(await classNames({ data: [0, 1, 0, 1, 0, 0], shape: [2, 3] }), ['1', '0'])
  const targetsOf = async (targets: number[] | number[][]) =>
    (await readSamples('x', { features: ROWS, targets }, 'regression')).targets
  t.match(await targetsOf([1.5, 2]), { names: ['target'], values: new Float64Array([1.5, 2]) })
  t.match(
    await targetsOf([
      [1, 2],
      [3, 4],
    ]),
    { names: ['target 0', 'target 1'], values: new Float64Array([1, 2, 3, 4]) },
  )
})

const wrong: readonly [what: unknown, message: RegExp, task?: 'regression'][] = [
  [undefined, /x: samples are undefined, expected/],
  [{ features: [], labels: [] }, /has no samples, expected at least one/],
  [{ features: ROWS }, /has no labels, expected them beside the features$/],
  [{ features: ROWS, targets: [1, 2] }, /has no labels, .*targets are given, and data\.task is "classification"/],
  [{ features: ROWS, labels: LABELS }, /has no targets, .*labels are given/, 'regression'],
  [{ features: ROWS, labels: ['a'] }, /2 rows of features and 1 labels, expected as many of each/],
  [{ features: [[1, 2], [3]], labels: LABELS }, /row 1 has 1 values, expected 2 as the first row has/],
  [{ features: [[1], [Number.NaN]], labels: LABELS }, /row 1, feature 0 is NaN, expected a finite number/],
  [{ features: [[1], [1e39]], labels: LABELS }, /row 1, feature 0 is 1e\+39, expected a finite number in f32/],
  [{ features: [[1], ['2']], labels: LABELS }, /row 1, feature 0 is '2'/],
  [{ features: [[1], [null]], labels: LABELS }, /row 1, feature 0 is null/],
  [{ features: [[], []], labels: LABELS }, /row 0 is empty/],
  [{ features: [1, 2], labels: LABELS }, /row 0 is 1, expected an array of numbers/],
  [{ features: new Float32Array(6), labels: LABELS }, /is a Float32Array without a shape/],
  [{ features: { data: [1, 2, 3], shape: [2, 2] }, labels: LABELS }, /data has 3 elements, expected 4/],
  [{ features: { data: [1, 2], shape: [1, 1, 1, 2] }, labels: ['a'] }, /shape is \(1, 1, 1, 2\)/],
  [{ features: 5, labels: LABELS }, /features is 5, expected an array/],
  [{ features: ROWS, labels: ['a', 0.5] }, /label 1 is 0\.5, expected text, an integer/],
  [{ features: ROWS, labels: ['a', null] }, /label 1 is null/],
  [
    {
      features: ROWS,
      labels: [
        [0, 1],
        [1, 1],
      ],
    },
    /label 1 is \[ 1, 1 \]/,
  ],
  [{ features: ROWS, targets: [1, [1, 2]] }, /target 1 has 2 numbers, expected 1/, 'regression'],
  [{ features: ROWS, targets: [1, Number.POSITIVE_INFINITY] }, /target 1 is Infinity/, 'regression'],
  [{ rows: [{ features: [1], label: 'a' }, 5] }, /sample 1 is 5, expected \{ features, label \}/],
  [{ rows: [{ features: [1] }] }, /label 0 is undefined/],
]
t.test('samples that cannot be valid are refused with their place', async t => {
  for (const [set, message, task = 'classification'] of wrong) {
    const error = await readSamples('x', set as SampleSet, task).then(
      () => undefined,
      error => error,
    )
    t.type(error, DataError, String(message))
    t.match(error?.message, message)
  }
})

t.test('a generator of many rows needs at most twice the memory of its rows', async t => {
  const rows = 20_000
  const width = 100
  const samples = function* () {
    for (let i = 0; i < rows; i++) yield { features: new Float32Array(width).fill(i % 7), label: i % 2 }
  }
  const { features } = await readSamples('x', { rows: samples() }, 'classification')
  t.equal(features.length, rows * width)
  t.equal(features.at(-1), (rows - 1) % 7)
})
