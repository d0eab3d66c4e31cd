/** Tables as data sets: columns, targets, missing values, splits, and a model's encoding on other files. */
import t from 'tap'
import type { DataConfig } from '../../../src/data/source.js'
import { allRows, csv, modelOf, openText, rowsOf, TABLE, TEST_TABLE } from './table-lab.js'

const range = (count: number) => Array.from({ length: count }, (_, i) => i)
/** Numbers that look random and are not. */
const noise = (i: number) => ((i * 7919) % 101) / 101
const SPLIT = { column: null, group: null, time: null }
const MISSING = { number: 'fill', category: 'fill', date: 'fill', target: 'row' } as const

const PENGUINS = csv('id,island,mass,seen,tagged,note,species', [
  ...range(30).map(i => [
    `p${i * 31}`,
    ['Dream', 'Biscoe', ''][i % 3],
    i === 0 ? '' : 3000 + ((i * 37) % 100),
    `2020-${String((i % 12) + 1).padStart(2, '0')}-01`,
    i % 2 === 0,
    'same',
    i < 15 ? 'Adelie' : 'Gentoo',
  ]),
])

t.test(
  'kinds of columns follow from all values, not the first row; columns that are left out are listed with the reason',
  async t => {
    const source = await openText(PENGUINS)
    t.same(
      source.table!.columns.map(({ column, kind }) => [column, kind]),
      [
        ['island', 'category'],
        ['mass', 'number'],
        ['seen', 'date'],
        ['tagged', 'boolean'],
      ],
    )
    t.same(source.table!.unused, [
      { column: 'id', reason: 'text, 30 different values in 30 rows' },
      { column: 'note', reason: 'the same value in every row' },
    ])
    t.same([source.task, source.classNames], ['classification', ['Adelie', 'Gentoo']])
    t.match(source.notes, [
      "predicts 'species': 2 classes (it is text), from 4 columns as 11 features",
      "numbers: 'mass'",
      "categories: 'island' (3)",
      "yes or no: 'tagged'",
      "dates: 'seen'",
    ])
    t.ok(
      source.notes!.includes(
        "left out: 'id' (text, 30 different values in 30 rows), 'note' (the same value in every row)",
      ),
    )
    t.match(source.columns, { labels: ['species'], others: ['id', 'note'] })
  },
)

t.test('data.columns overrides detected kinds; an unknown name is refused with the nearest one', async t => {
  const source = await openText(PENGUINS, { columns: { mass: 'category', seen: 'ignore', id: 'category' } })
  t.same(
    source.table!.columns.map(({ column, kind }) => [column, kind]),
    [
      ['id', 'category'],
      ['island', 'category'],
      ['mass', 'category'],
      ['tagged', 'boolean'],
    ],
  )
  await t.rejects(
    openText(PENGUINS, { columns: { isle: 'ignore' } }),
    /data.columns is 'isle', expected one of its columns: 'id'/,
  )
  await t.rejects(openText(PENGUINS, { columns: { species: 'ignore' } }), /ignores 'species', which is a target/)
  await t.rejects(
    openText(PENGUINS, { columns: { island: 'number' } }),
    /column 'island' in row 1 is 'Dream', expected a number/,
  )
})

t.test('a column that numbers the rows is left out and reported, unless it is the only one', async t => {
  const sorted = csv(
    ',x,class',
    range(40).map(i => [i + 17, noise(i), i < 20 ? 'a' : 'b']),
  )
  const source = await openText(sorted)
  t.same(source.columns!.features, ['x'])
  t.same(source.table!.unused, [{ column: '', reason: 'it counts the rows' }])
  const named = (name: string, first: number) =>
    openText(
      csv(
        `${name},x,class`,
        range(40).map(i => [i + first, noise(i), i < 20 ? 'a' : 'b']),
      ),
    )
  for (const name of ['Unnamed: 0', 'index', 'ID', 'row'])
    t.same((await named(name, 100)).columns!.features, ['x'], name)
  t.same((await named('time', 1)).columns!.features, ['x'])
  t.same(
    (await named('time', 1990)).columns!.features,
    ['time', 'x'],
    'a column that begins anywhere needs such a name',
  )
  t.same(
    (
      await openText(
        csv(
          't,y',
          range(40).map(i => [i, 2 * i + 0.5]),
        ),
      )
    ).columns!.features,
    ['t'],
  )
  t.same((await openText(sorted, { columns: { '': 'number' } })).columns!.features, ['', 'x'])
})

