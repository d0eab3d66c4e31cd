/** Runs on tables: the same bits for any number of workers, exact resume, and the model's encoding wherever it is used. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { loadTestSamples } from '../../src/inference/examples.js'
import { Predictor } from '../../src/inference/predictor.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'

const dir = t.testdir()
const path = join(dir, 'birds.csv')
/** A number with gaps, a category with gaps, hashed names, a date; the class follows from number and category. */
const row = (i: number) => {
  const mass = i % 11 === 0 ? '' : 3000 + ((i * 37) % 1000)
  const island = ['Dream', 'Biscoe', ''][i % 3]
  return [
    mass,
    island,
    `name ${i % 40}`,
    `2020-0${(i % 9) + 1}-01`,
    Number(mass) > 3500 || island === '' ? 'big' : 'small',
  ]
}
const rows = Array.from({ length: 211 }, (_, i) => row(i))
writeFileSync(path, `mass,island,name,seen,kind\n${rows.map(each => each.join(',')).join('\n')}\n`)

const experiment = (more: Partial<ExperimentInput> = {}, data = {}) =>
  resolveExperiment({
    data: {
      dataset: 'table',
      path,
      validation: 0.2,
      categories: { max: 8, buckets: 4 },
      numbers: { bins: 4, limit: 3 },
      ...data,
    },
    model: { hidden: [12], dropout: 0.2 },
    train: { epochs: 4, batchSize: 16 },
    optimizer: { type: 'adamw', learningRate: 0.01, weightDecay: 'auto' },
    compute: { backend: 'wasm', workers: 2 },
    ...more,
  })
const run = join(dir, 'run')
const summary = await train(experiment(), { runDir: run })

t.test('workers 1, 2, 3 and 7, stopped and resumed, reproduced: the same bits', async t => {
  for (const workers of [1, 3, 7]) {
    const { weightsSha256 } = await train(experiment({ compute: { backend: 'wasm', workers } }), { runDir: null })
    t.equal(weightsSha256, summary.weightsSha256, `${workers} workers`)
  }
  const stopped = join(dir, 'stopped')
  await train(experiment({ train: { epochs: 2, batchSize: 16 } }), { runDir: stopped })
  const { summary: resumed } = await resume(stopped, { overrides: ['train.epochs=4'] })
  t.equal(resumed.weightsSha256, summary.weightsSha256)
  const of = async (folder: string, file: string) => (await readCheckpoint(join(folder, file))).input!.table
  t.same(await of(stopped, resumed.checkpoint!), await of(run, summary.checkpoint!))
  t.match(await reproduce(run), { identical: true })
})

t.test('splits do not depend on the seed; the task is recorded', async t => {
  const rowsOf = async (seed: number) => {
    const folder = join(dir, `seed-${seed}`)
    await train(experiment({ seed, train: { epochs: 0 } }), { runDir: folder })
    return (await loadTestSamples(await Predictor.open(folder))).features
  }
  t.same(await rowsOf(1), await rowsOf(2))
  t.equal(JSON.parse(readFileSync(join(run, 'resolved.json'), 'utf8')).data.task, 'classification')
})

t.test('all rows of another file, columns in any order; rows by name; from the model on other data', async t => {
  const other = join(dir, 'other.csv')
  const part = rows.slice(0, 60).map(([mass, island, name, seen, kind]) => [kind, 'x', seen, island, mass, name])
  writeFileSync(other, `kind,extra,seen,island,mass,name\n${part.map(each => each.join(',')).join('\n')}\n`)
  const scored = await evaluate(run, { dataPath: other })
  t.match(scored, { rows: 60, ignoredColumns: ['extra'] })
  const predictor = await Predictor.open(run)
  const found = predictor.predictClasses(
    rows.slice(0, 60).map(([mass, island, name, seen]) => ({ mass, island: island || null, name, seen })),
  )
  t.equal(found.filter(({ className }, i) => className === rows[i][4]).length, scored.correct)
  const folder = join(dir, 'from')
  await train(experiment({ train: { epochs: 0 } }, { path: other, validation: 0 }), { runDir: folder, from: run })
  t.same(await evaluate(folder, { dataPath: other }), scored, 'the same model')
  writeFileSync(other, 'kind,mass,seen,name\nbig,1,2020-01-01,a\n')
  await t.rejects(evaluate(run, { dataPath: other }), { message: /other\.csv: has no column 'island', expected all/ })
})

t.test('fractional targets are a regression by default; unsupported settings are refused before the start', async t => {
  const file = join(dir, 'line.csv')
  writeFileSync(
    file,
    `x,y\n${Array.from({ length: 60 }, (_, i) => `${(i * 7) % 60},${((i * 7) % 60) * 2.5}`).join('\n')}\n`,
  )
  const of = (checkpoint = {}) =>
    train(experiment({ checkpoint, train: { epochs: 30, batchSize: 8, labelSmoothing: 0.1 } }, { path: file }), {
      runDir: null,
    })
  t.ok((await of()).test!.r2! > 0.8)
  const [first, second] = [join(dir, 'line'), join(dir, 'line again')]
  await train(experiment({ train: { epochs: 1, batchSize: 8 } }, { path: file }), { runDir: first })
  await train(experiment({ train: { epochs: 0 } }, { path: file }), { runDir: second, from: first })
  t.same(await evaluate(second), await evaluate(first), 'from a model whose task followed from its data')
  await t.rejects(of({ bestMetric: 'validation-accuracy' }), { name: 'ConfigError', message: /bestMetric/ })
})
