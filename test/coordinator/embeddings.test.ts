/** Runs with embedded categories: the same bits for any number of workers, exact resume, and the same model wherever it is used. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { exportWeights } from '../../src/export/export.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { Predictor } from '../../src/inference/predictor.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'
import { nativeCandidates } from '../helpers/native.js'

const dir = t.testdir()
const path = join(dir, 'sales.csv')
/** Two columns of many categories, one of them with gaps, a small category, and a number; the class follows from the shop. */
const shopOf = (i: number) => (i * i * 7 + i) % 61
const isGood = (shop: number) => (shop * 37) % 5 < 2
const row = (i: number) => [
  `shop ${shopOf(i)}`,
  i % 13 === 0 ? '' : `zip ${(i * 31) % 90}`,
  ['north', 'south'][i % 2],
  (i * 37) % 1000,
  isGood(shopOf(i)) ? 'good' : 'bad',
]
const rows = Array.from({ length: 400 }, (_, i) => row(i))
const write = (file: string, of: readonly (readonly unknown[])[]) =>
  writeFileSync(file, `shop,zip,side,size,kind\n${of.map(each => each.join(',')).join('\n')}\n`)
write(path, rows)

const base = {
  data: { dataset: 'table', path, validation: 0.1, categories: { max: 8, above: 'embed' } },
  model: { hidden: [12], dropout: 0.2 },
  train: { epochs: 3, batchSize: 32 },
  optimizer: { type: 'adam', learningRate: 0.01 },
  compute: { backend: 'wasm', workers: 2 },
} satisfies ExperimentInput
const experiment = (more: Partial<ExperimentInput> = {}) => resolveExperiment({ ...base, ...more })
const digestOf = async (more: Partial<ExperimentInput> = {}) =>
  (await train(experiment(more), { runDir: null })).weightsSha256
const run = join(dir, 'run')
const summary = await train(experiment(), { runDir: run })

t.test('workers 1, 3 and 7, stopped and resumed, reproduced: the same bits', async t => {
  for (const workers of [1, 3, 7]) {
    t.equal(await digestOf({ compute: { backend: 'wasm', workers } }), summary.weightsSha256, `${workers} workers`)
  }
  const stopped = join(dir, 'stopped')
  await train(experiment({ train: { epochs: 1, batchSize: 32 } }), { runDir: stopped })
  const { summary: resumed } = await resume(stopped, { overrides: ['train.epochs=3', 'compute.workers=3'] })
  t.equal(resumed.weightsSha256, summary.weightsSha256)
  t.match(await reproduce(run), { identical: true })
})

t.test('every setting of a step: the same bits for 1 and 3 workers, a third of them after a resume too', async t => {
  const cases: Partial<ExperimentInput>[] = [
    { optimizer: { type: 'momentum', learningRate: 0.1 } },
    { optimizer: { type: 'lion' }, train: { ...base.train, clipValue: 0.001 } },
    { optimizer: { type: 'adamw', weightDecay: 0.1 } },
    { train: { ...base.train, l2: 0.1, maxNorm: 1 } },
    { train: { ...base.train, accumulateSteps: 2, clipNorm: 0.05, ema: { decay: 0.9 } } },
    { train: { ...base.train, classWeights: 'balanced' } },
    { model: { hidden: [12], inputDropout: 0.2 } },
    { model: { hidden: [12, 7], norm: 'batch' } },
    { model: { hidden: [] } },
    { data: { ...base.data, categories: { max: 1, above: 'embed', embeddingSize: 3 } } },
  ]
  const seen = new Map([[summary.weightsSha256, ['the run']]])
  for (const [i, more] of cases.entries()) {
    const what = JSON.stringify(more)
    const one = await digestOf({ ...more, compute: { backend: 'wasm', workers: 1, shardRows: 32 } })
    t.equal(await digestOf({ ...more, compute: { backend: 'wasm', workers: 3, shardRows: 9 } }), one, what)
    seen.set(one, [...(seen.get(one) ?? []), what])
    if (i % 3 !== 0) continue
    const folder = join(dir, `case-${i}`)
    await train(experiment({ ...more, train: { ...base.train, ...more.train, epochs: 2 } }), { runDir: folder })
    const { summary: resumed } = await resume(folder, { overrides: ['train.epochs=3'] })
    t.equal(resumed.weightsSha256, one, `resumed: ${what}`)
  }
  t.same(
    [...seen.values()].filter(alike => alike.length > 1),
    [],
    'every setting matters',
  )
})

