import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  evaluate,
  findMistakes,
  loadTestSamples,
  Predictor,
  randomIndices,
  readParameters,
  resolveExperiment,
  type Samples,
  train,
} from '../../src/index.js'
import { listBackends } from '../../src/kernels/backends.js'
import fc from '../helpers/fast-check.js'
import { writeTinyData } from '../helpers/tiny-data.js'
import { trainDigits } from './trained.js'

const runDir = await trainDigits(join(t.testdir(), 'run'))
const predictor = await Predictor.open(runDir)
const test = await loadTestSamples(predictor)
const F = 784

t.test('the accuracy on the test split is that of evaluate, exactly', async t => {
  const { correct, rows, accuracy } = await evaluate(runDir)
  const right = predictor.predictClasses(test.features).filter(({ label }, i) => label === test.labels[i]).length
  t.equal(test.rows, rows)
  t.equal(right, correct)
  t.ok(accuracy! > 0.9, `the network learned something: ${accuracy}`)
  t.equal(findMistakes(predictor, test).length, rows - correct!)
})

t.test('the prediction of an image does not depend on the others in the call', async t => {
  const all = predictor.predict(test.features)
  t.same(all.shape, [test.rows, 10])
  let cases = 0
  fc.assert(
    fc.property(fc.integer({ min: 0, max: test.rows - 1 }), fc.integer({ min: 1, max: 130 }), (first, count) => {
      const last = Math.min(first + count, test.rows)
      const some = predictor.predict(test.features.subarray(first * F, last * F))
      cases++
      return Buffer.from(some.data.buffer).equals(Buffer.from(all.data.slice(first * 10, last * 10).buffer))
    }),
    { numRuns: 40 },
  )
  t.equal(cases, 40)
})

t.test(
  'activations: computed again in plain loops, relative error below 1e-5; the output is the probabilities',
  async t => {
    const parameters = await readParameters(runDir)
    const images = test.features.subarray(0, 70 * F) // more than a batch
    const layers = predictor.activations(images)
    t.same(
      layers.map(({ layer, kind, values }) => [layer, kind, ...values.shape]),
      [
        [0, 'input', 70, 784],
        [1, 'hidden', 70, 64],
        [2, 'hidden', 70, 30],
        [3, 'output', 70, 10],
      ],
    )
    t.same(layers[3].values.data, predictor.predict(images).data)
    const worst = { input: 0, hidden: 0, output: 0 }
    for (let row = 0; row < 70; row++) {
      let x = Array.from(images.subarray(row * F, (row + 1) * F), pixel => pixel / 255)
      for (const [i, value] of x.entries()) {
        worst.input = Math.max(worst.input, Math.abs(value - layers[0].values.get(row, i)))
      }
      for (let i = 0; i < 3; i++) {
        const weight = parameters.get(`layers.${i}.weight`)!
        const bias = parameters.get(`layers.${i}.bias`)!
        const z = Array.from({ length: weight.shape[1] }, (_, o) =>
          x.reduce((sum, value, k) => sum + value * weight.get(k, o), bias.get(o)),
        )
        const most = Math.max(...z)
        const sum = z.reduce((total, value) => total + Math.exp(value - most), 0)
        x = i < 2 ? z.map(value => Math.max(0, value)) : z.map(value => Math.exp(value - most) / sum)
        const kind = i < 2 ? 'hidden' : 'output'
        const scale = Math.max(1, ...x)
        x.forEach((value, o) => {
          worst[kind] = Math.max(worst[kind], Math.abs(value - layers[i + 1].values.get(row, o)) / scale)
        })
      }
    }
    t.ok(worst.input < 1e-7 && worst.hidden < 1e-5 && worst.output < 1e-5, JSON.stringify(worst))
  },
)

t.test('a prediction is the largest probability, with its name', async t => {
  const [{ label, className, confidence }] = predictor.predictClasses(test.features.subarray(0, F))
  const { data } = predictor.predict(test.features.subarray(0, F))
  t.equal(confidence, Math.max(...data))
  t.equal(data[label], confidence)
  t.equal(className, String(label))
})

