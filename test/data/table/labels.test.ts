/** Yes/no labels of a table: which columns are, what their values mean, splits, and what nothing can be learned about. */
import t from 'tap'
import { csv, modelOf, openText } from './table-lab.js'

const noise = (i: number) => Math.sin(i * 12.9898 + 1)
const range = (count: number) => Array.from({ length: count }, (_, i) => i)

/** A table of a feature and columns of 60 rows. */
const table = (columns: Readonly<Record<string, (i: number) => unknown>>, more = {}, options = {}) =>
  openText(
    csv(
      ['x', ...Object.keys(columns)].join(','),
      range(60).map(i => [noise(i), ...Object.values(columns).map(of => of(i))]),
    ),
    { target: Object.keys(columns), ...more },
    options,
  )
const every = (n: number, yes: unknown, no: unknown) => (i: number) => (i % n === 0 ? yes : no)

async function valuesOf(source: Awaited<ReturnType<typeof openText>>, split: 'train' | 'test'): Promise<number[]> {
  const { rows } = source[split]
  const targets = new Float32Array(rows * source.classes)
  await source.load(split, new Float32Array(rows * source.width), new Int32Array(rows), targets)
  return [...targets]
}

t.test('several yes/no columns, in any spelling, are labels; the start line gives the reason', async t => {
  const source = await table({ a: every(2, 'Yes', 'no'), b: every(3, true, false), c: every(4, 1, 0) })
  t.match(source, { task: 'multi-label', classNames: ['a', 'b', 'c'], classes: 3 })
  t.match(
    source.notes![0],
    "predicts 'a', 'b', 'c': 3 labels (several columns of yes or no), from 1 column as 1 feature",
  )
  // A model has labels in whatever spelling a file has them, even if they never change there.
  const spelled = { a: every(2, 'y', 'N'), b: () => 'T', c: every(4, 'false', 'TRUE') }
  const all = await table(spelled, { testFraction: 1 }, { model: modelOf(source) })
  t.same(
    await valuesOf(all, 'test'),
    range(60).flatMap(i => [Number(i % 2 === 0), 1, Number(i % 4 !== 0)]),
  )
})

t.test(
  'columns of 0 and 1 are labels by default, and numbers if requested; a third value makes them numbers',
  async t => {
    const codes = { a: every(2, 1, 0), b: every(3, 1, 0) }
    const source = await table(codes)
    t.equal(source.task, 'multi-label')
    t.match(source.notes![0], /all are 0 or 1; numbers: --set data\.task=regression/)
    t.equal((await table(codes, { task: 'regression' })).task, 'regression')
    t.equal((await table({ ...codes, b: i => i % 3 })).task, 'regression')
    t.equal((await table({ ...codes, b: every(3, 0.5, 0) })).task, 'regression')
  },
)

t.test('refused: other texts, other numbers, labels beside numbers, dates', async t => {
  for (const [columns, more, message] of [
    [
      { a: every(2, 'yes', 'no'), b: every(3, 'red', 'blue') },
      {},
      /the target 'b' in row 1 is 'red', expected yes or no/,
    ],
    [{ a: every(2, 2, 1), b: every(3, 1, 0) }, { task: 'multi-label' }, /'a' in row 1 is 2, expected yes or no/],
    [
      { a: every(2, 'yes', 'no'), b: (i: number) => i },
      {},
      /the target 'a' is text and 'b' is a number, expected several targets to be all numbers, or all yes or no/,
    ],
    [{ a: every(2, '2020-01-01', '2020-01-02') }, { task: 'multi-label' }, /'a' in row 1 is .*, expected yes or no/],
    [{ a: () => 'no', b: () => 0 }, {}, /the labels 'a', 'b' are the same in all 60 rows, expected yes in some/],
  ] as const) {
    await t.rejects(table(columns, more), { name: 'DataError', message }, String(message))
  }
})

t.test('a text that means a missing value is an error with the setting that reads it as missing', async t => {
  const words = { a: (i: number) => (i === 7 ? 'NA' : i % 2 ? 'yes' : 'no'), b: every(3, true, false) }
  await t.rejects(table(words), {
    message: /the target 'a' in row 8 is 'NA', expected yes or no/,
    hint: 'with data.columns { "a": "boolean" }, fields such as NA are missing values',
  })
})

t.test('one yes/no column: classes by default; one sigmoid output, stratified, if labels are requested', async t => {
  const rare = { a: every(10, 'yes', 'no') }
  t.match(await table(rare, { target: 'a' }), { task: 'classification', classes: 2 })
  const source = await table(rare, { target: 'a', task: 'multi-label' })
  t.match(source, { task: 'multi-label', classes: 1, classNames: ['a'], test: { rows: 12 } })
  const test = await valuesOf(source, 'test')
  t.equal(test.filter(value => value === 1).length, 1, 'a fifth of the yes rows, as of the others')
})

t.test(
  'a row without one of its labels is left out and counted; a label that never changes beside another is allowed',
  async t => {
    const source = await table({ a: i => (i === 5 ? '' : i % 2), b: () => 1 }, { validation: 0.2 })
    t.equal(source.train.rows + source.test.rows, 59)
    t.ok(
      source.notes!.some(note => /left out 1 row without a target/.test(note)),
      source.notes!.join('\n'),
    )
    t.same(source.warnings, [])
  },
)

t.test('classes that differ in upper and lower case alone are said, and stay classes of their own', async t => {
  const spelled = (i: number) => ['yes', 'no', 'YES'][i % 3]
  const source = await table({ a: spelled })
  t.match(source, { task: 'classification', classes: 3 })
  t.match(source.warnings!.join(), /'YES', 'yes' are classes of their own, though they differ in upper and lower case/)
  const other = await table({ a: (i: number) => ['yes', 'no', 'perhaps'][i % 3] })
  t.notMatch(other.warnings!.join(), /classes of their own/)
})
