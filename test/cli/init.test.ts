/** `gradloom init`, `train --dry-run` and completion. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { completionsOf } from '../../src/cli/completion.js'
import { detect, taskOf } from '../../src/cli/init-detect.js'
import { COMMANDS } from '../../src/cli/program.js'
import { encodePng } from '../../src/picture/png.js'
import { npyOf } from '../helpers/npy.js'
import { gradloom } from './run-cli.js'

const rows = Array.from({ length: 40 }, (_, i) => `${i},${(i * 0.37).toFixed(2)},${i % 2 ? 'oak' : 'elm'}`)
const table = `age,height,kind\n${rows.join('\n')}\n`

t.test('init recognises each kind of data', async t => {
  const dir = t.testdir({
    ...{ 'a.csv': table, 'b.tsv': '1.5\tx\n2.5\ty\n', 'c.npz': '', 'd.xlsx': '', 'empty.csv': 'a,b\n' },
    idx: { 'train-images-idx3-ubyte.gz': '' },
    arrays: { 'x_train.npy': '' },
    pictures: { train: { cat: { '1.png': '' } }, '.cache': { x: { '1.png': '' } } },
    nothing: { 'readme.md': '' },
  })
  const kind = async (name: string) => (await detect(join(dir, name))).dataset
  t.equal(await kind('a.csv'), 'table')
  t.equal(await kind('c.npz'), 'npz')
  t.equal(await kind('idx'), 'idx')
  t.equal(await kind('arrays'), 'npz')
  t.equal(await kind('pictures'), 'images')
  t.equal((await detect('fashion-mnist')).dataset, 'fashion-mnist')
  const { columns } = await detect(join(dir, 'a.csv'))
  t.same(
    columns?.map(({ name, type }) => [name, type]),
    [
      ['age', 'number'],
      ['height', 'number'],
      ['kind', 'text'],
    ],
  )
  t.equal((await detect(join(dir, 'b.tsv'))).columns?.length, 2)
  await t.rejects(detect(join(dir, 'd.xlsx')), { name: 'ConfigError', message: /is not a file that gradloom reads/ })
  await t.rejects(detect(join(dir, 'nothing')), { message: /holds no data that gradloom reads.*it has readme\.md/ })
  await t.rejects(detect(join(dir, 'none.csv')), { message: /cannot be read, expected a data set's name/ })
  await t.rejects(detect(join(dir, 'empty.csv')), { message: /the table is empty/ })
})

t.test(
  'arrays with usual names that are not the default: init takes them, training names those that are there',
  async t => {
    const dir = t.testdir({ odd: {}, usual: {}, 'train-images-idx3-ubyte.gz': '' })
    const rows = npyOf(
      [40, 2],
      Float32Array.from({ length: 80 }, (_, i) => (i % 4) + i / 80),
    )
    const classes = npyOf(
      [40],
      Uint8Array.from({ length: 40 }, (_, i) => i % 2),
    )
    for (const [folder, x, y] of [
      ['usual', 'X', 'y'],
      ['odd', 'inputs', 'outputs'],
    ]) {
      writeFileSync(join(dir, folder, `${x}.npy`), rows)
      writeFileSync(join(dir, folder, `${y}.npy`), classes)
    }
    t.match(await gradloom(['init', 'usual'], { cwd: dir }), { code: 0, stdout: /features 'X', labels 'y'/ })
    t.same(JSON.parse(readFileSync(join(dir, 'experiment.json'), 'utf8')), {
      data: { dataset: 'npz', path: 'usual', npz: { trainFeatures: 'X', trainLabels: 'y' } },
    })
    const { code, stderr } = await gradloom(['init', 'odd', '--out', 'odd.json'], { cwd: dir })
    t.equal(code, 1)
    t.match(
      stderr,
      /has no array 'x_train', expected it; it has inputs, outputs\nhint: --set data\.npz\.trainFeatures=/,
    )
    const refused = await detect(join(dir, 'train-images-idx3-ubyte.gz')).catch(error => error)
    t.match(refused.hint, /give the folder with all four/)
  },
)

t.test(
  'pictures of several sizes: init resizes them to one, of at most 64 pixels, and takes another by --set',
  async t => {
    const dir = t.testdir({ photos: { cat: {}, dog: {} }, small: { cat: {}, dog: {} } })
    const write = (name: string, width: number, height: number) =>
      writeFileSync(join(dir, name), encodePng(width, height, new Uint8Array(width * height * 3).fill(90)))
    for (const i of [1, 2, 3, 4]) {
      write(`photos/cat/${i}.png`, 200, 150)
      write(`photos/dog/${i}.png`, 150, 200)
      write(`small/cat/${i}.png`, 11, 7)
      write(`small/dog/${i}.png`, 12, 9)
    }
    const init = async (folder: string, ...more: string[]) => {
      const { stdout, stderr } = await gradloom(['init', folder, '--out', `${folder}${more.length}.json`, ...more], {
        cwd: dir,
      })
      t.equal(stderr, '')
      return { stdout, data: JSON.parse(readFileSync(join(dir, `${folder}${more.length}.json`), 'utf8')).data }
    }
    const photos = await init('photos')
    t.same(photos.data.imageSize, [48, 64])
    t.match(
      photos.stdout,
      /several sizes: all are resized to 64 x 48, as data\.imageSize says; the first one has 200 x 150/,
    )
    t.same((await init('small')).data.imageSize, [7, 11])
    t.same((await init('small', '--set', 'data.imageSize=[9,9]')).data.imageSize, [9, 9])
    const { code, stderr } = await gradloom(['init', 'small', '--out', 'x.json', '--set', 'data.imageSiz=[9,9]'], {
      cwd: dir,
    })
    t.equal(code, 2)
    t.match(stderr, /did you mean "data\.imageSize"/)
  },
)

t.test('the task that init derives from a target column', async t => {
  const profile = { name: 'y', sqlType: 'DOUBLE', missing: 0, range: null } as const
  const of = (type: 'number' | 'text', distinct: number, isInteger: boolean) =>
    taskOf([{ ...profile, type, distinct, isInteger }])
  t.same(of('text', 2, false), { task: 'classification', reason: 'it is text' })
  t.same(of('number', 2, true), { task: 'classification', reason: 'it has 2 different integers' })
  t.same(of('number', 2, false), { task: 'regression', reason: 'it has fractions' })
  t.same(of('number', 30, true), { task: 'regression', reason: 'it has 30 different integers' })
})

t.test('writes an experiment that trains, and never writes over a file', async t => {
  const dir = t.testdir({ 'trees.csv': table })
  const first = await gradloom(['init', 'trees.csv'], { cwd: dir })
  t.match(first, { code: 0, stderr: '', stdout: /Next: npx gradloom train experiment\.json\n$/ })
  const written = readFileSync(join(dir, 'experiment.json'), 'utf8')
  t.same(JSON.parse(written), { data: { dataset: 'table', path: 'trees.csv', target: 'kind' } })
  const again = await gradloom(['init', 'trees.csv', '--target', 'height'], { cwd: dir })
  t.match(again, { code: 2, stdout: '', stderr: /experiment\.json: exists already.*\nhint: .*--out/ })
  t.equal(readFileSync(join(dir, 'experiment.json'), 'utf8'), written)
  mkdirSync(join(dir, 'sub'))
  const out = join('sub', 'heights.json')
  const heights = await gradloom(['init', 'trees.csv', '--target', 'height', '--out', out, '--json'], { cwd: dir })
  t.match(heights, { code: 0, stderr: '' })
  t.same(JSON.parse(heights.stdout).experiment, {
    data: { dataset: 'table', path: join('..', 'trees.csv'), target: 'height' },
  })
  writeFileSync(
    join(dir, 'labels.csv'),
    `x,a,b\n${Array.from({ length: 30 }, (_, i) => `${i * 0.7},${i % 2 ? 'yes' : 'no'},${i % 3 === 0}`).join('\n')}\n`,
  )
  const labels = await gradloom(['init', 'labels.csv', '--target', 'b', '--target', 'a', '--out', 'labels.json'], {
    cwd: dir,
  })
  t.match(labels, { code: 0, stderr: '', stdout: /target 'b', 'a': multi-label; several columns of yes or no\n/ })
  t.same(JSON.parse(readFileSync(join(dir, 'labels.json'), 'utf8')).data, {
    dataset: 'table',
    path: 'labels.csv',
    target: ['b', 'a'],
  })
  const none = await gradloom(['init', 'trees.csv', '--target', 'width', '--out', 'x.json'], { cwd: dir })
  t.match(none, { code: 2, stderr: /target is 'width', expected a column of the table: age, height, kind/ })
  t.match(await gradloom(['init'], { cwd: dir }), { code: 2, stderr: /no data is given.*\nhint: npx gradloom init/ })
  writeFileSync(join(dir, 'bad.csv'), 'a,b\n1,x\n2,x\n3,x\n')
  t.equal((await gradloom(['init', 'bad.csv', '--out', 'bad.json'], { cwd: dir })).code, 1, 'one class')
  t.notOk(readdirSync(dir).includes('bad.json'), 'what would not train is not written')

  const plan = await gradloom(['train', 'experiment.json', '--dry-run', '--backend', 'wasm'], { cwd: dir })
  t.match(plan, { code: 0, stderr: '', stdout: /layer 0 {2}1 -> 256, relu, dropout 0\.1: / })
  const json = await gradloom(['train', 'experiment.json', '--dry-run', '--json', '--set', 'model.hidden=[4]'], {
    cwd: dir,
  })
  t.match(JSON.parse(json.stdout), {
    rows: { train: 32, validation: 0, test: 8 },
    stepsPerEpoch: 1,
    layers: [{ outputs: 4 }, {}],
  })
  writeFileSync(
    join(dir, 'prices.csv'),
    `price,c\n${Array.from({ length: 30 }, (_, i) => `$${i},${i % 2}`).join('\n')}\n`,
  )
  writeFileSync(
    join(dir, 'prices.json'),
    '{ "data": { "dataset": "table", "path": "prices.csv", "target": "c", "columns": { "price": "category" } } }',
  )
  t.match(
    await gradloom(['train', 'prices.json', '--dry-run', '--backend', 'wasm'], { cwd: dir }),
    { code: 0, stdout: /\n {9}categories: 'price' \(\d+\)\n/ },
    'what train says of the data',
  )
  t.match(await gradloom(['train', 'no.json', '--dry-run'], { cwd: dir }), { code: 2, stdout: '' })
  t.notOk(readdirSync(dir).includes('runs'), 'nothing is written')
})

t.test('completion offers commands, subcommands, options and choices', async t => {
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
  t.match(await gradloom(['completion', '--shell']), { code: 2, stdout: '', stderr: /shell is '--shell'/ })
  t.match(await gradloom(['completion', 'zsh', 'x']), { code: 2, stdout: '', stderr: /argument 'x' is not expected/ })
  t.match(asked, { code: 0, stdout: 'resume\n', stderr: '' })
})