t.test('a missing value in the first row does not change the kinds', async t => {
  const rows = range(20).map(i => [i === 0 ? '' : noise(i), i % 7, i % 2 ? 'a' : 'b'])
  t.same(
    (await openText(csv('a,b,class', rows))).columns!.features.filter(name => !name.endsWith('missing')),
    ['a', 'b'],
  )
})

t.test('1 and 1.0 are one class; classes are in the order of their numbers', async t => {
  const source = await openText(
    csv(
      'x,label',
      range(48).map(i => [noise(i), i < 24 ? i % 12 : `${i % 12}.0`]),
    ),
  )
  t.same(source.classNames, range(12).map(String))
})

t.test(
  'the task follows from the target: text and few integers are classes, other numbers are values; the setting decides',
  async t => {
    const table = (target: (i: number) => unknown, more = {}) =>
      openText(
        csv(
          'x,y',
          range(60).map(i => [noise(i), target(i)]),
        ),
        more,
      )
    t.equal((await table(i => (i % 2 ? 'yes' : 'no'))).task, 'classification')
    t.same((await table(i => i % 2 === 0)).classNames, ['false', 'true'])
    t.equal((await table(i => i % 20)).task, 'classification')
    t.equal((await table(i => i % 21)).task, 'regression')
    t.equal((await table(i => (i % 2) + 0.5)).task, 'regression')
    t.equal((await table(i => i % 20, { task: 'regression' })).task, 'regression')
    t.equal((await table(i => (i % 2) + 0.5, { task: 'classification' })).classes, 2)
    await t.rejects(
      table(i => (i % 2 ? 'yes' : 'no'), { task: 'regression' }),
      /the target 'y' in row 1 is 'no', expected a number/,
    )
    await t.rejects(
      table(() => 'same'),
      /60 rows in 1 classes, expected at least 2/,
    )
    t.match((await table(i => i % 3)).notes, [
      "predicts 'y': 3 classes (it has 3 different integers; numbers: --set data.task=regression), from 1 column as 1 feature",
    ])
  },
)

t.test('several targets are numbers; targets by name or index', async t => {
  const text = csv(
    'a,b,c',
    range(20).map(i => [noise(i), 2 * noise(i), -noise(i)]),
  )
  const source = await openText(text, { target: ['c', 0] })
  t.match(source, { task: 'regression', classNames: ['c', 'a'], width: 1 })
  const [row] = await rowsOf(source, 'train')
  t.equal(row.goal[0], -row.goal[1])
  await t.rejects(openText(text, { target: 'd' }), /data.target is 'd', expected one of its columns: 'a', 'b', 'c'/)
  await t.rejects(openText(text, { target: 3 }), /data.target is 3, expected an index below 3/)
  await t.rejects(openText(text, { target: ['a', 'a'] }), /data.target has 'a' twice/)
  await t.rejects(
    openText(
      csv('x,a,b', [
        [1, 2, 'u'],
        [2, 3, 'v'],
      ]),
      { target: ['a', 'b'] },
    ),
    /the target 'b' is text/,
  )
})

t.test('missing values by policy: filled, rows left out and counted, refused with the row', async t => {
  const rows = range(30).map(i => [
    i === 4 ? '' : noise(i),
    i % 5 === 0 ? '' : 'uvw'[i % 3],
    i === 7 ? '' : i % 2 ? 'a' : 'b',
  ])
  const text = csv('x,c,y', rows)
  const source = await openText(text)
  t.equal(source.train.rows + source.test.rows, 29)
  t.ok(source.notes!.includes(`${TABLE}: left out 1 row without a target`))
  const out = await openText(text, { missing: { ...MISSING, number: 'row', category: 'row' } })
  t.equal(out.train.rows + out.test.rows, 22)
  t.ok(out.notes!.includes(`${TABLE}: left out 7 rows with missing values in 'x' (1), 'c' (6)`))
  t.notOk(out.columns!.features.some(name => name.endsWith('missing')))
  const refused = (missing: object) => openText(text, { missing: { ...MISSING, ...missing } })
  await t.rejects(
    refused({ number: 'error' }),
    /column 'x' is missing in row 5, expected a value, because data.missing.number is "error"/,
  )
  await t.rejects(refused({ category: 'error' }), /column 'c' is missing in row 1/)
  await t.rejects(refused({ target: 'error' }), /the target 'y' is missing in row 8/)
  await t.rejects(
    openText(
      csv('x,y', [
        [1, ''],
        [2, ''],
      ]),
    ),
    /the table is empty, expected rows with a target/,
  )
})

