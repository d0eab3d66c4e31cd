/** The library: train, evaluate and read back, on a small data set, from experiment to files. */
import { mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { evaluate, loadExperiment, readParameters, resolveExperiment, type TrainEvent, train } from '../../src/index.js'
import { weightsSha256 } from '../../src/run/checkpoint-file.js'
import { TINY, writeTinyData } from '../helpers/tiny-data.js'

const root = t.testdir()
writeTinyData(join(root, 'data'))
const input = {
  name: 'tiny',
  data: { dataset: 'idx', path: 'data', validation: 0.1 },
  model: { hidden: [24], dropout: 0.1 },
  train: { epochs: 8, batchSize: 50 },
  optimizer: { type: 'adam', learningRate: 0.01 },
  compute: { workers: 2, shardRows: 25 },
}
const tiny = (more: object = {}) => resolveExperiment({ ...input, ...more }, { baseDir: root })

t.test('a run learns and emits events, and its directory records the same', async t => {
  const runDir = join(root, 'learned')
  const events: TrainEvent[] = []
  const summary = await train(tiny(), { runDir, onEvent: event => events.push(event) })
  t.match(summary, { status: 'completed', epochs: 8, workers: 2, allReduce: 'fused', shardRows: 25, seed: 1 })
  t.ok(summary.test && summary.test.accuracy! > 0.9, `accuracy ${summary.test?.accuracy}`)
  const trained = events.find(event => event.type === 'start')?.rows.train ?? 0
  t.equal(summary.rowsSeen, 8 * trained)
  t.equal(summary.steps, 8 * Math.ceil(trained / 50))
  t.equal(summary.parameters, 35 * 24 + 24 + 24 * TINY.classes + TINY.classes)

  const lines = readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').trim().split('\n')
  const kinds = lines.map(line => (JSON.parse(line) as TrainEvent).type)
  t.equal(kinds[0], 'start')
  t.equal(kinds.at(-1), 'end')
  t.equal(kinds.filter(kind => kind === 'epoch').length, 8)
  t.notOk(kinds.includes('progress'), 'what is shown is not stored')
  const { history, runDir: reported, ...stored } = summary
  t.strictSame(JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8')), stored)
  t.equal(history.length, 8)
  t.equal(reported, runDir)
  const manifest = JSON.parse(readFileSync(join(runDir, 'manifest.json'), 'utf8'))
  t.match(manifest, {
    backend: { name: summary.backend },
    workers: 2,
    data: { dataset: 'idx', rows: { train: trained } },
  })
  t.equal(manifest.data.files.length, 4)

  for (const [split, score] of [
    ['test', summary.test],
    ['train', summary.train],
    ['validation', summary.validation],
  ] as const) {
    t.hasStrict(await evaluate(runDir, { split, workers: 3 }), score, `evaluate scores ${split} as the run did`)
  }

  const parameters = await readParameters(join(runDir, summary.checkpoint ?? ''))
  t.strictSame(
    [...parameters].map(([name, { shape }]) => [name, ...shape]),
    [
      ['layers.0.weight', 35, 24],
      ['layers.0.bias', 24],
      ['layers.1.weight', 24, 4],
      ['layers.1.bias', 4],
    ],
  )
  const weights = [...parameters].map(([name, { shape, data }]) => ({ name, shape, data }))
  t.equal(await weightsSha256(weights), summary.weightsSha256)
})

t.test('epochs: 0 writes the He-normal weights and stops', async t => {
  const runDir = join(root, 'initial')
  const wide = { model: { hidden: [400] }, train: { epochs: 0 } }
  t.match(await train(tiny(wide), { runDir }), { status: 'completed', steps: 0, rowsSeen: 0, samplesPerSecond: 0 })
  const parameters = await readParameters(runDir)
  const { data } = parameters.get('layers.0.weight')!
  const mean = data.reduce((sum, w) => sum + w, 0) / data.length
  const variance = data.reduce((sum, w) => sum + (w - mean) ** 2, 0) / data.length
  t.equal(data.length, 35 * 400)
  t.ok(Math.abs(mean) < 4 * Math.sqrt(2 / 35 / data.length), `mean ${mean}`)
  t.ok(Math.abs(variance / (2 / 35) - 1) < 4 * Math.sqrt(2 / data.length), `variance ${variance} is 2 / 35`)
  t.ok(parameters.get('layers.0.bias')!.data.every(bias => bias === 0))
})

t.test('an experiment file in another folder: evaluate finds data with a relative path', async t => {
  const dir = join(root, 'elsewhere')
  mkdirSync(dir)
  const file = join(dir, 'mine.json')
  const { writeFile } = await import('node:fs/promises')
  await writeFile(file, JSON.stringify({ ...input, data: { dataset: 'idx', path: '../data' } }))
  const runDir = join(root, 'run-of-elsewhere')
  const { test } = await train(await loadExperiment(file, ['train.epochs=1']), { runDir })
  t.match(await evaluate(runDir), { rows: TINY.test, accuracy: test?.accuracy })
  const moved = join(root, 'moved-run')
  renameSync(runDir, moved)
  t.match(await evaluate(moved), { accuracy: test?.accuracy }, 'a run directory can be moved')
  await t.rejects(evaluate(moved, { split: 'validation' }), {
    name: 'ConfigError',
    message: /the validation split is empty/,
  })
})

t.test('more classes than a panel is wide, and a batch larger than the data', async t => {
  const path = writeTinyData(join(root, 'many'), { ...TINY, train: 300, classes: 31, height: 31, width: 4 })
  const many = resolveExperiment({
    data: { dataset: 'idx', path },
    model: { hidden: [50] },
    train: { epochs: 30, batchSize: 1000 },
    optimizer: { type: 'adam', learningRate: 0.01 },
    schedule: { type: 'constant' },
  })
  const { steps, test } = await train(many, { runDir: null })
  t.equal(steps, 30, 'one step an epoch')
  t.ok(test && test.accuracy! > 0.5, `accuracy ${test?.accuracy}`)
})
