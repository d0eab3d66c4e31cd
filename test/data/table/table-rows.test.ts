/** A table whose values stay in its files gives the same features, targets and rows as one in memory. */
import t from 'tap'
import type { DataConfig } from '../../../src/data/source.js'
import { openTable } from '../../../src/data/table/source.js'
import { dataConfig } from '../../helpers/data-config.js'
import { readerOfText } from '../../helpers/table-reader.js'
import { allRows, csv, TABLE } from './table-lab.js'

const ROWS = 400
const text = csv(
  'id,x,y,colour,day,flag,w,goal,kind',
  Array.from({ length: ROWS }, (_, i) => [
    i,
    i % 9 === 4 ? '' : (i * 37) % 101,
    ((i * 53) % 17) / 4,
    i % 7 === 2 ? '' : `c${i % 5}`,
    `2021-0${1 + (i % 9)}-0${1 + (i % 7)}`,
    i % 2 === 0,
    1 + (i % 3),
    i % 31 === 5 ? '' : i / 10,
    ['a', 'b', 'c'][i % 3],
  ]),
)

const open = (inFiles: boolean, more: Partial<DataConfig>) => {
  let closed = 0
  const reader = async (path: string, format: object) => {
    const made = readerOfText(path, text, format, 7)
    return { ...made, ...(inFiles && { whole: async () => null }), close: async () => void closed++ }
  }
  const config = { ...dataConfig({ dataset: 'table', path: TABLE }), task: 'auto' as const, ...more }
  return openTable(TABLE, null, config, null, reader).then(source => ({ source, closed: () => closed }))
}

t.test('rows from files and from memory give the same features', async t => {
  const cases: [string, Partial<DataConfig>][] = [
    ['classes', { target: 'kind', validation: 0.1 }],
    ['numbers', { target: ['goal', 'y'], validation: 0.2, weight: 'w' }],
    ['rows left out', { target: 'kind', missing: { number: 'row', category: 'row', date: 'fill', target: 'row' } }],
    [
      'groups',
      {
        target: 'kind',
        split: { column: null, group: 'colour', time: null },
        columns: { colour: 'ignore' },
        query: null,
      },
    ],
    ['time', { target: 'goal', split: { column: null, group: null, time: 'day' } }],
  ]
  for (const [name, more] of cases) {
    const settings =
      name === 'groups' ? { ...more, missing: { ...more.missing, category: 'row' } as DataConfig['missing'] } : more
    const [files, memory] = [
      await open(true, settings).catch(error => error),
      await open(false, settings).catch(error => error),
    ]
    if (files instanceof Error || memory instanceof Error) {
      t.equal(String(files), String(memory), name)
      continue
    }
    t.strictSame(files.source.table, memory.source.table, name)
    t.strictSame(files.source.notes, memory.source.notes, name)
    t.strictSame(await allRows(files.source), await allRows(memory.source), name)
    const wanted = Uint32Array.from([5, 3, 11, 3])
    t.strictSame(await files.source.fields('train', wanted), await memory.source.fields('train', wanted), name)
    t.equal(memory.closed(), 1, 'what lies in memory needs no file')
    t.equal(files.closed(), 0)
    await files.source.close()
    t.equal(files.closed(), 1)
  }
})

t.test('streamed features are those that load gives', async t => {
  const { source } = await open(true, { target: 'kind', validation: 0.1, stream: 'always' })
  const rows = source.train.rows
  const [features, labels] = [new Float32Array(rows * source.width), new Int32Array(rows)]
  await source.load('train', features, labels)
  const [streamed, again] = [new Float32Array(rows * source.width).fill(-1), new Int32Array(rows)]
  let next = 0
  const loaded = await source.stream!(async (row, part) => {
    if (row < source.validationFrom!) t.equal(row, next, 'training rows come in order')
    if (row < source.validationFrom!) next += part.length / source.width
    streamed.set(part, row * source.width)
  }, again)
  t.strictSame(streamed, features)
  t.strictSame(again, labels)
  t.equal(loaded.files.length, 1)
  t.equal((await open(true, { target: 'kind', stream: 'never' })).source.stream, undefined)
  t.equal((await open(true, { target: 'kind' })).source.stream, undefined, 'a small table is not streamed')
})
