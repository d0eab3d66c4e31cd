/** Training rows that are not all in memory: the same bits for any number of workers, and after a stop; scores of all rows. */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { Spool } from '../../src/coordinator/spool.js'
import { evaluate } from '../../src/inference/evaluate.js'
import type { TrainEvent } from '../../src/run/events.js'

const dir = t.testdir()
const path = join(dir, 'rows.csv')
const ROWS = 1500
/** Sorted by class, as files often are. */
const line = (i: number) => {
  const label = i < ROWS / 2 ? 'low' : 'high'
  const x = (i * 37) % 101
  return `${label === 'low' ? x : x + 60},${(i * 53) % 17},${['red', 'blue', 'green'][i % 3]},${label}`
}
writeFileSync(path, `x,y,colour,level\n${Array.from({ length: ROWS }, (_, i) => line(i)).join('\n')}\n`)

const experiment = (more: Partial<ExperimentInput> = {}, data = {}) =>
  resolveExperiment({
    data: { dataset: 'table', path, validation: 0.1, stream: 'always', windowRows: 200, ...data },
    model: { hidden: [12], dropout: 0.2, inputDropout: 0.1 },
    train: { epochs: 4, batchSize: 32, classWeights: 'balanced' },
    optimizer: { learningRate: 0.01 },
    compute: { backend: 'wasm', workers: 2 },
    ...more,
  })
const run = join(dir, 'run')
const events: TrainEvent[] = []
const summary = await train(experiment(), { runDir: run, onEvent: event => events.push(event) })

t.test('workers 1, 2, 3 and 7, buffers, stopped within an epoch and resumed, reproduced: the same bits', async t => {
  for (const workers of [1, 3, 7]) {
    const { weightsSha256 } = await train(experiment({ compute: { backend: 'wasm', workers } }), { runDir: null })
    t.equal(weightsSha256, summary.weightsSha256, `${workers} workers`)
  }
  const stopped = join(dir, 'stopped')
  const stop = new AbortController()
  await train(experiment(), {
    runDir: stopped,
    signal: stop.signal,
    // 34 steps an epoch, 6 a window: within the third window of the second epoch
    onEvent: event => void (event.type === 'steps' && event.step >= 47 && stop.abort()),
  })
  const { summary: resumed } = await resume(stopped)
  t.equal(resumed.weightsSha256, summary.weightsSha256)
  t.match(await reproduce(run), { identical: true })
})

t.test('every training row is in the sums of an epoch, and the scores are those of the rows in memory', async t => {
  const epoch = events.find(event => event.type === 'epoch')
  t.match(epoch, { type: 'epoch', step: Math.ceil(1080 / 32) })
  t.ok(summary.test!.accuracy! > 0.7, `test accuracy ${summary.test!.accuracy}`)
  // The final scores of a run, and those of its checkpoint with all rows in memory.
  for (const split of ['validation', 'test'] as const) {
    const score = await evaluate(run, { split })
    t.equal(score.accuracy, summary[split]!.accuracy, split)
    t.ok(Math.abs(score.loss! - summary[split]!.loss!) < 1e-6, split)
  }
})

t.test('without weights and dropout, one step for all rows: the loss of the rows in memory', async t => {
  const first = async (stream: 'always' | 'never') => {
    const { train: score } = await train(
      experiment(
        { model: { hidden: [8] }, train: { epochs: 0 } },
        { stream, windowRows: stream === 'always' ? 130 : null },
      ),
      { runDir: null },
    )
    return score!
  }
  const [streamed, inMemory] = [await first('always'), await first('never')]
  t.equal(streamed.accuracy, inMemory.accuracy)
  t.ok(Math.abs(streamed.loss! - inMemory.loss!) < 1e-9, `${streamed.loss}, ${inMemory.loss}`)
})

t.test('regression, shards, gradient accumulation', async t => {
  const of = (workers: number) =>
    train(
      experiment(
        {
          train: { epochs: 2, batchSize: 16, accumulateSteps: 3 },
          compute: { backend: 'wasm', workers, shardRows: 8 },
        },
        { target: 'x', task: 'regression' },
      ),
      { runDir: null },
    )
  t.equal((await of(1)).weightsSha256, (await of(3)).weightsSha256)
})

t.test('the spool file is removed at the end', async t => {
  t.strictSame(
    readdirSync(run).filter(name => name.includes('.rows')),
    [],
  )
})

t.test('a spool reads back what was written, and reports a full disk with its place', async t => {
  const spool = await Spool.create(dir, 5, 3)
  await spool.append(Float32Array.from([1, 2, 3, 4, 5, 6]))
  await spool.append(Float32Array.from([7, 8, 9]))
  const into = new Float32Array(6)
  spool.read(1, into)
  t.strictSame([...into], [4, 5, 6, 7, 8, 9])
  t.throws(() => spool.read(2, new Float32Array(6)), { message: /ends at row 3, expected row/ })
  await spool.close()
  await t.rejects(Spool.create(dir, 1e14, 100), { message: /free, expected/, hint: /--run-dir/ })
  await t.rejects(Spool.create(join(dir, 'nowhere'), 1, 1), { message: /cannot be created/ })
})
