/** Data that have moved are found by their place beside the run or by --data, and their digests prove them. */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadExperiment } from '../../src/config/load.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { readReport } from '../../src/report/report.js'
import { gradloom } from '../cli/run-cli.js'
import { directoryBytes } from '../helpers/directory-bytes.js'

const root = t.testdir({})

/** Rows whose class is the sign of a number. */
function rowsFrom(seed: number, count: number): string {
  const rows = Array.from({ length: count }, (_, i) => {
    const x = ((i * 37 + seed * 11) % 101) - 50
    return `${x / 10},${(i * 13) % 7},${x > 0 ? 'up' : 'down'}`
  })
  return `a,b,class\n${rows.join('\n')}\n`
}

/** A project folder: an experiment, its data, and a run of it. */
async function project(name: string): Promise<{ dir: string; runDir: string; weightsSha256: string | null }> {
  const dir = join(root, name)
  mkdirSync(join(dir, 'd'), { recursive: true })
  writeFileSync(join(dir, 'd', 'train.csv'), rowsFrom(1, 80))
  writeFileSync(join(dir, 'd', 'test.csv'), rowsFrom(2, 30))
  writeFileSync(
    join(dir, 'x.json'),
    JSON.stringify({
      data: { dataset: 'table', path: 'd/train.csv', testPath: 'd/test.csv' },
      model: { hidden: [8], dropout: 0 },
      train: { epochs: 3, batchSize: 16, l2: 0 },
      compute: { backend: 'wasm', workers: 1 },
    }),
  )
  const runDir = join(dir, 'runs', 'r')
  const { weightsSha256 } = await train(await loadExperiment(join(dir, 'x.json')), { runDir })
  return { dir, runDir, weightsSha256 }
}

const longer = { overrides: ['train.epochs=5'] }
const reference = await project('reference')
const five = (await resume(reference.runDir, longer)).summary.weightsSha256

t.test('a renamed data folder is refused with a hint, then found with --data and --test-data', async t => {
  const { dir, runDir } = await project('renamed')
  const moved = join(dir, 'e')
  renameSync(join(dir, 'd'), moved)
  const before = directoryBytes(runDir)
  const [dataPath, testDataPath] = ['train.csv', 'test.csv'].map(name => join(moved, name))
  const missing = {
    name: 'DataError',
    message: /train\.csv: data of the run are not there, expected the table that it was trained on/,
    hint: /--data PATH/,
  }
  await t.rejects(resume(runDir, longer), missing)
  await t.rejects(reproduce(runDir), missing)
  await t.rejects(evaluate(runDir), missing)
  await t.rejects(resume(runDir, { ...longer, dataPath }), { name: 'DataError', hint: /--test-data PATH/ })
  t.strictSame(directoryBytes(runDir), before, 'nothing changed')

  t.match(await reproduce(runDir, { dataPath, testDataPath }), { identical: true })
  const { summary } = await resume(runDir, { ...longer, dataPath, testDataPath })
  t.equal(summary.weightsSha256, five)
  const { resumes } = JSON.parse(readFileSync(join(runDir, 'manifest.json'), 'utf8'))
  t.match(resumes, [{ changesPast: false }])
  t.match(await reproduce(runDir), { identical: true }, 'where the data are now is remembered')
  await evaluate(runDir)
})

t.test('--set data.path has the effect of --data', async t => {
  const { dir, runDir } = await project('set')
  renameSync(join(dir, 'd'), join(dir, 'e'))
  const overrides = [
    'train.epochs=5',
    `data.path=${join(dir, 'e', 'train.csv')}`,
    `data.testPath=${join(dir, 'e', 'test.csv')}`,
  ]
  t.equal((await resume(runDir, { overrides })).summary.weightsSha256, five)
  t.match(await reproduce(runDir), { identical: true })
})

t.test('other data at the new location are refused, and the run is not changed', async t => {
  const { dir, runDir } = await project('others')
  const before = directoryBytes(runDir)
  const dataPath = join(dir, 'other.csv')
  writeFileSync(dataPath, rowsFrom(3, 80))
  const other = {
    name: 'DataError',
    message: /other\.csv: MD5 is .*; the run was trained on other data/,
    hint: /--data/,
  }
  await t.rejects(resume(runDir, { ...longer, dataPath }), other)
  await t.rejects(resume(runDir, { ...longer, dataPath, allowChange: true }), other)
  await t.rejects(reproduce(runDir, { dataPath }), other)
  t.strictSame(directoryBytes(runDir), before)
})

t.test('a test file that was added or removed is refused as another run', async t => {
  const { runDir } = await project('test-file')
  await t.rejects(resume(runDir, { overrides: ['train.epochs=5', 'data.testPath=null'] }), {
    name: 'ConfigError',
    message: /data\.testPath: .* -> null; the completed steps were trained with other settings/,
  })
})

t.test('after the whole project folder was moved, every command finds the data relative to the run', async t => {
  const { dir } = await project('project')
  const moved = join(root, 'elsewhere', 'project')
  mkdirSync(join(root, 'elsewhere'))
  renameSync(dir, moved)
  const runDir = join(moved, 'runs', 'r')
  t.match(await reproduce(runDir), { identical: true })
  t.match(await evaluate(runDir), { rows: 30 })
  t.match(await evaluate(join(runDir, 'checkpoints', 'latest')), { rows: 30 })
  t.hasProp((await readReport([runDir])).runs[0].test, 'weightsSha256')
  t.equal((await gradloom(['predict', runDir, '--random', '2'])).code, 0)
  t.equal((await resume(runDir, longer)).summary.weightsSha256, five)
})

t.test('of two files, at the old location and beside the run, the one with the recorded digest is used', async t => {
  const { dir } = await project('both')
  const copy = join(root, 'copy')
  cpSync(dir, copy, { recursive: true })
  const runDir = join(copy, 'runs', 'r')
  writeFileSync(join(dir, 'd', 'train.csv'), rowsFrom(9, 80))
  t.equal((await resume(runDir, longer)).summary.weightsSha256, five)
  rmSync(join(copy, 'd'), { recursive: true })
  await t.rejects(reproduce(join(dir, 'runs', 'r')), { name: 'DataError', message: /trained on other data/ })
})

t.test('the commands take --data and --test-data', async t => {
  const { dir, runDir } = await project('commands')
  renameSync(join(dir, 'd'), join(dir, 'e'))
  const moved = ['--data', 'e/train.csv', '--test-data', 'e/test.csv']
  const inDir = { cwd: dir }
  t.match(await gradloom(['resume', runDir, '--set', 'train.epochs=5', '--quiet'], inDir), {
    code: 1,
    stderr: /data of the run are not there.*\nhint: --data PATH/,
  })
  const page = await gradloom(['report', runDir, '--format', 'json', ...moved], inDir)
  t.hasProp(JSON.parse(page.stdout).runs[0].test, 'weightsSha256', 'the test split was read')
  t.equal((await gradloom(['reproduce', runDir, '--quiet', ...moved], inDir)).code, 0)
  t.equal((await gradloom(['resume', runDir, '--set', 'train.epochs=5', '--quiet', ...moved], inDir)).code, 0)
  t.equal((await gradloom(['reproduce', runDir, '--quiet'], inDir)).code, 0)
})
