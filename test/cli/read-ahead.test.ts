/** A table is read ahead only where `train` would read it in the same form, and then once. */
import { execFileSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { guessTable } from '../../src/cli/read-ahead.js'
import { loadExperiment } from '../../src/config/load.js'
import { formatOf } from '../../src/data/table/format.js'
import { closeAhead, openAhead, openReader } from '../../src/data/table/open-reader.js'
import { READING, type ReadingProgress } from '../../src/data/table/progress.js'

t.test('the guess is what train reads', async t => {
  const dir = t.testdir({})
  const file = join(dir, 'experiment.json')
  const write = (content: unknown) =>
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  const data = { dataset: 'table', path: 'rows.csv' }
  write({ data: { ...data, target: 'kind', validation: 0.1, numbers: { bins: 'auto' } } })
  const { experiment, baseDir } = await loadExperiment(file)
  const expected = { path: resolve(baseDir, 'rows.csv'), format: formatOf(experiment.data, null) }
  for (const options of [[], ['--run-dir', 'x', '--seed', '2'], ['--set', 'train.epochs=3']]) {
    t.strictSame(guessTable(['train', file, ...options], {}), expected, options.join(' '))
  }
  for (const options of [
    ['--set', 'data.path=other.csv'],
    ['--set=data.table.header=false'],
    ['--from', 'run'],
    ['--dry-run'],
  ]) {
    t.equal(guessTable(['train', file, ...options], {}), null, options.join(' '))
  }
  t.equal(guessTable(['evaluate', file], {}), null)
  t.equal(guessTable(['train'], {}), null)
  t.equal(guessTable(['train', file], { OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '2' }), null)
  const others: unknown[] = [
    ...['not JSON', 'null', {}, { data: null }, { data: { dataset: 'digits' } }, { data: { ...data, path: null } }],
    ...[{ query: 'SELECT 1' }, { columns: { a: 'category' } }, { table: { header: false } }, { from: 'rank0' }].map(
      more => ({ data: { ...data, ...more } }),
    ),
  ]
  for (const content of others) {
    write(content)
    t.equal(guessTable(['train', file], {}), null, JSON.stringify(content))
  }
  t.equal(guessTable(['train', join(dir, 'none.json')], {}), null)
})

t.test(
  'a pipe in the place of the experiment is left to train',
  { skip: process.platform === 'win32' && 'no bash' },
  t => {
    const dir = t.testdir({ 'a.csv': 'x,y\n1,u\n2,v\n3,u\n4,v\n' })
    const content = JSON.stringify({ data: { dataset: 'table', path: join(dir, 'a.csv') } })
    const main = resolve(import.meta.dirname, '../../src/cli/main.js')
    // The file comes right behind the command, where it is looked for.
    const command = 'exec "$0" "$1" train <(printf %s "$2") --run-dir "$3" --epochs 1 --backend wasm --quiet --json'
    const args = ['-c', command, process.execPath, main, content, join(dir, 'run')]
    const summary = JSON.parse(execFileSync('bash', args, { encoding: 'utf8' }))
    t.equal(summary.status, 'completed')
    t.end()
  },
)

t.test('a table that is asked for twice is read once; another one takes its place', async t => {
  const dir = t.testdir({ 'a.csv': 'x,y\n1,2\n3,4\n', 'b.csv': 'x,y\n1,2\n' })
  const format = formatOf((await loadExperiment(experimentOf(dir))).experiment.data, null)
  const read: string[] = []
  const note = (message: unknown) => {
    const { path, isDone } = message as ReadingProgress
    if (isDone) read.push(path)
  }
  subscribe(READING, note)
  t.teardown(() => unsubscribe(READING, note))
  const [a, b] = [join(dir, 'a.csv'), join(dir, 'b.csv')]
  await openAhead(a, format)
  await openAhead(a, format)
  const first = await openReader(a, format)
  t.equal(first.rows, 2)
  await first.close()
  t.strictSame(read, [a])
  void openAhead(a, format)
  await openAhead(b, format)
  const second = await openReader(b, format)
  t.equal(second.rows, 1)
  await second.close()
  await closeAhead()
  await openAhead(join(dir, 'none.csv'), format)
  await t.rejects(openReader(join(dir, 'none.csv'), format), { message: /none\.csv/ }, 'who asks sees the error')
})

function experimentOf(dir: string): string {
  const file = join(dir, 'experiment.json')
  writeFileSync(file, JSON.stringify({ data: { dataset: 'table', path: 'a.csv' } }))
  return file
}