t.test('only training rows are fitted: test rows change neither scales nor fills nor categories', async t => {
  const part = range(40).map(i => [noise(i), 'uv'[i % 2], i % 4 < 2 ? 'a' : 'b', i < 30 ? 'train' : 'test'])
  const other = part.map((row, i) => (i < 30 ? row : [1e6, 'w', row[2], row[3]]))
  const open = (rows: unknown[][]) =>
    openText(csv('x,c,y,part', rows), { target: 'y', split: { ...SPLIT, column: 'part' } })
  t.same((await open(other)).table, (await open(part)).table)
  t.same((await open(part)).columns!.others, ['part'])
})

t.test(
  'the split is stratified, keeps a row of each class for training, and reports splits without a class',
  async t => {
    const source = await openText(
      csv(
        'x,y',
        range(101).map(i => [noise(i) + i / 1000, i === 100 ? 'rare' : i % 4 === 0 ? 'b' : 'a']),
      ),
      { validation: 0.25 },
    )
    t.same([source.train.rows, source.test.rows, source.validationFrom], [81, 20, 61])
    const rows = await rowsOf(source, 'test')
    t.equal(rows.filter(({ goal }) => goal === 'b').length, 5)
    const train = (await rowsOf(source, 'train')).slice(0, 61)
    t.equal(train.filter(({ goal }) => goal === 'rare').length, 1)
  },
)

t.test('rows of one group stay in one split; nearly the fraction of rows is taken', async t => {
  const text = csv(
    'customer,x,y',
    range(200).map(i => [`c${i % 23}`, i + 0.5, i % 2 ? 'a' : 'b']),
  )
  const source = await openText(text, {
    split: { ...SPLIT, group: 'customer' },
    validation: 0.2,
    columns: { customer: 'category' },
  })
  const groupsOf = (rows: Awaited<ReturnType<typeof rowsOf>>) =>
    new Set(
      rows.map(({ features }) =>
        Object.keys(features).find(name => name.startsWith('customer =') && features[name] === 1),
      ),
    )
  // Customers of other splits have no category: they were not seen in training.
  const train = (await rowsOf(source, 'train')).slice(0, source.validationFrom)
  t.notOk(groupsOf(train).has(undefined))
  t.same([...groupsOf(await rowsOf(source, 'test'))], [undefined])
  t.same([...groupsOf((await rowsOf(source, 'train')).slice(source.validationFrom))], [undefined])
  t.ok(Math.abs(source.test.rows - 40) <= 9, `${source.test.rows} of 40 rows`)
  t.same((await openText(text, { split: { ...SPLIT, group: 'customer' } })).columns!.features, ['x'])
  await t.rejects(
    openText(
      csv(
        'g,x,y',
        range(9).map(i => ['one', i, i % 2 ? 'a' : 'b']),
      ),
      { split: { ...SPLIT, group: 'g' } },
    ),
    /data.split.group leaves the test split empty; there are 9 rows in 1 different value of 'g'/,
  )
  await t.rejects(
    openText(
      csv('g,x,y', [
        ['', 1, 'a'],
        ['u', 2, 'b'],
      ]),
      { split: { ...SPLIT, group: 'g' } },
    ),
    /column 'g' is missing in 1 row/,
  )
})

