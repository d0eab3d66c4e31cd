/** `gradloom data describe`: types, roles, missing and different values, ranges and distributions of a table's columns. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { gradloom } from './run-cli.js'

const dir = t.testdir()
const at = (name: string) => join(dir, name)

const rows = Array.from({ length: 40 }, (_, i) => ({
  id: `person-${i}`,
  mass: i % 4 === 0 ? '' : 2.5 + (i % 20),
  legs: 2 + (i % 2),
  colour: i % 5 === 0 ? 'red' : i % 5 === 1 ? '' : 'dark <b>blue</b>',
  tame: i % 2 === 0,
  seen: `2024-03-${String(1 + (i % 28)).padStart(2, '0')}`,
  same: 7,
  household: `h${i % 8}`,
  weight: 1 + (i % 3) / 2,
  kind: i % 3 === 0 ? 'cat' : 'dog',
}))
const names = Object.keys(rows[0])
writeFileSync(
  at('animals.csv'),
  `${[names, ...rows.map(row => Object.values(row))].map(row => row.join(',')).join('\n')}\n`,
)
writeFileSync(
  at('experiment.json'),
  JSON.stringify({ data: { dataset: 'table', path: 'animals.csv', weight: 'weight', split: { group: 'household' } } }),
)

async function describe(...args: string[]) {
  const { code, stdout, stderr } = await gradloom(['data', 'describe', ...args])
  return { code, stdout, stderr }
}

t.test('as text', async t => {
  const { code, stdout, stderr } = await describe(at('experiment.json'))
  t.same({ code, stderr }, { code: 0, stderr: '' })
  const lines = stdout.split('\n')
  t.match(lines[0], /animals\.csv: 40 rows, 10 columns, 2\.2 kB$/)
  t.equal(lines[1], 'separator ",", names in the first line')
  t.match(lines[3], /^column +type +role +missing +distinct +range +distribution$/)
  const cells = lines.slice(4, 14).map(line => line.split(/ {2,}/))
  t.same(
    cells.map(([name, type, role]) => [name, type, role]),
    [
      ['id', 'text', 'ignored'],
      ['mass', 'number', 'feature, number'],
      ['legs', 'integer', 'feature, number'],
      ['colour', 'text', 'feature, category'],
      ['tame', 'boolean', 'feature, boolean'],
      ['seen', 'date', 'feature, date'],
      ['same', 'integer', 'ignored'],
      ['household', 'text', 'split'],
      ['weight', 'number', 'weight'],
      ['kind', 'text', 'target'],
    ],
  )
  t.match(stdout, /mass +number +feature, number +10 +15 +3\.5 … 21\.5 +[▁▂▃▄▅▆▇█ ]+\n/)
  t.match(stdout, /colour +text +feature, category +8 +2 +dark <b>blue<\/b> 24, red 8\n/)
  t.match(stdout, /tame +boolean +feature, boolean +2 +false … true +█ +█\n/)
  t.match(stdout, /seen +date +feature, date +28 +2024-03-01 … 2024-03-28 +[▁▂▃▄▅▆▇█ ]+\n/)
  t.match(stdout, /same +integer +ignored +1 +7 +\(the same value in every row\)\n/)
  t.match(stdout, /household +text +split +8 +h0 5, h1 5, h2 5, h3 5, h4 5\n/)
  t.match(stdout, /weight +number +weight +3 +1 … 2 +█ +▇ +▇\n/)
  t.match(stdout, /kind +text +target +2 +dog 26, cat 14\n/)
})

t.test('as JSON: exact numbers', async t => {
  const { stdout } = await describe(at('experiment.json'), '--json')
  const { rows: count, format, columns } = JSON.parse(stdout)
  t.equal(count, 40)
  t.match(format, { delimiter: ',', header: true, decimal: '.' })
  const column = (name: string) => columns.find((each: { name: string }) => each.name === name)
  t.match(column('mass'), {
    type: 'number',
    role: 'feature',
    kind: 'number',
    missing: 10,
    distinct: 15,
    range: [3.5, 21.5],
  })
  const sum = (counts: number[]) => counts.reduce((total, each) => total + each, 0)
  t.equal(sum(column('mass').histogram), 30)
  t.equal(column('mass').histogram.length, 20)
  t.match(column('legs'), { isInteger: true, range: [2, 3], histogram: [20, ...Array(18).fill(0), 20] })
  t.same(column('colour').top, [
    ['dark <b>blue</b>', 24],
    ['red', 8],
  ])
  t.match(column('weight'), { role: 'weight', kind: null, reason: 'it has the weights of the samples' })
  t.match(column('household'), { role: 'split', kind: null, reason: 'it defines the groups of the splits' })
  t.match(column('seen'), { range: [Date.UTC(2024, 2, 1) / 1000, Date.UTC(2024, 2, 28) / 1000] })
})

t.test('a file without an experiment, with settings; a column of weights with a stated kind is a feature', async t => {
  const { stdout } = await describe(
    at('animals.csv'),
    '--set',
    'data.target=mass',
    '--set',
    'data.columns.legs=category',
  )
  t.match(stdout, /mass +number +target/)
  t.match(stdout, /legs +integer +feature, category/)
  t.match(stdout, /weight +number +feature, number/)
  const asked = await describe(at('experiment.json'), '--set', 'data.columns.weight=number')
  t.match(asked.stdout, /weight +number +feature, number/)
})

t.test('notes and warnings; a folder of files', async t => {
  mkdirSync(at('parts'))
  writeFileSync(at('parts/a.csv'), 'x,when,y\n1,01/02/2020,a\n')
  writeFileSync(at('parts/b.csv'), 'x,when,y\nNA,03/04/2020,b\n')
  const { stdout, stderr, code } = await describe(at('parts'))
  t.equal(code, 0)
  t.match(stdout, /2 files from .*a\.csv on: 2 rows, 3 columns/)
  t.match(stderr, /warning: .*'when'/)
})

t.test('data that cannot be described are refused', async t => {
  for (const [args, message] of [
    [[at('experiment.json'), '--set', 'data.weight=no'], /data\.weight is 'no', expected one of its columns/],
    [
      [at('experiment.json'), '--set', 'data.split.group=no'],
      /data\.split\.group is 'no', expected one of its columns/,
    ],
    [
      [at('experiment.json'), '--set', 'data.weight=colour'],
      /data\.weight is 'colour', a column of text, expected numbers/,
    ],
    [[at('none.csv')], /none\.csv/],
    [
      [
        at('experiment.json'),
        '--set',
        'data.dataset=digits',
        '--set',
        'data.path=null',
        '--set',
        'data.weight=null',
        '--set',
        'data.split.group=null',
      ],
      /data\.dataset is 'digits', expected "table"/,
    ],
  ] as const) {
    const { code, stdout, stderr } = await describe(...args)
    t.not(code, 0)
    t.equal(stdout, '')
    t.match(stderr, message)
  }
})
