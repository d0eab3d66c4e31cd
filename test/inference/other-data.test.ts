/** Models on data other than those they were trained on: columns and classes go by name, all rows count, or it is refused. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { exportWeights } from '../../src/export/export.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { loadTestSamples } from '../../src/inference/examples.js'
import { Predictor } from '../../src/inference/predictor.js'
import { encodePng } from '../../src/picture/png.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'

const dir = t.testdir()
/** Rows of which column `a` says the class, and `b` and `id` nothing. */
const row = (i: number) => {
  const label = i % 3
  return { a: String(10 * label + ((i * 7) % 5)), b: String((i * 13) % 29), id: String(1000 + i), label }
}
type Column = 'a' | 'b' | 'id' | 'class'

function table(
  name: string,
  columns: readonly Column[],
  rows: readonly number[],
  names = ['ant', 'bee', 'cat'],
): string {
  const lines = rows.map(i => {
    const { label, ...numbers } = row(i)
    return columns.map(column => (column === 'class' ? names[label] : numbers[column])).join(',')
  })
  writeFileSync(join(dir, name), `${[columns.join(','), ...lines].join('\n')}\n`)
  return join(dir, name)
}
const range = (count: number, first = 0) => Array.from({ length: count }, (_, i) => first + i)
const trained = table('abc.csv', ['a', 'b', 'class'], range(120))

const experiment = (path: string, more: Partial<ExperimentInput> = {}, data: object = {}) =>
  resolveExperiment({
    data: { dataset: 'table', path, ...data },
    model: { hidden: [8], dropout: 0 },
    train: { epochs: 20, batchSize: 16 },
    optimizer: { learningRate: 0.03 },
    compute: { backend: 'wasm', workers: 1 },
    ...more,
  })
const run = join(dir, 'run')
await train(experiment(trained), { runDir: run })
const untrained = { train: { epochs: 0 } }
const same = async (of: string, file: string) => {
  const features = Float32Array.from({ length: 200 }, (_, i) => (i * 17) % 31)
  const [one, two] = [await Predictor.open(of), await Predictor.open(file)]
  return { one: one.predict(features).data, two: two.predict(features).data, names: two.classNames }
}

t.test('evaluate --data scores every row of the file and names the file', async t => {
  const dataPath = table('new.csv', ['a', 'b', 'class'], range(100, 500))
  const { rows, correct, split, files, accuracy } = await evaluate(run, { dataPath })
  t.strictSame(
    { rows, correct, split, files, accuracy },
    { rows: 100, correct: 100, split: 'all', files: [dataPath], accuracy: 1 },
  )
  t.equal((await evaluate(run, { dataPath: table('one.csv', ['a', 'b', 'class'], [7]) })).rows, 1, 'a single row')
  const ofOne = range(20).map(i => 3 * i + 1)
  t.match(await evaluate(run, { dataPath: table('bees.csv', ['a', 'b', 'class'], ofOne) }), { rows: 20, correct: 20 })
})

t.test('evaluate --data does not score the test file of the experiment instead', async t => {
  const testPath = table('held.csv', ['a', 'b', 'class'], range(60, 300))
  const other = join(dir, 'tested')
  await train(experiment(trained, {}, { testPath }), { runDir: other })
  t.equal((await evaluate(other)).rows, 60)
  t.equal((await evaluate(other, { dataPath: join(dir, 'new.csv') })).rows, 100)
})

t.test('columns are matched by name, in any order, with others between them; a missing one is named', async t => {
  for (const columns of [
    ['b', 'a', 'class'],
    ['class', 'b', 'a'],
    ['id', 'a', 'class', 'b'],
  ] as const) {
    const { rows, correct, ignoredColumns } = await evaluate(run, {
      dataPath: table(`${columns.join('')}.csv`, columns, range(90, 200)),
    })
    t.strictSame([rows, correct], [90, 90], columns.join())
    t.strictSame(
      ignoredColumns,
      columns.filter(name => name === 'id'),
    )
  }
  await t.rejects(evaluate(run, { dataPath: table('a.csv', ['a', 'id', 'class'], range(20)) }), {
    name: 'DataError',
    message: /a\.csv: .*'b'/,
  })
})

t.test('rows of another file without a target are not scored, which is said', async t => {
  const dataPath = table('gaps.csv', ['a', 'b', 'class'], range(90, 200))
  const [names, ...lines] = readFileSync(dataPath, 'utf8').trimEnd().split('\n')
  writeFileSync(dataPath, [names, ...lines.map((line, i) => (i < 7 ? line.replace(/[^,]*$/, '') : line))].join('\n'))
  const { rows, omissions } = await evaluate(run, { dataPath })
  t.equal(rows, 83)
  t.strictSame(omissions, [`${dataPath}: left out 7 rows without a target`])
  t.strictSame((await evaluate(run, { dataPath: join(dir, 'new.csv') })).omissions, [])
})

