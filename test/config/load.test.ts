/** Experiment files: defaults, names, places in messages, and files that are none. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadExperiment, resolveExperiment } from '../../src/config/load.js'
import { ConfigError } from '../../src/errors.js'

/** The experiment in DESIGN.md, section 5: the reference classifier's settings. */
const REFERENCE = {
  name: 'mnist',
  seed: 1,
  data: {
    ...{
      dataset: 'mnist',
      path: null,
      testPath: null,
      from: 'each',
      testFraction: 0.2,
      task: 'classification',
      normalise: 'auto',
    },
    ...{ query: null, target: null, weight: null, columns: {} },
    missing: { number: 'fill', category: 'fill', date: 'fill', target: 'row' },
    numbers: { bins: 0, limit: null },
    categories: { max: 64, buckets: 32, above: 'hash', embeddingSize: null },
    ...{ split: { column: null, group: null, time: null }, stream: 'auto', windowRows: null },
    table: { delimiter: 'auto', header: 'auto', decimal: 'auto', dayFirst: 'auto' },
    npz: {
      trainFeatures: 'x_train',
      trainLabels: 'y_train',
      testFeatures: 'x_test',
      testLabels: 'y_test',
      order: 'auto',
    },
    ...{ channels: 'auto', background: 'auto' },
    ...{ imageSize: null, preparation: 'auto', transpose: false, validation: 0 },
  },
  augment: {
    ...{ shift: 0, rotate: 0, scale: 0, shear: 0, elastic: { alpha: 0, sigma: 5 }, flip: 0 },
    ...{ erase: { probability: 0, area: 0.2, fill: 'zero' }, crop: 0, cutout: 0, mixup: 0 },
    ...{ brightness: 0, contrast: 0, saturation: 0, noise: 0, perClass: null, plainEpochs: 0 },
  },
  model: {
    ...{ convolutions: [], hidden: [3000, 2500, 2000, 1500, 1000, 500], activation: 'relu' },
    ...{
      norm: 'none',
      normMomentum: 0.1,
      normEpsilon: 1e-5,
      inputDropout: 0,
      dropout: 0.3,
      init: 'he-normal',
      initGain: null,
    },
  },
  train: {
    ...{
      epochs: 2000,
      batchSize: 256,
      accumulateSteps: 1,
      l2: 0.05,
      loss: 'cross-entropy',
      labelSmoothing: 0,
      classWeights: null,
      clipValue: null,
    },
    ...{ maxNorm: null, clipNorm: null, ema: { decay: null } },
    earlyStopping: { patience: null, minDelta: 0, restoreBest: true },
    ...{ evaluateEverySteps: null, stopAfterSeconds: null },
    ...{ onNonFinite: 'stop', rollbackFactor: 0.5, maxNonFinite: 10 },
  },
  optimizer: { type: 'adam', learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  schedule: { type: 'inverse-sqrt', decayRate: 1, per: 'epoch', warmup: { epochs: 0, steps: 0, from: 0.1 } },
  compute: {
    ...{ workers: 'auto', backend: 'auto', library: null, precision: 'f32' },
    ...{
      allReduce: 'fused',
      shardRows: 'auto',
      gradientGroups: null,
      machines: 'auto',
      machinesTimeout: 8,
      maxRestarts: 3,
    },
  },
  checkpoint: {
    ...{ everyEpochs: 1, keepLast: 2, keepBest: true },
    ...{ everySteps: null, everySeconds: null, atEnd: true, bestMetric: 'auto' },
  },
  log: { tensorboard: false },
}

async function errorFor(path: string, overrides: readonly string[] = []): Promise<ConfigError> {
  return loadExperiment(path, overrides).then(
    () => Promise.reject(new Error(`accepted ${path}`)),
    error => (error instanceof ConfigError ? error : Promise.reject(error)),
  )
}

t.test('mnist.json has the reference settings, a bare data set the defaults, in the order of the schema', async t => {
  const { experiment, source, path, baseDir } = await loadExperiment('configs/mnist.json')
  t.equal(JSON.stringify(experiment), JSON.stringify(REFERENCE))
  t.equal(source, readFileSync('configs/mnist.json', 'utf8'))
  t.equal(path, join(process.cwd(), 'configs/mnist.json'))
  t.equal(baseDir, join(process.cwd(), 'configs'))
  const bare = resolveExperiment({ data: { dataset: 'mnist' } })
  t.same(bare.experiment, {
    ...{ ...REFERENCE, name: 'experiment' },
    model: { ...REFERENCE.model, hidden: [256, 128], dropout: 0.1 },
    train: { ...REFERENCE.train, epochs: 40, batchSize: 32, l2: 0 },
  })
  t.equal(bare.path, null)
  t.equal(bare.baseDir, process.cwd())
  t.equal(JSON.parse(bare.source).data.dataset, 'mnist')
  t.equal(resolveExperiment({ data: { dataset: 'mnist' } }, { baseDir: 'configs' }).baseDir, baseDir)
})

t.test('each type fills in its own defaults', async t => {
  const data = { dataset: 'digits' }
  const momentum = resolveExperiment({ data, optimizer: { type: 'momentum' }, schedule: { type: 'constant' } })
  t.same(momentum.experiment.optimizer, { type: 'momentum', learningRate: 0.1, beta1: 0.9, weightDecay: 0 })
  t.same(momentum.experiment.schedule, { type: 'constant', warmup: REFERENCE.schedule.warmup })
  const sgd = resolveExperiment({ data, optimizer: { type: 'sgd' }, schedule: { decayRate: 2 } })
  t.same(sgd.experiment.optimizer, { type: 'sgd', learningRate: 0.1, weightDecay: 0 })
  t.same(sgd.experiment.schedule, { ...REFERENCE.schedule, decayRate: 2 })
  const cosine = resolveExperiment({ data, schedule: { type: 'cosine', warmup: { steps: 9 } } }).experiment.schedule
  t.same(cosine, { type: 'cosine', minimum: 0, per: 'step', warmup: { epochs: 0, steps: 9, from: 0.1 } })
  const { weightDecay } = resolveExperiment({ data, optimizer: { type: 'adamw' } }).experiment.optimizer as {
    weightDecay: number
  }
  t.equal(weightDecay, 0.01)
  const adam = resolveExperiment({ data, optimizer: { beta2: 0.99 } })
  t.same(adam.experiment.optimizer, { ...REFERENCE.optimizer, beta2: 0.99 })
})

t.test('the result is deeply frozen, and the input is not changed', async t => {
  const input = { data: { dataset: 'digits' }, model: { hidden: [3, 4] } }
  const { experiment } = resolveExperiment(input, { overrides: ['model.hidden.0=9', 'train.epochs=1'] })
  t.same(experiment.model.hidden, [9, 4])
  t.same(input, { data: { dataset: 'digits' }, model: { hidden: [3, 4] } })
  t.throws(() => Reflect.apply(Array.prototype.push, experiment.model.hidden, [1]), TypeError)
  t.notOk(Reflect.set(experiment.train, 'epochs', 5))
  t.notOk(Object.isFrozen(input.model.hidden))
  t.same(resolveExperiment({ data: { dataset: 'digits' } }).experiment.model.hidden, [256, 128])
})

t.test('an experiment without a name is named after its file', async t => {
  const dir = t.testdir()
  for (const [file, name] of [
    ['mine.json', 'mine'],
    ['mine.smoke.json', 'mine.smoke'],
    ['a (2).JSON', 'a -2-'],
    ['.json', 'json'],
    ['no-ending', 'no-ending'],
    ['---.json', 'experiment'],
    [`${'x'.repeat(150)}.json`, 'x'.repeat(100)],
  ]) {
    writeFileSync(join(dir, file), '{"data":{"dataset":"digits"}}')
    t.equal((await loadExperiment(join(dir, file))).experiment.name, name, file)
  }
})

t.test('three mistakes: one error, a line each, in the order of the file', async t => {
  const path = join(t.testdir(), 'three.json')
  writeFileSync(
    path,
    '{\n  "lr": 0.1,\n  "data": { "dataset": "minst" },\n\n  "model": {\n    "hidden": [100,\n      -5]\n  }\n}\n',
  )
  t.equal(
    (await errorFor(path)).message,
    `3 problems in ${path}:\n` +
      '  line 2: unknown key "lr"; did you mean "optimizer.learningRate"?\n' +
      `  line 3: data.dataset is 'minst', expected "digits", "mnist", "fashion-mnist", "idx", "table", "npz", "images" or "memory"; did you mean "mnist"?\n` +
      '  line 7: model.hidden.1 is -5, expected an integer >= 1',
  )
})

t.test('one mistake: file, line and message on one line', async t => {
  const path = join(t.testdir(), 'one.json')
  writeFileSync(path, '{\n  "data": { "dataset": "digits" },\r\n  "train": {}, "train": {}\n}')
  t.equal((await errorFor(path)).message, `${path}:3: key "train" is there twice, expected once`)
  writeFileSync(path, '{\n  "data": { "dataset": "digits", "dataset": "mnist" },\n "a.b": [{"c": 1, "c": 1}]}')
  t.equal(
    (await errorFor(path)).message.replace(/; known at the top.*/, ''),
    `3 problems in ${path}:\n` +
      '  line 2: key "data.dataset" is there twice, expected once\n' +
      '  line 3: key "a.b.0.c" is there twice, expected once\n' +
      '  line 3: unknown key "a.b"',
  )
})

t.test('a byte order mark is skipped, and kept in the source', async t => {
  const path = join(t.testdir(), 'bom.json')
  writeFileSync(path, '\ufeff{"data":{"dataset":"digits"}}')
  const { experiment, source } = await loadExperiment(path)
  t.equal(experiment.data.dataset, 'digits')
  t.equal(source.codePointAt(0), 0xfeff)
})

t.test('files that are not experiments are refused with what they are', async t => {
  const dir = t.testdir()
  const put = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(dir, name), content)
    return join(dir, name)
  }
  const message = async (path: string) => (await errorFor(path)).message.replaceAll(dir, '.')
  t.equal(await message(put('empty.json', '')), './empty.json: the file is empty, expected a JSON object')
  t.equal(await message(put('blank.json', ' \n')), './blank.json: the file is empty, expected a JSON object')
  t.equal(await message(put('list.json', '[]')), './list.json: the experiment is [], expected an object')
  t.match(
    await message(put('u16.json', Buffer.from('\ufeff{}', 'utf16le'))),
    /is not UTF-8.*the byte order mark of UTF-16$/,
  )
  t.match(
    await message(put('gz.json', Buffer.from('1f8b0800', 'hex'))),
    /is not UTF-8.*begins with the bytes 1f8b0800$/,
  )
  t.match(await message(put('big.json', new Uint8Array(5e6))), 'the file is 5000000 bytes long, expected')
  t.match(await message(put('deep.json', '['.repeat(200_000))), 'values are nested too deep')
  t.match(
    await message(dir),
    /^\.: it is a directory, expected an experiment file; it contains \.\/big\.json, .* and \d more$/,
  )
  mkdirSync(join(dir, 'none'))
  t.match(await message(join(dir, 'none')), /it is a directory.*; it contains no \.json file$/)
  t.match(await message(''), "the experiment's path is empty, expected a file")
  t.match(await message(join(dir, 'list.json', 'x')), 'there is no such file')
})

