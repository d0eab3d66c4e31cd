/** Order of training rows in windows. */
import t from 'tap'
import {
  rowsInMemory,
  rowsOfWindow,
  windowOrder,
  windowsFor,
  windowsPerEpoch,
} from '../../../src/worker/plan/windows.js'

const rowsOfEpoch = (windows: ReturnType<typeof windowsFor>, rows: number, epoch: number, seed = 1) =>
  Array.from({ length: windowsPerEpoch(windows, rows) }, (_, index) =>
    Array.from(rowsOfWindow(windowOrder({ seed }, windows, rows, epoch, index))),
  )

t.test('each epoch has every row once, in another order', async t => {
  for (const [rows, windowRows, blockRows] of [
    [1000, 200, 10],
    [1003, 96, 7],
    [50, 64, 64],
    [129, 128, 1],
  ]) {
    const windows = { rows: windowRows, blockRows, keptRows: 0 }
    const [first, second, other] = [
      rowsOfEpoch(windows, rows, 0),
      rowsOfEpoch(windows, rows, 1),
      rowsOfEpoch(windows, rows, 0, 2),
    ]
    t.strictSame(
      first.flat().sort((a, b) => a - b),
      Array.from({ length: rows }, (_, row) => row),
    )
    t.notSame(first, second)
    t.notSame(first, other)
    t.strictSame(first, rowsOfEpoch(windows, rows, 0))
    t.ok(first.slice(0, -1).every(each => each.length === windowRows))
  }
})

t.test('a window draws on blocks from all of the data, and shuffles their rows', async t => {
  const windows = { rows: 1000, blockRows: 10, keptRows: 0 }
  const [window] = rowsOfEpoch(windows, 10_000, 0)
  t.equal(new Set(window.map(row => Math.floor(row / 10))).size, 100)
  t.ok(new Set(window.map(row => Math.floor(row / 1000))).size === 10, 'from every tenth of the data')
  const neighbours = window.filter((row, i) => i > 0 && row === window[i - 1] + 1)
  t.ok(neighbours.length < 20, `${neighbours.length} pairs are still neighbours`)
})

t.test('windows are whole steps, two of them in memory beside the validation rows', async t => {
  t.strictSame(windowsFor(4, 96, 1000, 7), { rows: 960, blockRows: 1, keptRows: 7 })
  t.strictSame(windowsFor(4, 5000, 1000, 0), { rows: 5000, blockRows: 4, keptRows: 0 })
  const windows = windowsFor(29, 1000, null, 10)
  t.ok(windows.rows * 29 * 4 <= 2 ** 27 && windows.rows % 1000 === 0)
  t.equal(rowsInMemory(windows), 2 * windows.rows + 10)
})
