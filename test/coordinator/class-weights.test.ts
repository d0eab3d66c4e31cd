/** Weights of classes: what they mean, their bits, and refusals. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import type { TrainingData } from '../../src/data/memory.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { Predictor } from '../../src/inference/predictor.js'
import { philox } from '../../src/tensor/random.js'

const dir = t.testdir()

const words = new Uint32Array(4)
/** Rows of a frequent and a rare class that overlap. */
const samples = Array.from({ length: 240 }, (_, i) => {
  philox(words, i, 0, 0, 0, 23, 0)
  const [a, b, c] = [...words].map(word => word / 2 ** 32)
  const label = i % 8 === 0 ? 'rare' : 'often'
  return { features: [a + (label === 'rare' ? 0.4 : 0), b, c], label }
})
const dataOf = (rows: typeof samples): TrainingData => ({ rows, test: { rows: samples } })
const data = dataOf(samples)

const experiment = (more: Omit<ExperimentInput, 'data'> = {}) =>
  resolveExperiment({
    // Standardisation would take other means from copies of rows.
    data: { dataset: 'memory', normalise: 'none' },
    model: { hidden: [12], dropout: 0.2 },
    compute: { backend: 'wasm', workers: 2 },
    ...more,
    train: { epochs: 3, batchSize: 50, l2: 0.05, classWeights: 'balanced', ...more.train },
  })
const digestOf = async (more: Omit<ExperimentInput, 'data'>, of = data) =>
  (await train(experiment(more), { runDir: null, data: of })).weightsSha256

t.test('workers 1, 2, 3 and 7: the same bits, which differ from those without class weights', async t => {
  for (const more of [
    {},
    { train: { accumulateSteps: 2 } },
    { train: { clipNorm: 0.5, loss: 'mean-squared-error' as const } },
    { model: { hidden: [12], norm: 'batch' as const } },
  ]) {
    const digests = []
    for (const workers of [1, 2, 3, 7]) digests.push(await digestOf({ ...more, compute: { backend: 'wasm', workers } }))
    t.same(new Set(digests).size, 1, JSON.stringify(more))
    t.not(digests[0], await digestOf({ ...more, train: { ...more.train, classWeights: null } }))
  }
})

t.test('a resumed run has the bits of an uninterrupted one; other class weights are refused on resume', async t => {
  const run = join(dir, 'resumed')
  await train(experiment({ train: { epochs: 2 } }), { runDir: run, data })
  const { summary } = await resume(run, { overrides: ['train.epochs=3'], data })
  t.equal(summary.weightsSha256, await digestOf({}))
  await t.rejects(resume(run, { overrides: ['train.classWeights=null', 'train.epochs=4'], data }), /train.classWeights/)
})

/** Outputs for the first rows after a few steps over all rows at once. */
async function outputsOf(name: string, of: TrainingData, more: Omit<ExperimentInput, 'data'>): Promise<number[]> {
  const run = join(dir, name)
  const settings = {
    ...more,
    model: { hidden: [12], dropout: 0 },
    optimizer: { type: 'sgd' as const, learningRate: 0.5 },
    schedule: { type: 'constant' as const },
    train: { epochs: 20, batchSize: 1000, l2: 0, ...more.train },
  }
  await train(experiment(settings), { runDir: run, data: of })
  const predictor = await Predictor.open(run)
  return [...predictor.predict(samples.slice(0, 20).map(row => row.features)).data]
}
const furthest = (one: number[], other: number[]) => Math.max(...one.map((value, i) => Math.abs(value - other[i])))

for (const compute of [
  { backend: 'wasm' as const, workers: 2 },
  { backend: 'reference' as const, workers: 1 },
  { backend: 'wasm' as const, workers: 2, allReduce: 'buffers' as const },
]) {
  t.test(`a weight of 3 equals three copies of the rows: ${JSON.stringify(compute)}`, async t => {
    const plain = { ...compute, shardRows: 32 }
    const copies = samples.flatMap(row => (row.label === 'rare' ? [row, row, row] : [row]))
    const name = JSON.stringify(compute).replaceAll(/\W/g, '')
    const weighted = await outputsOf(`${name}1`, data, { compute: plain, train: { classWeights: { rare: 3 } } })
    const copied = await outputsOf(`${name}2`, dataOf(copies), { compute: plain, train: { classWeights: null } })
    const none = await outputsOf(`${name}3`, data, { compute: plain, train: { classWeights: null } })
    t.ok(furthest(weighted, copied) < 1e-4, `distance ${furthest(weighted, copied)}`)
    t.ok(furthest(weighted, none) > 0.05, `without weights ${furthest(weighted, none)}`)
  })
}

