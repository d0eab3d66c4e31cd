/** The sign of life while a table is read: nothing for the first two seconds, a line that is rewritten on a terminal, lines elsewhere. */
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { watchReading } from '../../src/cli/reading-progress.js'
import { ANY_FORMAT } from '../../src/data/table/duckdb/open.js'
import { openReader } from '../../src/data/table/open-reader.js'
import { READING, type ReadingProgress } from '../../src/data/table/progress.js'

/** Text that is written while messages (ms, rows) come about one file; rows null: it is done. */
function shown(isTTY: boolean, messages: readonly (readonly [ms: number, rows: number | null])[]): string {
  let [text, ms] = ['', 0]
  const stream = {
    isTTY,
    write: (more: string) => {
      text += more
      return true
    },
  }
  const stop = watchReading({ stream: stream as NodeJS.WriteStream, now: () => ms })
  for (const [at, rows] of messages) {
    ms = at
    channel(READING).publish({ path: '/data/big.csv', rows: rows ?? 0, isDone: rows === null })
  }
  stop()
  channel(READING).publish({ path: '/data/big.csv', rows: 9, isDone: false })
  return text
}

t.test('a table that is read within two seconds prints no progress', async t => {
  for (const isTTY of [true, false])
    t.equal(
      shown(isTTY, [
        [0, 0],
        [500, 16_384],
        [1999, 1e6],
        [1999, null],
      ]),
      '',
    )
})

t.test('on a terminal, progress is one line, rewritten five times a second and cleared at the end', async t => {
  const text = shown(true, [
    [0, 0],
    [2000, 1e6],
    [2100, 2e6],
    [2200, 3e6],
    [2300, null],
  ])
  t.equal(text, '\r\x1b[Kreading big.csv: 1,000,000 rows\r\x1b[Kreading big.csv: 3,000,000 rows\r\x1b[K')
})

t.test('without a terminal, progress is a line every five seconds', async t => {
  const text = shown(false, [
    [0, 0],
    [2500, 1e6],
    [7400, 2e6],
    [7500, 3e6],
    [9000, null],
  ])
  t.equal(text, 'reading big.csv: 1,000,000 rows\nreading big.csv: 3,000,000 rows\n')
})

t.test('the delay of two seconds begins again with each table', async t => {
  t.equal(
    shown(false, [
      [0, 0],
      [2500, 1e6],
      [2600, null],
      [2700, 5],
      [4600, 5],
    ]),
    'reading big.csv: 1,000,000 rows\n',
  )
})

t.test('a reader reports the number of rows read, and its end even when it fails', async t => {
  const dir = t.testdir()
  const path = join(dir, 'many.csv')
  writeFileSync(path, `a,b\n${Array.from({ length: 50_000 }, (_, i) => `${i},${i % 7}\n`).join('')}`)
  const messages: ReadingProgress[] = []
  const listen = (message: unknown) => messages.push(message as ReadingProgress)
  subscribe(READING, listen)
  t.teardown(() => unsubscribe(READING, listen))
  await (await openReader(path, ANY_FORMAT)).close()
  t.match(messages[0], { path, rows: 0, isDone: false })
  t.ok(
    messages.some(({ rows }) => rows > 0 && rows < 50_000),
    'on the way',
  )
  t.same(messages.at(-1), { path, rows: 50_000, isDone: true })
  t.equal(messages.filter(({ isDone }) => isDone).length, 1)
  messages.length = 0
  await t.rejects(openReader(join(dir, 'none.csv'), ANY_FORMAT))
  t.match(messages.at(-1), { isDone: true })
})
