import t from 'tap'
import { RunCurves } from '../../src/serve/pages/curves.js'
import type { StoredEvent } from '../../src/serve/protocol.js'
import { epoch, progress, start as startOfMany, summary } from '../cli/events.js'

const { experiment } = startOfMany
const start = { ...startOfMany, experiment: { ...experiment, train: { ...experiment.train, epochs: 10 } } }

const time = (second: number) => new Date(1e12 + 1000 * second).toISOString()
const steps = (step: number, second: number, more: object = {}): StoredEvent => ({
  ...{ type: 'steps', time: time(second), from: step - 21, step, epoch: 1, loss: 0.5, accuracy: 0.8 },
  ...{ learningRate: 0.001, samplesPerSecond: 1000, ...more },
})

t.test('curves are plotted over epochs; validation has its own curve; values that are not finite are gaps', async t => {
  const run = new RunCurves()
  run.add([
    { ...start, time: time(0) },
    steps(21, 1),
    steps(42, 2, { loss: 'NaN' }),
    { ...epoch, time: time(3), step: 63, validation: { loss: 0.4, accuracy: 0.9 } },
  ])
  t.same(run.curves.loss.training, [
    { x: 1 / 3, y: 0.5 },
    { x: 2 / 3, y: null },
  ])
  t.same(run.curves.accuracy.validation, [{ x: 1, y: 0.9 }])
  t.match(run, { loss: null, accuracy: 0.8, validation: { accuracy: 0.9 }, step: 63 })
})

t.test('a regression shows R² in place of accuracy in every epoch', async t => {
  const run = new RunCurves()
  const data = { ...experiment.data, task: 'regression' as const }
  run.add([
    { ...start, experiment: { ...start.experiment, data }, time: time(0) },
    steps(21, 1, { accuracy: undefined }),
    { ...epoch, time: time(3), step: 63, train: { loss: 0.5, r2: 0.5 }, validation: { loss: 0.4, r2: 0.6 } },
  ])
  // R² needs all rows of an epoch, so that steps have none.
  t.same(run.curves.accuracy, { training: [{ x: 1, y: 0.5 }], validation: [{ x: 1, y: 0.6 }] })
  t.match(run, { isRegression: true, accuracy: 0.5 })
})

t.test('time left: from the rate of the last lines or from the run; none after its end', async t => {
  const run = new RunCurves()
  t.equal(run.etaSeconds, null)
  run.add([{ ...start, time: time(0) }, steps(21, 10)])
  t.equal(run.etaSeconds, null, 'one line has no pace')
  run.add([steps(42, 20)])
  t.equal(run.steps, 630)
  t.ok(Math.abs(run.etaSeconds! - (588 / 21) * 10) < 1e-6, String(run.etaSeconds))
  run.progress(progress)
  t.match(run, { step: 157, etaSeconds: 12.3, loss: progress.loss })
  t.equal(run.done, 157 / 630)
  run.add([{ type: 'end', time: time(99), summary: { ...summary, steps: 200 } }])
  t.match(run, { etaSeconds: null, done: 1 }, 'one that ended early is done')
  run.progress(progress)
  t.equal(run.etaSeconds, null, 'what comes late changes nothing')
})

t.test('samples/s of a worker follow from its share of the shards', async t => {
  const run = new RunCurves()
  run.add([
    { ...start, time: time(0) },
    steps(21, 1, {
      workers: [
        { computeMs: 80, updateMs: 10, waitMs: 30, tasks: 30 },
        { computeMs: 20, updateMs: 10, waitMs: 70, tasks: 10 },
      ],
    }),
  ])
  t.same(run.workers, [
    { samplesPerSecond: 750, busy: 0.75 },
    { samplesPerSecond: 250, busy: 0.3 },
  ])
})

t.test('a reset removes everything from earlier messages', async t => {
  const run = new RunCurves()
  run.add([{ ...start, time: time(0) }, steps(21, 1), { type: 'end', time: time(2), summary }])
  run.reset()
  t.same(run, new RunCurves())
})