t.test('classes are matched by name, a subset in any order; unknown ones are refused with their names', async t => {
  const some = range(90, 200).filter(i => i % 3 !== 0)
  t.match(await evaluate(run, { dataPath: table('bc.csv', ['a', 'b', 'class'], some) }), { rows: 60, correct: 60 })
  const dataPath = table('zebra.csv', ['a', 'b', 'class'], range(30), ['zebra', 'bee', 'cat'])
  await t.rejects(evaluate(run, { dataPath }), {
    name: 'DataError',
    message: /zebra\.csv: has the class 'zebra', expected only those of the model: 'ant', 'bee', 'cat'/,
  })
  const renamed = table('renamed.csv', ['a', 'b', 'class'], range(60), ['bee', 'cat', 'ant'])
  t.equal((await evaluate(run, { dataPath: renamed })).correct, 0, 'the same words for other rows')
})

t.test('--split with --data: accepted for the data of the run at a new location, else refused', async t => {
  const moved = table('moved.csv', ['a', 'b', 'class'], range(120))
  t.equal((await evaluate(run, { dataPath: moved, split: 'test' })).rows, (await evaluate(run)).rows)
  await t.rejects(evaluate(run, { dataPath: join(dir, 'new.csv'), split: 'test' }), {
    name: 'ConfigError',
    message: /new\.csv: the test split is that of the run's own data/,
  })
})

t.test('an exported model scores other data as its run does', async t => {
  const model = join(dir, 'model.safetensors')
  await exportWeights(run, model)
  t.match(await evaluate(model, { dataPath: join(dir, 'classba.csv') }), { rows: 90, correct: 90 })
  await t.rejects(evaluate(model, { dataPath: join(dir, 'zebra.csv') }), { message: /'zebra'/ })
})

t.test('a test file of the experiment has its columns in any order', async t => {
  const other = join(dir, 'reordered')
  await train(experiment(trained, {}, { testPath: join(dir, 'classba.csv') }), { runDir: other })
  t.match(await evaluate(other), { rows: 90, correct: 90 })
})

t.test('predict matches columns of test rows by name too', async t => {
  const other = join(dir, 'looked-at')
  const path = table('changing.csv', ['a', 'b', 'class'], range(120))
  await train(experiment(path), { runDir: other })
  const predictor = await Predictor.open(other)
  const before = await loadTestSamples(predictor)
  table('changing.csv', ['class', 'b', 'id', 'a'], range(120))
  t.strictSame(
    (await loadTestSamples(predictor)).features,
    before.features,
    'its target is the column that the model names',
  )
  table('changing.csv', ['b', 'id', 'a', 'class'], range(120))
  const after = await loadTestSamples(predictor)
  t.strictSame([after.features, after.labels], [before.features, before.labels])
})

t.test('train --from a run on other data with 0 epochs is the same model', async t => {
  for (const [n, path] of [
    table('shifted.csv', ['b', 'a', 'class'], range(60, 40).concat([1, 4, 7, 10, 13])),
    join(dir, 'bc.csv'),
    table('ordered.csv', ['id', 'a', 'b', 'class'], range(80).reverse()),
  ].entries()) {
    const runDir = join(dir, `from-${n}`)
    await train(experiment(path, untrained), { runDir, from: run })
    const { one, two, names } = await same(run, runDir)
    t.strictSame(two, one, path)
    t.strictSame(names, ['ant', 'bee', 'cat'])
    t.match(await evaluate(runDir, { dataPath: join(dir, 'classba.csv') }), { rows: 90, correct: 90 })
  }
})

t.test('data that differ are refused, or scaled anew on request', async t => {
  const zebra = experiment(join(dir, 'zebra.csv'), untrained)
  await t.rejects(train(zebra, { runDir: null, from: run }), {
    name: 'DataError',
    message: /the class 'zebra'/,
    hint: /--from-input new/,
  })
  await train(zebra, { runDir: join(dir, 'zebra'), from: run, fromInput: 'new' })
  t.strictSame((await Predictor.open(join(dir, 'zebra'))).classNames, ['bee', 'cat', 'zebra'])
  await t.rejects(train(experiment(join(dir, 'a.csv'), untrained), { runDir: null, from: run }), { message: /'b'/ })
  await t.rejects(train(experiment(trained, untrained, { task: 'regression' }), { runDir: null, from: run }), {
    name: /Error/,
  })
})

t.test('a run that started from a model resumes and reproduces with the scaling of the model', async t => {
  const runDir = join(dir, 'going-on')
  const loaded = experiment(join(dir, 'ordered.csv'), { train: { epochs: 2, batchSize: 16 } })
  const { weightsSha256 } = await train(loaded, { runDir, from: run })
  t.equal((await reproduce(runDir)).identical, true)
  const { summary } = await resume(runDir, { overrides: ['train.epochs=3'] })
  const whole = await train(experiment(join(dir, 'ordered.csv'), { train: { epochs: 3, batchSize: 16 } }), {
    runDir: null,
    from: run,
  })
  t.equal(summary.weightsSha256, whole.weightsSha256)
  t.not(weightsSha256, whole.weightsSha256)
})