t.test(
  'the latest rows are the test split, and the latest of the others validate; rows of one time stay together',
  async t => {
    const text = csv(
      'when,x,y',
      range(100).map(i => [`2020-${String(((i * 7) % 10) + 1).padStart(2, '0')}-01`, (i * 7) % 10, i + 0.5]),
    )
    const source = await openText(text, {
      split: { ...SPLIT, time: 'when' },
      validation: 0.25,
      columns: { when: 'ignore', x: 'number' },
    })
    const months = (rows: Awaited<ReturnType<typeof rowsOf>>) =>
      new Set(rows.map(({ goal }) => ((Number(goal[0]) - 0.5) * 7) % 10))
    t.same([...months(await rowsOf(source, 'test'))].sort(), [8, 9])
    t.same([...months((await rowsOf(source, 'train')).slice(source.validationFrom))].sort(), [6, 7])
    t.same([source.train.rows, source.test.rows], [80, 20])
    const dated = await openText(text, { split: { ...SPLIT, time: 'when' }, columns: { when: 'date' } })
    t.notOk(dated.columns!.features.includes('when'), 'elapsed time of later rows was never seen')
    t.ok(dated.columns!.features.includes('when year (sine)'))
    await t.rejects(
      openText(
        csv(
          't,x,y',
          range(9).map(i => ['u', i, i + 0.5]),
        ),
        { split: { ...SPLIT, time: 't' } },
      ),
      /data.split.time is 't', a column of text, expected dates or numbers/,
    )
  },
)

t.test('a column assigns rows to splits; other values, and splits without rows, are refused', async t => {
  const open = (words: readonly string[], more = {}) =>
    openText(
      csv(
        'part,x,y',
        words.map((word, i) => [word, noise(i), i % 2 ? 'a' : 'b']),
      ),
      { split: { ...SPLIT, column: 'part' }, ...more },
    )
  const source = await open(['train', 'Train', 'valid', 'test', 'TRAINING', 'train', 'val', 'test'])
  t.same([source.train.rows, source.validationFrom, source.test.rows], [6, 4, 2])
  await t.rejects(
    open(['train', 'train', 'holdout']),
    /column 'part' in row 3 is 'holdout', expected train, validation or test/,
  )
  await t.rejects(open(['train', 'train']), /leaves the test split empty/)
  await t.rejects(open(['train', 'train', 'val', 'test'], { validation: 0.5 }), /data.validation is 0.5, expected 0/)
  await t.rejects(
    open(['train'], { split: { ...SPLIT, column: 'parts' } }),
    /data.split.column is 'parts', expected one of/,
  )
})

t.test('a test file has columns by name in any order and its own categories; a missing one is named', async t => {
  const train = csv(
    'a,c,y',
    range(20).map(i => [noise(i), 'uv'[i % 2], i % 2 ? 'p' : 'q']),
  )
  const test = csv('y,extra,c,a', [
    ['q', 1, 'v', 0.5],
    ['p', 2, 'new', 0.25],
    ['', 3, 'u', 0.25],
  ])
  const source = await openText(train, {}, { test })
  t.same([source.train.rows, source.test.rows], [20, 2])
  const rows = await rowsOf(source, 'test')
  t.match(rows, [
    { goal: 'q', features: { 'c = u': 0, 'c = v': 1 } },
    { goal: 'p', features: { 'c = u': 0, 'c = v': 0 } },
  ])
  t.ok(source.notes!.includes(`${TEST_TABLE}: left out 1 row without a target`))
  await t.rejects(
    openText(train, {}, { test: csv('y,a', [['q', 1]]) }),
    /test.csv: has no column 'c', expected all that the model takes; it has 'y', 'a'/,
  )
  await t.rejects(
    openText(train, {}, { test: csv('y,a,c', [['z', 1, 'u']]) }),
    /test.csv: test rows have the class 'z', expected one of the training rows: 'p', 'q'/,
  )
})

