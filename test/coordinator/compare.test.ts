/** Runs side by side: only settings that differ, numbers in full, means over seeds. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { compareRuns, comparisonCsv, comparisonMarkdown, comparisonTable } from '../../src/report/comparison.js'
import { RunLock } from '../../src/run/lock.js'
import { gradloom } from '../cli/run-cli.js'

const root = t.testdir({})
function writeRun(name: string, input: Omit<ExperimentInput, 'data'>, accuracy: number | null): string {
  const dir = join(root, name)
  mkdirSync(dir)
  const { experiment } = resolveExperiment({ data: { dataset: 'digits' }, ...input })
  writeFileSync(join(dir, 'resolved.json'), JSON.stringify(experiment))
  if (accuracy !== null) {
    const summary = { status: 'completed', test: { accuracy, loss: 1 - accuracy }, epochs: 3, seconds: 2, train: null }
    writeFileSync(join(dir, 'summary.json'), JSON.stringify(summary))
  }
  return dir
}
const adam = (seed: number) => ({ seed, optimizer: { learningRate: 0.01 } })
const runs = [
  writeRun('a', adam(1), 0.9),
  writeRun('b', adam(2), 0.94),
  writeRun('c, "odd"', { optimizer: { type: 'sgd' } }, 0.8),
  writeRun('going-on', { model: { hidden: [3, 4] }, optimizer: { type: 'sgd' } }, null),
]

t.test('compare has one row per run, the settings that differ, and the mean over seeds', async t => {
  const comparison = await compareRuns(runs)
  t.strictSame(
    comparisonTable(comparison).map(row => row.filter((_, i) => [0, 1, 2, 3, 4, 5].includes(i))),
    [
      ['run', 'status', 'seed', 'model.hidden', 'optimizer.type', 'optimizer.learningRate'],
      ['a', 'completed', '1', '[256,128]', 'adam', '0.01'],
      ['b', 'completed', '2', '[256,128]', 'adam', '0.01'],
      ['c, "odd"', 'completed', '1', '[256,128]', 'sgd', '0.1'],
      ['going-on', 'stopped', '1', '[3,4]', 'sgd', '0.1'],
      ['mean of 2', '', '', '[256,128]', 'adam', '0.01'],
    ],
  )
  const [group] = comparison.groups
  t.strictSame(group.runs, ['a', 'b'])
  t.ok(Math.abs(group.results['test accuracy']!.mean - 0.92) < 1e-12)
  t.ok(Math.abs(group.results['test accuracy']!.deviation! - Math.sqrt(0.0008)) < 1e-12, 'of the sample: n - 1')
  t.match(comparisonTable(comparison).at(-1)!.join(' '), /92\.00 % ± 2\.83 % 0\.0800 ± 0\.0283/)
  t.strictSame((await compareRuns([runs[0], runs[2]])).groups, [], 'no two with the same settings')
  t.strictSame((await compareRuns([runs[0]])).differing, [])
  const lock = await RunLock.take(runs[3])
  t.equal((await compareRuns([runs[3]])).runs[0].status, 'running', 'a process has it')
  await lock.release()
})

t.test('runs on different data are not averaged; runs on the same content under another path are', async t => {
  const at = (name: string, seed: number, path: string, ...md5s: string[]) => {
    const dir = writeRun(name, { ...adam(seed), data: { dataset: 'table', path } } as never, 0.9)
    const files = md5s.map(md5 => ({ path, bytes: 1, md5, official: null }))
    writeFileSync(join(dir, 'manifest.json'), JSON.stringify({ data: { files } }))
    return dir
  }
  const a = at('data-a', 1, '/x/a.csv', 'one')
  const moved = at('data-moved', 2, '/y/a.csv', 'one')
  const other = at('data-other', 3, '/x/a.csv', 'two')
  const otherTest = at('data-other-test', 4, '/x/a.csv', 'one', 'three')
  const same = await compareRuns([a, moved])
  t.strictSame(same.differing, ['seed'])
  t.match(same.groups, [{ runs: ['data-a', 'data-moved'] }])
  const different = await compareRuns([a, other])
  t.strictSame(different.differing, ['data', 'seed'])
  t.strictSame(different.groups, [])
  t.notMatch(comparisonTable(different).join('\n'), /mean of/)
  t.strictSame((await compareRuns([a, otherTest])).groups, [], 'another test file')
  t.match((await compareRuns([a, other, moved])).groups, [{ runs: ['data-a', 'data-moved'] }, { runs: ['data-other'] }])
  // Without a digest the path identifies the data.
  const unknown = (name: string, path: string) =>
    writeRun(name, { ...adam(5), data: { dataset: 'table', path } } as never, 0.9)
  t.strictSame((await compareRuns([unknown('u1', '/x/a.csv'), unknown('u2', '/x/b.csv')])).groups, [])
})

t.test('CSV and Markdown escape special characters', async t => {
  const comparison = await compareRuns(runs)
  const [head, , , odd] = comparisonCsv(comparison).split('\r\n')
  t.match(head, /^run,status,seed,model.hidden,optimizer.type,.*,test accuracy,test R²,test loss,/)
  t.match(odd, /^"c, ""odd""",completed,1,"\[256,128\]",sgd,0\.1,/)
  t.match(
    comparisonMarkdown(comparison),
    /^\| run \| status \| seed .*\n\| --- \| --- \| ---: .*\n\| a \| completed \| 1 /,
  )
})

t.test('the command', async t => {
  const table = await gradloom(['compare', ...runs])
  t.equal(table.code, 0)
  t.match(table.stdout, /^run +status +seed .*test accuracy/)
  t.equal(table.stdout.trimEnd().split('\n').length, 6)
  t.match(JSON.parse((await gradloom(['compare', ...runs, '--json'])).stdout), { runs: [{ run: 'a' }] })
  t.match(await gradloom(['compare', root]), { code: 2, stderr: /has no resolved.json/ })
})