t.test('a missing file: the error suggests a similar one beside it or in configs/, else lists files', async t => {
  const dir = t.testdir({ 'wine.json': '{}' })
  t.equal(
    (await errorFor(join(dir, 'wines.json'))).message,
    `${dir}/wines.json: there is no such file; did you mean ${dir}/wine.json?`,
  )
  t.equal((await errorFor('minst.json')).message, 'minst.json: there is no such file; did you mean configs/mnist.json?')
  t.equal((await errorFor('mnist')).message, 'mnist: there is no such file; did you mean configs/mnist.json?')
  t.match(
    (await errorFor('configs/zzzzzz.json')).message,
    /; there are configs\/digits-best\.json, configs\/digits-conv\.json, /,
  )
})

t.test('settings of another data set are refused, not ignored; their default values are accepted', t => {
  for (const [data, path] of [
    [{ dataset: 'table', path: 'x.csv', imageSize: [8, 8] }, 'data.imageSize'],
    [{ dataset: 'mnist', channels: 3 }, 'data.channels'],
    [{ dataset: 'table', path: 'x.csv', background: [0, 0, 0] }, 'data.background'],
    [{ dataset: 'images', path: 'x', npz: { order: 'channels-first' } }, 'data.npz.order'],
    [{ dataset: 'npz', path: 'x.npz', target: 'y' }, 'data.target'],
    [{ dataset: 'npz', path: 'x.npz', testPath: 'y.npz' }, 'data.testPath'],
    [{ dataset: 'digits', testFraction: 0.3 }, 'data.testFraction'],
    [{ dataset: 'images', path: 'x', npz: { trainFeatures: 'a' } }, 'data.npz.trainFeatures'],
    [{ dataset: 'table', path: 'x.csv', preparation: 'mnist' }, 'data.preparation'],
    [{ dataset: 'npz', path: 'x.npz', transpose: true }, 'data.transpose'],
  ] as const) {
    t.throws(
      () => resolveExperiment({ data }),
      { message: new RegExp(`${path} is .*because data\\.dataset is "${data.dataset}"`) },
      path,
    )
  }
  const { experiment } = resolveExperiment({ data: { dataset: 'digits' } })
  t.same(resolveExperiment(experiment).experiment.data, experiment.data)
  t.end()
})

t.test(
  'a retired setting is ignored at its default, as in runs of earlier versions; another value is an unknown setting',
  async t => {
    const csv = { delimiter: 'auto', header: true, label: null, features: null }
    const resolved = (more: object) => resolveExperiment({ data: { dataset: 'digits', csv: { ...csv, ...more } } })
    t.notOk('csv' in resolved({}).experiment.data)
    t.throws(() => resolved({ label: 'a' }), /unknown key "data\.csv"/)
  },
)
