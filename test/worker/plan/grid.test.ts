/** The grid of a layer covers it once, in aligned blocks. */

import t from 'tap'
import { divideGrid, joinBlocks } from '../../../src/worker/plan/grid.js'
import fc from '../../helpers/fast-check.js'

const byText = (a: string, b: string): number => a.localeCompare(b)

t.test('a grid covers every element once, in columns that begin at multiples of the unit', async t => {
  let runs = 0
  const sizes = fc.tuple(
    fc.integer({ min: 1, max: 300 }),
    fc.integer({ min: 1, max: 700 }),
    fc.constantFrom(1, 12, 16, 48),
    fc.constantFrom(1, 32),
  )
  fc.assert(
    fc.property(sizes, ([rows, cols, blockColumns, blockRows]) => {
      runs++
      const seen = new Uint8Array(rows * cols)
      for (const { row, rows: height, columns } of divideGrid(rows, cols, 1e6, { blockRows, blockColumns })) {
        if (columns.start % blockColumns !== 0 || row % blockRows !== 0) return false
        for (let r = row; r < row + height; r++) for (let c = columns.start; c < columns.end; c++) seen[r * cols + c]++
      }
      return seen.every(count => count === 1)
    }),
    { numRuns: 200 },
  )
  t.equal(runs, 200)
})

const lines = { blockRows: 1, blockColumns: 16 }

t.test('wide layers are divided into about 16 nearly square blocks', async t => {
  t.equal(divideGrid(256, 3000, 1e4, lines).length, 16)
  t.equal(divideGrid(256, 1000, 1e4, lines).length, 16)
  t.same(divideGrid(256, 3000, 1e4, lines)[0], { row: 0, rows: 256, columns: { start: 0, end: 192 } })
  t.equal(divideGrid(256, 10, 1e5, lines).length, 16, 'a narrow layer is divided by rows')
  t.equal(divideGrid(128, 128, 784, lines).length, 2, 'little work becomes fewer')
  t.equal(divideGrid(16, 10, 20, lines).length, 1)
})

t.test('joined blocks begin and end where blocks do, cover each of them once, and are of even size', async t => {
  let cases = 0
  for (const [rows, cols, depth] of [
    [256, 3000, 784],
    [256, 500, 1000],
    [64, 1500, 2000],
    [37, 170, 3000],
    [256, 10, 500],
  ] as const) {
    const unit = { blockRows: 1, blockColumns: 16 }
    const blocks = divideGrid(rows, cols, depth, unit)
    const [{ rows: height, columns: first }] = blocks
    const width = first.end - first.start
    for (const groups of [1, 2, 3, 4, 6, 8, 16, 64]) {
      const joined = joinBlocks(blocks, groups)
      const covered = joined.flatMap(({ row, rows: count, columns: { start, end, block } }) => {
        t.strictSame(block, { rows: height, columns: width })
        const parts: string[] = []
        for (let column = start; column < end; column += width) {
          for (let y = row; y < row + count; y += height) {
            parts.push(`${y} ${Math.min(height, row + count - y)} ${column} ${Math.min(width, end - column)}`)
          }
        }
        return parts
      })
      const want = blocks.map(
        ({ row, rows: count, columns: { start, end } }) => `${row} ${count} ${start} ${end - start}`,
      )
      t.strictSame(covered.sort(byText), want.sort(byText), `${rows} x ${cols}, ${groups} groups`)
      if (groups === 1) t.equal(joined.length, 1)
      const across = joined.map(({ columns: { start, end } }) => Math.ceil((end - start) / width))
      t.ok(Math.max(...across) - Math.min(...across) <= 1, 'no group is much wider than another')
      const down = joined.map(({ rows: count }) => Math.ceil(count / height))
      t.ok(Math.max(...down) - Math.min(...down) <= 1, 'no group is much higher than another')
      cases++
    }
  }
  t.equal(cases, 40)
})