t.test('mistakes are ordered by confidence; random indices are distinct and determined by the seed', async t => {
  const mistakes = findMistakes(predictor, test)
  t.ok(
    mistakes.every(({ confidence }, i) => i === 0 || mistakes[i - 1].confidence >= confidence),
    'surest first',
  )
  t.ok(
    mistakes.every(({ label, truth, index }) => label !== truth && truth === test.labels[index]),
    'wrong',
  )
  const some = randomIndices(test, 50, 1)
  t.equal(new Set(some).size, 50)
  t.same(randomIndices(test, 50, 1), some)
  t.notSame(randomIndices(test, 50, 2), some)
  t.equal(randomIndices(test, 1e6, 1).length, test.rows)
})

t.test('a checkpoint file alone is sufficient; parameters have the names and shapes of the file', async t => {
  const { checkpoint } = JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8'))
  const alone = await Predictor.open(join(runDir, checkpoint))
  t.same(alone.predict(test.features).data, predictor.predict(test.features).data)
  t.same(alone.parameter('layers.0.weight').shape, [784, 64])
  t.same(alone.parameter('layers.2.bias').data, (await readParameters(runDir)).get('layers.2.bias')?.data)
  t.throws(() => alone.parameter('layers.9.weight'), /name is 'layers.9.weight', expected one of layers.0.weight, /)
})

t.test('samples as plain arrays give the same predictions; invalid samples are refused with their index', async t => {
  const images = test.features.subarray(0, 3 * F)
  const rows = [0, 1, 2].map(row => [...images.subarray(row * F, (row + 1) * F)])
  t.same(predictor.predict(rows).data, predictor.predict(images).data)
  t.same(predictor.predictClasses([images.subarray(0, F)]), predictor.predictClasses(rows.slice(0, 1)))
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [[rows[0], rows[1].slice(1)], /sample 1 has 783 numbers, expected 784; an image is 28 x 28/],
    [[rows[0].with(5, 256)], /feature 5 of sample 0 is 256, expected an integer from 0 to 255/],
    [[rows[0].with(5, 0.5)], /feature 5 of sample 0 is 0.5, expected an integer/],
    [rows[0], /sample 0 is \d+, expected an array of numbers; an image is 28 x 28/],
    [new Float32Array(F), /are Float32Array, expected uint8/],
    [new Float64Array(F), /samples: is Float64Array, expected Uint8Array, Float32Array or an array of samples/],
    ['image', /samples: is 'image', expected/],
    [null, /samples: is null, expected/],
  ]
  for (const [samples, message] of cases) {
    t.throws(() => predictor.predict(samples as Samples), { name: 'ShapeError', message })
  }
})

t.test('a regression has target names and no classes, a classifier classes and no targets', async t => {
  const run = join(t.testdir(), 'run')
  const features = Array.from({ length: 60 }, (_, i) => [i / 7, (i * 13) % 11])
  const targets = features.map(([a, b]) => [1000 * a + b, b - a])
  await train(
    resolveExperiment({
      data: { dataset: 'memory', task: 'regression' },
      model: { hidden: [8] },
      train: { epochs: 2 },
      compute: { workers: 1, backend: 'wasm' },
    }),
    { data: { features, targets }, runDir: run },
  )
  const regression = await Predictor.open(run)
  const { task, classNames, targetNames, outputNames } = regression
  const names = ['target 0', 'target 1']
  t.strictSame(
    { task, classNames, targetNames, outputNames },
    { task: 'regression', classNames: [], targetNames: names, outputNames: names },
  )
  const { data } = regression.predict(features)
  t.same(
    regression.predictTargets(features),
    features.map((_, row) => ({ 'target 0': data[2 * row], 'target 1': data[2 * row + 1] })),
  )
  t.throws(() => regression.predictClasses(features), {
    name: 'ConfigError',
    message: /predicts targets, expected a network that predicts classes/,
  })
  t.throws(() => regression.predict([[1, Number.NaN]]), { message: /feature 1 of sample 0 is NaN, expected a finite/ })
  t.throws(() => regression.predict([[1, 1e39]]), {
    name: 'ShapeError',
    message: /is 1e\+39, expected a finite number in f32/,
  })
  t.strictSame([predictor.task, predictor.targetNames], ['classification', []])
  t.strictSame(predictor.classNames, predictor.outputNames)
  t.throws(() => predictor.predictTargets(test.features), {
    name: 'ConfigError',
    message: /predicts classes, expected a network that predicts targets/,
  })
  t.same(regression.parameterNames, ['layers.0.weight', 'layers.0.bias', 'layers.1.weight', 'layers.1.bias'])
})