/** y = x * x / 100, for x from `first`. */
function squares(name: string, first: number, columns = 'x,y'): string {
  const lines = range(200).map(i => {
    const x = first + (i * (100 - first)) / 200
    return columns === 'x,y' ? `${x},${(x * x) / 100}` : `${(x * x) / 100},${x}`
  })
  writeFileSync(join(dir, name), `${[columns, ...lines].join('\n')}\n`)
  return join(dir, name)
}

t.test('regression: the scales of features and targets are those of the model', async t => {
  const [wide, part] = [squares('wide.csv', 0), squares('part.csv', 60)]
  const loaded = (path: string, more = {}) =>
    experiment(path, { train: { epochs: 30, batchSize: 16 }, ...more }, { task: 'regression' })
  const ofWide = join(dir, 'wide')
  await train(loaded(wide), { runDir: ofWide })
  await train(loaded(part, untrained), { runDir: join(dir, 'part'), from: ofWide })
  const { one, two } = await same(ofWide, join(dir, 'part'))
  t.strictSame(two, one)
  const { rows, rmse } = await evaluate(ofWide, { dataPath: part })
  t.equal(rows, 200)
  t.equal((await evaluate(ofWide, { dataPath: squares('yx.csv', 60, 'y,x') })).rmse, rmse, 'columns by name')
  const file = join(dir, 'wide.npz')
  await exportWeights(ofWide, file)
  await train(loaded(part, untrained), { runDir: join(dir, 'npz'), from: file })
  const back = await same(ofWide, join(dir, 'npz'))
  const worst = Math.max(...back.one.map((value, i) => Math.abs(value - back.two[i])))
  t.ok(worst < 1e-4, `what comes back from .npz differs by ${worst}`)
})

/** Folders of grey pictures, of which the class says how bright they are. */
t.test(
  'folders of pictures: classes by the names of folders, all pictures, of a test part where there is one',
  async t => {
    const folder = (name: string, classes: Readonly<Record<string, number>>, count: number) => {
      for (const [label, grey] of Object.entries(classes)) {
        mkdirSync(join(dir, name, label), { recursive: true })
        for (let i = 0; i < count; i++) {
          const rgb = Uint8Array.from({ length: 3 * 64 }, (_, p) => grey + ((i + Math.floor(p / 3)) % 16))
          writeFileSync(join(dir, name, label, `${i}.png`), encodePng(8, 8, rgb))
        }
      }
      return join(dir, name)
    }
    const path = folder('pictures', { dark: 10, grey: 110, light: 220 }, 20)
    const runDir = join(dir, 'of-pictures')
    await train(experiment(path, {}, { dataset: 'images' }), { runDir })
    const all = folder('other', { light: 220, dark: 10 }, 7)
    t.match(await evaluate(runDir, { dataPath: all }), { rows: 14, correct: 14, split: 'all' })
    folder('parts/train', { dark: 10, grey: 110 }, 3)
    folder('parts/test', { light: 220 }, 5)
    t.match(await evaluate(runDir, { dataPath: join(dir, 'parts') }), { rows: 5, correct: 5 })
    const unknown = folder('unknown', { bright: 220, dark: 10 }, 2)
    await t.rejects(evaluate(runDir, { dataPath: unknown }), { name: 'DataError', message: /the class 'bright'/ })
  },
)

t.test('train --from without data.target: the target is the column named in the model, not the last one', async t => {
  const path = table('class-first.csv', ['class', 'b', 'a'], range(60))
  const runDir = join(dir, 'class-first')
  const { test } = await train(experiment(path, untrained), { runDir, from: run })
  t.ok(test!.accuracy! > 0.9, `accuracy is ${test!.accuracy}, that of the model it starts from`)
  const { columns } = (await readCheckpoint(join(runDir, 'checkpoints', 'step-0.safetensors'))).input!
  t.same(columns, { features: ['a', 'b'], labels: ['class'] })
})

t.test('a class without validation or test samples is reported in the start line', async t => {
  const warnings: string[] = []
  const path = table('rare.csv', ['a', 'b', 'class'], [...range(120).filter(i => i % 3 < 2), 2])
  const onWarning = (message: string) => void warnings.push(message)
  await train(experiment(path, untrained, { validation: 0.2 }), { runDir: null, onWarning })
  for (const split of ['validation', 'test']) {
    t.ok(
      warnings.some(text => text.includes(split) && text.includes("'cat'")),
      `${split}: ${warnings.join(' | ')}`,
    )
  }
})