t.test('averages are scored in place of the vectors, by the run and by commands that open it', async t => {
  const folder = join(dir, 'averages')
  const averaged = await train(experiment({ train: { ...base.train, ema: { decay: 0.9 } } }), { runDir: folder })
  t.equal(averaged.weightsSha256, summary.weightsSha256, 'training does not see them')
  t.not(averaged.test!.loss, summary.test!.loss)
  t.equal((await evaluate(folder)).loss, averaged.test!.loss)
  const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n')
  const epochs = lines.map(line => JSON.parse(line)).filter(({ type }) => type === 'epoch')
  t.equal((await evaluate(folder, { split: 'validation' })).loss, epochs.at(-1).validation.loss, 'while it trains, too')
})

t.test('allReduce "buffers" with one worker sums as the fused form does', async t => {
  const buffers = { backend: 'wasm', workers: 1, allReduce: 'buffers', shardRows: 32 } as const
  t.equal(await digestOf({ compute: buffers }), summary.weightsSha256)
  const two = join(dir, 'buffers')
  const trained = await train(experiment({ compute: { ...buffers, workers: 2 } }), { runDir: two })
  t.equal(await digestOf({ compute: { ...buffers, workers: 2 } }), trained.weightsSha256)
})

const natives = (await nativeCandidates()).map(({ backend, skip }) => ({ name: backend.name, skip }))
for (const { name, skip } of natives) {
  t.test(`${name}: 1, 2, 3 and 7 workers give the same bits, near those of wasm`, { skip }, async t => {
    const one = await train(experiment({ compute: { backend: name, workers: 1 } }), { runDir: null })
    for (const workers of [2, 3, 7]) {
      t.equal(await digestOf({ compute: { backend: name, workers } }), one.weightsSha256, `${workers} workers`)
    }
    t.ok(Math.abs(one.test!.loss - summary.test!.loss) < 1e-3, `loss ${one.test!.loss}, wasm ${summary.test!.loss}`)
  })
}

t.test('the checkpoint has the categories, as the last features, and rows for unknown and missing values', async t => {
  const { input } = await readCheckpoint(join(run, summary.checkpoint!))
  const { columns } = input!.table!
  t.same(
    columns.map(({ column, kind }) => [column, kind]),
    [
      ['side', 'category'],
      ['size', 'number'],
      ['shop', 'embedding'],
      ['zip', 'embedding'],
    ],
  )
  const predictor = await Predictor.open(run)
  t.same(predictor.columnNames, ['side', 'size', 'shop', 'zip'])
  const { shape } = predictor.parameter('embeddings.1.weight')
  const zip = columns[3] as Extract<(typeof columns)[number], { kind: 'embedding' }>
  t.same(shape, [zip.categories.length + 2, zip.size], 'row 0, the categories, the missing')
  const of = (more: object) => {
    const known = { side: 'north', size: 5, shop: 'shop 3', zip: 'zip 4' }
    return [...predictor.predict([{ ...known, ...more }]).data]
  }
  const features = (shop: number, of: number) => {
    const found = predictor.predict(Float32Array.of(1, 0, sizeOf(5), shop, of))
    return [...found.data]
  }
  const size = columns[1] as Extract<(typeof columns)[number], { kind: 'number' }>
  const sizeOf = (value: number) => (value - size.offset) * size.factor
  const shops = (columns[2] as typeof zip).categories
  const place = (shop: string) => 1 + shops.indexOf(shop)
  t.same(of({}), features(place('shop 3'), 1 + zip.categories.indexOf('zip 4')))
  t.same(of({ shop: 'nobody has seen this' }), features(0, 1 + zip.categories.indexOf('zip 4')))
  t.same(of({ shop: null }), features(0, 1 + zip.categories.indexOf('zip 4')), 'no training row lacks a shop')
  t.same(of({ zip: null }), features(place('shop 3'), zip.categories.length + 1))
  t.not(of({ zip: null })[0], of({ zip: 'zip 999' })[0])
  t.throws(() => features(shops.length + 1, 0), {
    name: 'ShapeError',
    message: /feature 3 of sample 0 is \d+, expected a row/,
  })
  t.throws(() => features(0.5, 0), { name: 'ShapeError' })
})

