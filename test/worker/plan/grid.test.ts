/** The grid of a layer covers it once, in aligned blocks. */

import t from 'tap'
import { divideGrid } from '../../../src/worker/plan/grid.js'
import fc from '../../helpers/fast-check.js'

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

t.test('wide layers become about 16 blocks, as square as pays', async t => {
  t.equal(divideGrid(256, 3000, 1e4, lines).length, 16)
  t.equal(divideGrid(256, 1000, 1e4, lines).length, 16)
  t.same(divideGrid(256, 3000, 1e4, lines)[0], { row: 0, rows: 256, columns: { start: 0, end: 192 } })
  t.equal(divideGrid(256, 10, 1e5, lines).length, 16, 'a narrow layer is divided by rows')
  t.equal(divideGrid(128, 128, 784, lines).length, 2, 'little work becomes fewer')
  t.equal(divideGrid(16, 10, 20, lines).length, 1)
})
