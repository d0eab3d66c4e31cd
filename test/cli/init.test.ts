/** `gradloom init`, `train --dry-run` and completion. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { completionsOf } from '../../src/cli/completion.js'
import { detect, taskOf } from '../../src/cli/init-detect.js'
import { COMMANDS } from '../../src/cli/program.js'
import { gradloom } from './run-cli.js'

const rows = Array.from({ length: 40 }, (_, i) => `${i},${(i * 0.37).toFixed(2)},${i % 2 ? 'oak' : 'elm'}`)
const table = `age,height,kind\n${rows.join('\n')}\n`

t.test('kinds of data', async t => {
  const dir = t.testdir({
    ...{ 'a.csv': table, 'b.tsv': '1\t2\n3\t4\n', 'c.npz': '', 'd.xlsx': '', 'empty.csv': 'a,b\n' },
    idx: { 'train-images-idx3-ubyte.gz': '' },
    arrays: { 'x_train.npy': '' },
    pictures: { train: { cat: { '1.png': '' } }, '.cache': { x: { '1.png': '' } } },
    nothing: { 'readme.md': '' },
  })
  const kind = async (name: string) => (await detect(join(dir, name))).dataset
  t.equal(await kind('a.csv'), 'csv')
  t.equal(await kind('c.npz'), 'npz')
  t.equal(await kind('idx'), 'idx')
  t.equal(await kind('arrays'), 'npz')
  t.equal(await kind('pictures'), 'images')
  t.equal((await detect('fashion-mnist')).dataset, 'fashion-mnist')
  t.match((await detect(join(dir, 'a.csv'))).table, { header: true, columns: ['age', 'height', 'kind'] })
  t.match((await detect(join(dir, 'b.tsv'))).table, { header: false, columns: ['0', '1'], values: [['1', '3']] })
  await t.rejects(detect(join(dir, 'd.xlsx')), { name: 'ConfigError', message: /is not a file that gradloom reads/ })
  await t.rejects(detect(join(dir, 'nothing')), { message: /holds no data that gradloom reads.*it has readme\.md/ })
  await t.rejects(detect(join(dir, 'none.csv')), { message: /cannot be read, expected a data set's name/ })
  await t.rejects(detect(join(dir, 'empty.csv')), { message: /the table is empty/ })
})

t.test('what a target column suggests', async t => {
  t.equal(taskOf(['a', '1']).task, 'classification')
  t.equal(taskOf(['1', '0', '1']).task, 'classification')
  t.equal(taskOf(['1.5', '2']).task, 'regression')
  t.equal(taskOf(Array.from({ length: 30 }, (_, i) => String(i))).task, 'regression')
})

t.test('writes an experiment that trains, and never writes over a file', async t => {
  const dir = t.testdir({ 'trees.csv': table })
  const first = await gradloom(['init', 'trees.csv'], { cwd: dir })
  t.match(first, { code: 0, stderr: '', stdout: /Next: npx gradloom train experiment\.json\n$/ })
  const written = readFileSync(join(dir, 'experiment.json'), 'utf8')
  t.same(JSON.parse(written), { data: { dataset: 'csv', path: 'trees.csv', csv: { label: 'kind' } } })
  const again = await gradloom(['init', 'trees.csv', '--target', 'height'], { cwd: dir })
  t.match(again, { code: 2, stdout: '', stderr: /experiment\.json: exists already.*\nhint: .*--out/ })
  t.equal(readFileSync(join(dir, 'experiment.json'), 'utf8'), written)
  mkdirSync(join(dir, 'sub'))
  const out = join('sub', 'heights.json')
  const heights = await gradloom(['init', 'trees.csv', '--target', 'height', '--out', out, '--json'], { cwd: dir })
  t.match(heights, { code: 0, stderr: '' })
  t.match(JSON.parse(heights.stdout).experiment, {
    data: { path: join('..', 'trees.csv'), task: 'regression', csv: { label: 'height' } },
  })
  const none = await gradloom(['init', 'trees.csv', '--target', 'width', '--out', 'x.json'], { cwd: dir })
  t.match(none, { code: 2, stderr: /target is 'width', expected a column of the table: age, height, kind/ })
  t.match(await gradloom(['init'], { cwd: dir }), { code: 2, stderr: /no data is given.*\nhint: npx gradloom init/ })
  writeFileSync(join(dir, 'bad.csv'), 'a,b\n1,x\n2,x\n3,x\n')
  t.equal((await gradloom(['init', 'bad.csv', '--out', 'bad.json'], { cwd: dir })).code, 1, 'one class')
  t.notOk(readdirSync(dir).includes('bad.json'), 'what would not train is not written')

  const plan = await gradloom(['train', 'experiment.json', '--dry-run', '--backend', 'wasm'], { cwd: dir })
  t.match(plan, { code: 0, stderr: '', stdout: /layer 0 {2}\d -> 256, relu, dropout 0\.1: / })
  const json = await gradloom(['train', 'experiment.json', '--dry-run', '--json', '--set', 'model.hidden=[4]'], {
    cwd: dir,
  })
  t.match(JSON.parse(json.stdout), {
    rows: { train: 32, validation: 0, test: 8 },
    stepsPerEpoch: 1,
    layers: [{ outputs: 4 }, {}],
  })
  t.match(await gradloom(['train', 'no.json', '--dry-run'], { cwd: dir }), { code: 2, stdout: '' })
  t.notOk(readdirSync(dir).includes('runs'), 'nothing is written')
})

t.test('completion: commands, subcommands, options, choices', async t => {
  const complete = (...words: string[]) => completionsOf(words, COMMANDS)
  t.same(await complete('ex'), ['export'])
  t.ok((await complete('')).includes('completion'))
  t.same(await complete('config', ''), ['check', 'schema', 'show'])
  t.same(await complete('train', '--dr'), ['--dry-run'])
  t.same(await complete('config', 'show', '--di'), ['--diff'])
  t.same(await complete('evaluate', '--split', 't'), ['test', 'train'])
  t.notOk((await complete('train', '--')).includes('--experiment'), 'an argument is no option')
  t.same(await complete('train', 'con'), [], 'files are completed by the shell')
  const [script, zsh, wrong, asked] = await Promise.all([
    gradloom(['completion'], { env: { SHELL: '/bin/bash' } }),
    gradloom(['completion', 'zsh'], { env: { SHELL: '/bin/bash' } }),
    gradloom(['completion', 'csh']),
    gradloom(['--get-yargs-completions', 'gradloom', 'resu']),
  ])
  t.match(script, { code: 0, stdout: /complete .*gradloom/, stderr: '' })
  t.match(zsh, { code: 0, stdout: /^#compdef gradloom/, stderr: '' })
  t.match(wrong, { code: 2, stderr: /^gradloom completion: shell is 'csh', expected one of bash, zsh, fish\nhint: / })
  t.match(asked, { code: 0, stdout: 'resume\n', stderr: '' })
})