t.test('evaluate, train --from, safetensors and npz have the same model', async t => {
  const other = join(dir, 'other.csv')
  write(other, [...rows.slice(0, 90), ['shop new', '', 'north', 3, 'good']])
  const scored = await evaluate(run, { dataPath: other })
  const predictor = await Predictor.open(run)
  const found = predictor.predictClasses(
    [...rows.slice(0, 90), ['shop new', '', 'north', 3, 'good']].map(([shop, zip, side, size]) => {
      return { shop, zip: zip || null, side, size }
    }) as never,
  )
  t.equal(scored.rows, 91)
  const truth = [...rows.slice(0, 90).map(each => each[4]), 'good']
  t.equal(found.filter(({ className }, i) => className === truth[i]).length, scored.correct)
  const weights = join(dir, 'weights.npz')
  await exportWeights(run, weights)
  const model = join(dir, 'model.safetensors')
  await exportWeights(run, model)
  t.same(await evaluate(model, { dataPath: other }), scored)
  for (const from of [run, model, weights]) {
    const folder = join(dir, `from-${from === run ? 'run' : from.slice(-4)}`)
    const none = experiment({ data: { ...base.data, path: other, validation: 0 }, train: { epochs: 0 } })
    await train(none, { runDir: folder, from })
    t.same(await evaluate(folder, { dataPath: other }), scored, from)
  }
  const fewer = experiment({ data: { ...base.data, path: other, columns: { zip: 'ignore' } } })
  await t.rejects(train(fewer, { runDir: join(dir, 'fewer'), from: weights, fromInput: 'new' }), {
    name: 'DataError',
  })
})

t.test('an embedding learns a target that depends on a category of 1,000 values, and hashing does not', async t => {
  const file = join(dir, 'many.csv')
  const count = 12_000
  const good = (shop: number) => ((shop * 2654435761) >>> 7) % 2 === 0
  const lines = Array.from({ length: count }, (_, i) => {
    const shop = ((i * 7919) >>> 0) % 1000
    return `${(i * 17) % 101},s${shop},${good(shop) ? 'yes' : 'no'}`
  })
  writeFileSync(file, `x,shop,kind\n${lines.join('\n')}\n`)
  const trained = (above: 'embed' | 'hash', workers: number) =>
    train(
      resolveExperiment({
        ...base,
        data: { ...base.data, path: file, categories: { above } },
        train: { epochs: 4, batchSize: 64 },
        compute: { backend: 'wasm', workers },
      }),
      { runDir: null },
    )
  const embedded = await trained('embed', 1)
  t.ok(embedded.test!.accuracy! > 0.98, `embedded ${embedded.test!.accuracy}`)
  t.ok(embedded.parameters > 900 * 50, 'a table of several ranges')
  t.equal((await trained('embed', 3)).weightsSha256, embedded.weightsSha256, '3 workers')
  const hashed = (await trained('hash', 1)).test!.accuracy!
  t.ok(hashed < 0.8, `hashed ${hashed}`)
})

t.test('the start line lists the embedding tables; the experiment has the setting', async t => {
  const start = readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .map(line => line && JSON.parse(line))[0]
  const { columns } = (await readCheckpoint(join(run, summary.checkpoint!))).input!.table!
  const shapes = columns.flatMap(each =>
    each.kind === 'embedding' ? [{ rows: 1 + each.categories.length + (each.missing ? 1 : 0), size: each.size }] : [],
  )
  t.equal(shapes.length, 2)
  t.same(start.embeddings, shapes)
  t.equal(start.widths[0], 3 + start.embeddings[0].size + start.embeddings[1].size)
})
