/** `gradloom list`: every run of a folder with its state, damaged ones named. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { listText } from '../../src/cli/list.js'
import { listRuns } from '../../src/run/list.js'
import { gradloom } from './run-cli.js'

const dir = t.testdir()
function run(name: string, files: Record<string, unknown>): void {
  mkdirSync(join(dir, name), { recursive: true })
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(join(dir, name, file), typeof content === 'string' ? content : JSON.stringify(content))
  }
}
const done = { name: 'a', status: 'completed', epochs: 1, seconds: 2.5, test: { loss: 0.5, accuracy: 0.75 } }
run('done', { 'resolved.json': { name: 'a' }, 'summary.json': done })
run('numbers', { 'resolved.json': {}, 'summary.json': { ...done, name: 'n', test: { loss: 0.5, r2: 0.5 } } })
run('killed', { 'resolved.json': { name: 'k' }, 'metrics.jsonl': '' })
run('cut', { 'resolved.json': { name: 'c' }, 'summary.json': '{"name": "c", "sta' })
run('odd', { 'resolved.json': { name: 'o' }, 'summary.json': { status: 'perfect' } })
run('no-experiment', { 'metrics.jsonl': '' })
run('sweep/point-1', {
  'resolved.json': { name: 's' },
  'summary.json': { ...done, name: 's', status: 'failed', test: null },
})
run('notes', { 'notes.txt': 'no run' })
run('busy', { 'resolved.json': { name: 'b' }, '.lock': JSON.stringify({ pid: process.pid, host: hostname() }) })

t.test('list shows states, scores and damaged runs', async t => {
  const runs = await listRuns(dir)
  const states = Object.fromEntries(runs.map(({ dir: path, status }) => [path.slice(dir.length + 1), status]))
  t.match(states, {
    ...{ done: 'completed', numbers: 'completed', killed: 'stopped', cut: 'damaged', odd: 'damaged' },
    ...{ 'no-experiment': 'damaged', 'sweep/point-1': 'failed' },
  })
  t.notOk('notes' in states)
  t.match(
    runs.find(({ name }) => name === 'a'),
    { epochs: 1, seconds: 2.5, test: { accuracy: 0.75 }, bytes: /\d+/ },
  )
  const text = listText(runs, dir)
  t.match(text, /done +a +completed +1 +75\.00 % +- +2\.50 s/)
  t.match(text, /numbers +n +completed +1 +R² 0\.5000/)
  t.match(text, /damaged: .*cut.*summary\.json: is not JSON/)
  t.match(text, /damaged: .*odd.*status is "perfect"/)
})

t.test('the list command: a table, JSON, an empty folder, a missing folder', async t => {
  const empty = t.testdir()
  const [table, json, none, missing] = await Promise.all([
    gradloom(['list', dir]),
    gradloom(['list', dir, '--json']),
    gradloom(['list'], { cwd: empty }),
    gradloom(['list', join(empty, 'x')]),
  ])
  t.match(table, { code: 0, stdout: /^run +name +status/, stderr: '' })
  t.equal(JSON.parse(json.stdout).runs.length, 8)
  t.match(none, { code: 0, stdout: 'no runs in runs\n', stderr: '' })
  t.match(missing, { code: 2, stdout: '', stderr: /cannot be read, expected a folder with runs/ })
})