t.test('another file is read with the encoding, targets and task of a model; all rows can be scored', async t => {
  const trained = await openText(
    csv(
      'id,a,c,y',
      range(40).map(i => [`k${i}`, noise(i), 'uvw'[i % 3], i % 2]),
    ),
  )
  const model = modelOf(trained)
  const text = csv('y,c,other,a', [
    [1, 'v', 'x', 0.5],
    [1, '', 'x', ''],
  ])
  const source = await openText(text, { testFraction: 1, target: 'other', columns: { a: 'category' } }, { model })
  t.same([source.train.rows, source.test.rows, source.classNames], [0, 2, ['1']])
  t.same(source.table, trained.table)
  t.same(source.columns!.others, ['other'])
  const known = (await allRows(trained)).find(({ features }) => features['c = v'] === 1)!
  t.same(Object.keys((await rowsOf(source, 'test'))[0].features), Object.keys(known.features))
  await t.rejects(openText(csv('y,c', [[1, 'v']]), { testFraction: 1 }, { model }), /has no column 'a'/)
  const numbers = modelOf(
    await openText(
      csv(
        'x,y',
        range(40).map(i => [noise(i), i + 0.5]),
      ),
    ),
  )
  t.equal(
    (
      await openText(
        csv(
          'x,y',
          range(40).map(i => [noise(i), i % 2]),
        ),
        {},
        { model: numbers },
      )
    ).task,
    'regression',
  )
})

t.test('no column to learn from is an error with the reasons', async t => {
  await t.rejects(
    openText(
      csv(
        'id,k,y',
        range(30).map(i => [`u${i}`, 1, i % 2]),
      ),
    ),
    {
      message: `${TABLE}: has no column to learn from beside y`,
      hint: "it has 'id' (text, 30 different values in 30 rows), 'k' (the same value in every row); data.columns says a kind",
    },
  )
})

t.test('XOR: with the same file as test file, all four rows are trained on', async t => {
  const xor = csv('a,b,y', [
    [0, 0, 0],
    [0, 1, 1],
    [1, 0, 1],
    [1, 1, 0],
  ])
  const two = csv('a,b,y', [
    [0, 0, 0],
    [0, 1, 1],
  ])
  const error = await openText(two).catch(reason => reason)
  t.match(error.hint, /data.testPath.*all rows are trained on/)
  const source = await openText(xor, {}, { test: xor })
  t.same([source.train.rows, source.test.rows], [4, 4])
})

t.test('embedded columns are the last features; one without a repeated training value is left out', async t => {
  const rows = Array.from({ length: 40 }, (_, i) => [`id ${i}`, `shop ${i % 5}`, i * i, i % 2 === 0 ? 'a' : 'b'])
  const source = await openText(csv('id,shop,size,kind', rows), {
    columns: { id: 'category' },
    categories: { max: 2, buckets: 4, above: 'embed', embeddingSize: null },
  })
  t.same(source.columns!.features, ['size', 'shop'])
  t.match(source.table!.unused, [{ column: 'id', reason: 'no category has two training rows' }])
  t.match(source.table!.columns[1], { kind: 'embedding', size: 4 })
  t.match(source.notes!.join('\n'), /categories: 'shop' \(6 rows of 4, embedded\)/)
  for (const { features } of await allRows(source)) t.ok(features.shop >= 1 && features.shop <= 5)
})

t.test('settings of single columns: a policy for missing values, and the reading of dates', async t => {
  const text = csv('a,b,y', [
    [1, 1, 'u'],
    ['', 2, 'v'],
    [3, '', 'u'],
    [4, 4, 'v'],
    [5, 5, 'u'],
    [6, 6, 'v'],
  ])
  const open = (columns: DataConfig['columns'], more: Partial<DataConfig> = {}) =>
    openText(text, { columns, testFraction: 0.4, ...more })
  const rows = async (columns: DataConfig['columns'], more: Partial<DataConfig> = {}) => {
    const { train, test } = await open(columns, more)
    return train.rows + test.rows
  }
  t.equal(await rows({}), 6)
  t.equal(await rows({ a: { missing: 'row' } }), 5, 'of one column')
  t.equal(await rows({ a: { missing: 'row' }, b: { kind: 'number', missing: 'row' } }), 4)
  const missing = { number: 'row', category: 'fill', date: 'fill', target: 'row' } as const
  t.equal(await rows({ b: { missing: 'fill' } }, { missing }), 5, 'in the place of data.missing')
  await t.rejects(rows({ a: { missing: 'error' } }), {
    message: `${TABLE}: column 'a' is missing in row 2, expected a value, because missing of data.columns.a is "error"`,
  })
  t.equal((await open({ a: { kind: 'ignore' } })).table!.columns.length, 1)
  await t.rejects(open({ c: { missing: 'row' } }), { message: /data\.columns is 'c', expected one of its columns/ })
})