t.test('an unavailable backend: the fastest available one, with a note; an error if the caller named it', async t => {
  const dir = t.testdir()
  const file = join(dir, 'other.safetensors')
  const { source, parameterNames } = predictor
  // The same bytes, but for the backend that the experiment in its header asks for.
  const bytes = readFileSync(source.checkpoint, 'latin1')
  const edited = bytes.replaceAll('\\"backend\\":\\"wasm\\"', '\\"backend\\":\\"blas\\"')
  t.not(edited, bytes)
  writeFileSync(file, edited, 'latin1')
  const before = process.env.GRADLOOM_BLAS
  t.teardown(() => {
    if (before === undefined) delete process.env.GRADLOOM_BLAS
    else process.env.GRADLOOM_BLAS = before
  })
  process.env.GRADLOOM_BLAS = join(dir, 'nowhere.so')
  const elsewhere = await Predictor.open(file)
  const fastest = await Predictor.open(file, { backend: 'auto' })
  t.not(elsewhere.backend.name, 'blas')
  t.equal(elsewhere.backend.name, fastest.backend.name)
  t.match(elsewhere.note, `computed in blas, predictions are computed in ${fastest.backend.name}`)
  t.same(elsewhere.parameterNames, parameterNames)
  const some = test.features.subarray(0, 20 * F)
  t.same(elsewhere.predict(some).data, fastest.predict(some).data)
  await t.rejects(Predictor.open(file, { backend: 'blas' }), { name: 'ConfigError', message: /nowhere/ })
})

t.test('images of another size are refused; an empty list is accepted', async t => {
  t.throws(() => predictor.predictClasses(new Uint8Array(785)), /length is 785, expected a multiple of 784; .* 28 x 28/)
  t.same(predictor.predictClasses(new Uint8Array(0)), [])
  t.same(predictor.predict(new Uint8Array(0)).shape, [0, 10])
})

t.test('a note says if the run was computed in another backend', async t => {
  t.equal(predictor.note, null)
  const dir = t.testdir()
  const data = writeTinyData(join(dir, 'data'))
  const experiment = resolveExperiment({
    data: { dataset: 'idx', path: data },
    model: { hidden: [9] },
    train: { epochs: 1 },
    compute: { workers: 1, backend: 'reference' },
  })
  await train(experiment, { runDir: join(dir, 'run') })
  t.equal((await Predictor.open(join(dir, 'run'))).note, null, 'in the same backend, as evaluate')
  const tiny = await Predictor.open(join(dir, 'run'), { backend: 'wasm' })
  t.match(tiny.note, /the run computed in reference, predictions are computed in wasm/)
  t.same([tiny.height, tiny.width, tiny.classNames, [...tiny.widths]], [7, 5, ['0', '1', '2', '3'], [35, 9, 4]])

  // Without its data, what the checkpoint says.
  writeFileSync(join(data, 't10k-labels-idx1-ubyte'), 'gone')
  const lost = await Predictor.open(join(dir, 'run'))
  t.same([lost.height, lost.width, lost.classNames.length], [7, 5, 4])
  await t.rejects(loadTestSamples(lost), { name: 'DataError' })
})

