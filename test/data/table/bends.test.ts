/** Bins of numbers with `auto`: where they explain the target better than a straight line. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDataset } from '../../../src/data/dataset.js'
import { isBent } from '../../../src/data/table/bends.js'
import type { NumberEncoding } from '../../../src/data/table/encoding.js'
import type { TargetValues } from '../../../src/data/table/targets.js'
import { dataConfig } from '../../helpers/data-config.js'

const ROWS = 400
/** Numbers from 0 to 1, in an order without a pattern. */
const spread = (seed: number): Float64Array => {
  let state = seed * 2654435761
  return Float64Array.from({ length: ROWS }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return ((Math.imul(state ^ (state >>> 12), 0x297a2d39) >>> 0) % 100_003) / 100_003
  })
}
const values = spread(1)
const every = Uint32Array.from({ length: ROWS }, (_, i) => i)
const encoding: NumberEncoding = {
  ...{ column: 'x', kind: 'number', offset: 0.5, factor: 3.46, limit: 3, fill: 0.5, indicator: false },
  knots: [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1],
}
const numbers = (of: (row: number) => number[]): TargetValues => ({
  task: 'regression',
  values: Float64Array.from(Array.from(every, of).flat()),
})
const classes = (of: (row: number) => number): TargetValues => ({
  ...{ task: 'classification', names: ['a', 'b', 'c'], labels: Int32Array.from(every, of) },
})
const bent = (truth: TargetValues, width = 1, of = values) => isBent(encoding, of, every, truth, every, width)

t.test('a bend is found in classes and in numbers, a straight line and noise have none', t => {
  const noise = spread(2)
  t.equal(bent(classes(row => (Math.abs(values[row] - 0.5) > 0.25 ? 1 : 0))), true, 'classes in the middle')
  t.equal(bent(classes(row => (noise[row] > 0.5 ? 1 : 0))), false, 'classes by chance')
  t.equal(bent(classes(row => (values[row] + noise[row] > 1 ? 2 : 0))), false, 'classes along a line')
  t.equal(bent(numbers(row => [(values[row] - 0.5) ** 2 + noise[row] / 10])), true, 'a parabola')
  t.equal(bent(numbers(row => [3 * values[row] + noise[row]])), false, 'a line')
  t.equal(
    bent(
      numbers(row => [noise[row], 1e9 * Math.abs(values[row] - 0.5)]),
      2,
    ),
    true,
    'one of two targets',
  )
  t.equal(
    bent(
      numbers(row => [1e9 * noise[row], Math.abs(values[row] - 0.5)]),
      2,
    ),
    true,
    'in any unit',
  )
  t.equal(bent(numbers(() => [7])), false, 'a constant target')
  t.end()
})

t.test('many classes are more evidence: a weak bend that shows in the sum over all', t => {
  const noise = spread(2)
  const parts = 12
  const inParts = (x: number) => Math.min(parts - 1, Math.floor(x * parts))
  const truth: TargetValues = {
    ...{ task: 'classification', names: [...'abcdefghijkl'] },
    labels: Int32Array.from(values, (x, row) =>
      noise[row] < 0.3 ? inParts(x) : Math.floor((noise[row] * 7919) % parts),
    ),
  }
  t.equal(bent(truth), true)
  t.end()
})

t.test('of 300 columns of noise, none or one has a bend; missing values are left out', t => {
  const truth = classes(row => (values[row] > 0.3 ? 1 : 0))
  const found = Array.from({ length: 300 }, (_, i) => bent(truth, 1, spread(i + 10))).filter(Boolean)
  t.ok(found.length <= 1, `${found.length}`)
  const holes = values.map((value, row) => (row % 3 === 0 ? Number.NaN : value))
  t.equal(
    bent(
      classes(row => (Math.abs(values[row] - 0.5) > 0.25 ? 1 : 0)),
      1,
      holes,
    ),
    true,
  )
  t.equal(
    bent(
      truth,
      1,
      values.map(() => Number.NaN),
    ),
    false,
    'no values',
  )
  t.end()
})

t.test('a table: the bent number alone has bins, unless their number is given', async t => {
  const noise = spread(3)
  const path = join(t.testdir(), 'bends.csv')
  const lines = Array.from(values, (x, row) => `${x},${noise[row]},${Math.abs(x - 0.5) > 0.25 ? 'yes' : 'no'}`)
  writeFileSync(path, `x,noise,y\n${lines.join('\n')}\n`)
  for (const [bins, bends, notes] of [
    ['auto', [8, 0], ['bins: at most 8 for a number, for 1 of 2 numbers']],
    [4, [4, 4], ['bins: at most 4 for a number']],
  ] as const) {
    const config = dataConfig({ dataset: 'table', path, numbers: { bins, limit: null } })
    const source = await openDataset({ ...config, task: 'auto' }, { baseDir: '/' })
    const columns = source.table!.columns as NumberEncoding[]
    t.strictSame(
      columns.map(({ knots }) => Math.max(0, knots.length - 1)),
      bends,
    )
    t.strictSame(
      source.notes!.filter(note => note.startsWith('bins')),
      notes,
    )
    await source.close?.()
  }
})