t.test('the loss is a weighted mean: steps of one sample are the same with and without weights', async t => {
  const settings = (classWeights: ExperimentInput['train']) => ({
    compute: { backend: 'wasm' as const, workers: 1 },
    train: { epochs: 2, batchSize: 1, ...classWeights },
  })
  const weighted = await outputsOf('one1', data, settings({ classWeights: { rare: 3 } }))
  const none = await outputsOf('one2', data, settings({ classWeights: null }))
  t.ok(furthest(weighted, none) < 1e-4, `distance ${furthest(weighted, none)}`)
})

t.test('balanced weights raise the recall of the rare class', async t => {
  const scored = async (classWeights: 'balanced' | null) => {
    const settings = { optimizer: { learningRate: 0.01 }, train: { epochs: 40, l2: 0, classWeights } }
    return (await train(experiment(settings), { runDir: null, data })).test?.balancedAccuracy ?? 0
  }
  const [without, balanced] = [await scored(null), await scored('balanced')]
  t.ok(balanced > without + 0.1, `${balanced}, without weights ${without}`)
})

t.test('the loss of an epoch is a weighted mean; scores are not weighted', async t => {
  // Initial weights of 0 steps: the loss is ln 2 for every row, whatever its weight.
  const settings = { optimizer: { type: 'sgd' as const, learningRate: 1e-9 }, model: { hidden: [12], dropout: 0 } }
  const losses = async (classWeights: ExperimentInput['train']) => {
    const seen: number[] = []
    const onEvent = (event: { type: string; train?: unknown }) => {
      if (event.type === 'epoch') seen.push((event.train as { loss: number }).loss)
    }
    const { train: final } = await train(experiment({ ...settings, train: { epochs: 1, ...classWeights } }), {
      ...{ runDir: null, data, onEvent },
    })
    return { epoch: seen[0], final: final?.loss ?? 0 }
  }
  const [none, onlyRare, scaled] = [
    await losses({ classWeights: null }),
    await losses({ classWeights: { often: 0, rare: 1 } }),
    await losses({ classWeights: { often: 7, rare: 7 } }),
  ]
  t.ok(Math.abs(none.epoch - none.final) < 1e-5, 'without weights the epoch is scored by the same rows')
  t.ok(Math.abs(onlyRare.final - none.final) < 1e-5, 'the final score counts every row the same')
  t.ok(Math.abs(onlyRare.epoch - none.epoch) > 1e-3, 'the epoch counts the rare class alone')
  t.ok(Math.abs(scaled.epoch - none.epoch) < 1e-5, 'a common factor changes nothing')
})

t.test('refused: an unknown class, weights of 0 alone, a regression', async t => {
  const refused = (classWeights: Record<string, number>, message: RegExp) =>
    t.rejects(train(experiment({ train: { classWeights } }), { runDir: null, data }), { message })
  await refused({ rar: 2 }, /train.classWeights has the class 'rar', expected one of memory: 'often', 'rare'/)
  await refused({ rare: 0, often: 0 }, /weights of the training samples add up to 0/)
  t.throws(() => experiment({ train: { classWeights: { rare: -1 } } }), /train.classWeights.*rare/s)
  t.throws(
    () => resolveExperiment({ data: { dataset: 'memory', task: 'regression' }, train: { classWeights: 'balanced' } }),
    /train.classWeights is 'balanced', expected null, because data.task is "regression"/,
  )
})

t.test('a weight column of a table: the same bits for any number of workers; files are scored without it', async t => {
  const path = join(dir, 'weights.csv')
  const line = (more: string) =>
    samples.map(({ features, label }, i) => `${features.join()},${label}${more && `,${i % 3}`}`)
  writeFileSync(path, `a,b,c,label,w\n${line('w').join('\n')}\n`)
  const bare = join(dir, 'bare.csv')
  writeFileSync(bare, `a,b,c,label\n${line('').join('\n')}\n`)
  const digests = []
  for (const [workers, weight] of [
    [1, 'w'],
    [3, 'w'],
    [1, null],
  ] as const) {
    const run = join(dir, `table-${workers}-${weight}`)
    const { weightsSha256 } = await train(
      resolveExperiment({
        data: { dataset: 'table', path, target: 'label', weight, columns: weight ? {} : { w: 'ignore' } },
        model: { hidden: [8] },
        train: { epochs: 2 },
        compute: { backend: 'wasm', workers },
      }),
      { runDir: run },
    )
    digests.push(weightsSha256)
    t.match(await evaluate(run, { dataPath: bare, workers: 1 }), { split: 'all', rows: samples.length })
  }
  t.equal(digests[0], digests[1])
  t.not(digests[0], digests[2])
})