t.test('every available backend: predictions agree with evaluate, on one thread and on several', async t => {
  let cases = 0
  for (const { name, available } of await listBackends()) {
    for (const activation of ['relu', 'gelu'] as const) {
      if (!available) continue
      const dir = t.testdir()
      const experiment = resolveExperiment({
        data: { dataset: 'digits' },
        model: { hidden: [40, 30], activation },
        train: { epochs: 1, batchSize: 64 },
        compute: { workers: 1, backend: name },
      })
      // The plain loops of float64 take a minute for all digits.
      const run = name === 'reference' ? runDir : join(dir, 'run')
      if (name !== 'reference') await train(experiment, { runDir: run })
      const one = await Predictor.open(run, { backend: name, threads: 2 })
      const features = name === 'reference' ? test.features.slice(0, 600 * F) : test.features
      const outputs = one.predict(features)
      const async = await one.predictAsync(features)
      t.same(async.shape, outputs.shape)
      t.ok(Buffer.from(async.data.buffer).equals(Buffer.from(outputs.data.buffer)), `${name} ${activation}: same bits`)
      if (name !== 'reference') {
        const { loss, correct } = await evaluate(run, { workers: 2 })
        const right = one.predictClasses(features).filter(({ label }, i) => label === test.labels[i]).length
        t.equal(right, correct, `${name} ${activation}: as many are right`)
        let sum = 0
        for (const [i, label] of test.labels.entries()) sum -= Math.log(outputs.data[10 * i + label])
        t.ok(Math.abs(sum / test.rows - loss) < 1e-6 * loss, `${name} ${activation}: loss ${loss}`)
      }
      await one.close()
      cases++
    }
  }
  t.ok(cases >= 2, `${cases} cases`)
})

t.test('threads that share a pass give the bits of one thread, for 1 to 700 rows, with and without zeros', async t => {
  let cases = 0
  for (const { name, available } of await listBackends()) {
    for (const activation of ['relu', 'gelu'] as const) {
      if (!available || name === 'reference') continue
      const run = join(t.testdir(), 'run')
      const experiment = resolveExperiment({
        data: { dataset: 'digits' },
        // Layers of several blocks, of some rows each.
        model: { hidden: [520, 400, 300], activation },
        train: { epochs: 1, batchSize: 256 },
        compute: { workers: 1, backend: name },
      })
      await train(experiment, { runDir: run })
      const { loss } = await evaluate(run, { workers: 2 })
      for (const threads of [2, 3, 7]) {
        const opened = await Predictor.open(run, { backend: name, threads })
        const all = opened.predict(test.features)
        for (const rows of [1, 100, 255, 256, 700]) {
          const features = test.features.subarray(0, rows * F)
          const { data } = opened.predict(features)
          const changed = features.slice()
          const answer = opened.predictAsync(changed)
          changed.fill(0)
          const async = await answer
          if (!Buffer.from(async.data.buffer).equals(Buffer.from(data.buffer))) {
            t.fail(`${name} ${activation}: ${rows} rows in ${threads} threads differ from one thread`)
          }
          cases++
        }
        let sum = 0
        for (const [i, label] of test.labels.entries()) sum -= Math.log(all.data[10 * i + label])
        t.ok(Math.abs(sum / test.rows - loss) < 1e-6 * loss, `${name} ${activation}: the loss that evaluate scores`)
        await opened.close()
      }
    }
  }
  t.ok(cases >= 60, `${cases} cases`)
})

t.test('predictAsync: several calls at a time, samples that change at once, errors, close', async t => {
  const several = await Predictor.open(runDir, { threads: 2 })
  const [first, second] = [test.features.slice(0, 900 * F), test.features.slice(900 * F, 901 * F)]
  const wanted = [several.predict(first).data, several.predict(second).data]
  const answers = [several.predictAsync(first), several.predictAsync(second), several.predictAsync(new Uint8Array(0))]
  first.fill(0)
  second.fill(0)
  const [a, b, none] = await Promise.all(answers)
  t.same([a.data, b.data], wanted)
  t.same(none.shape, [0, 10])
  await t.rejects(several.predictAsync(new Uint8Array(3)), { name: 'ShapeError' })
  const last = several.predictAsync(test.features.subarray(0, F))
  await several.close()
  t.same((await last).shape, [1, 10], 'a call before close is answered')
  t.same(
    (await several.predictAsync(test.features.subarray(0, F))).data,
    wanted[0].slice(0, 10),
    'later calls start anew',
  )
  await several.close()
  await t.rejects(Predictor.open(runDir, { threads: 0 }), { message: /threads is 0, expected an integer from 1/ })
})
