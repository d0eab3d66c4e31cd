/** Length of a run: early stopping, plateaus, time; and its best epoch. */
import { readlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { NO_EPOCH_YET, scoreOf, stateAfterEpoch, stopsEarly } from '../../src/coordinator/early-stopping.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { eventsIn, eventsOfType } from '../helpers/metrics.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const root = t.testdir({})
const path = writeTinyData(join(root, 'data'))
/** Overfits within a few epochs of 9 steps: the validation loss falls, then rises. */
const experiment = (train: ExperimentInput['train'], more: Partial<ExperimentInput> = {}) =>
  resolveExperiment({
    data: { dataset: 'idx', path, validation: 0.2 },
    model: { hidden: [64, 32], dropout: 0.4 },
    optimizer: { type: 'adam', learningRate: 0.02 },
    compute: { backend: 'wasm', workers: 2 },
    checkpoint: { bestMetric: 'validation-loss', keepLast: 1 },
    ...more,
    train: { epochs: 60, batchSize: 50, l2: 0, ...train },
  })
const epochsIn = (runDir: string) => eventsOfType(runDir, 'epoch')

t.test('early stopping: ends after patience epochs without a better score, with the weights of the best', async t => {
  const runDir = join(root, 'early')
  const loaded = experiment({ earlyStopping: { patience: 3 } })
  const summary = await train(loaded, { runDir })
  const losses = epochsIn(runDir).map(({ validation }) => validation!.loss)
  const best = losses.indexOf(Math.min(...losses))
  t.match(summary, { status: 'completed', stopped: 'early', epochs: best + 1 + 3, weightsStep: 9 * (best + 1) })
  t.equal(losses.length, best + 4)
  t.equal(summary.checkpoint, `checkpoints/step-${9 * (best + 1)}.safetensors`)
  t.equal(readlinkSync(join(runDir, 'checkpoints', 'best')), `step-${9 * (best + 1)}.safetensors`)
  t.equal(summary.validation!.loss, losses[best], 'scored with the weights of the best epoch')
  const inMemory = await train(loaded, { runDir: null })
  t.strictSame([inMemory.weightsSha256, inMemory.test], [summary.weightsSha256, summary.test], 'without files too')
  const last = await train(experiment({ earlyStopping: { patience: 3, restoreBest: false } }), { runDir: null })
  t.equal(last.steps, summary.steps)
  t.equal(last.weightsStep, undefined)
  t.not(last.weightsSha256, summary.weightsSha256)
  t.match(await reproduce(runDir), { identical: true })
  t.match(await resume(runDir), { trained: false }, 'it is finished')

  t.test('a run stopped in the middle and resumed stops early at the same epoch', async t => {
    const stoppedDir = join(root, 'early-stopped')
    const stop = new AbortController()
    await train(loaded, {
      runDir: stoppedDir,
      signal: stop.signal,
      onEvent: event => {
        if (event.type === 'epoch' && event.epoch === best + 2) stop.abort()
      },
    })
    const { summary: resumed } = await resume(stoppedDir, { overrides: ['compute.workers=1'] })
    t.strictSame(
      [resumed.weightsSha256, resumed.steps, resumed.stopped],
      [summary.weightsSha256, summary.steps, 'early'],
    )
  })
})

t.test('the best epoch does not depend on minDelta, with and without a directory', async t => {
  const runDir = join(root, 'delta')
  // Every gain after the first epoch is too small to count, so the run ends after 4 epochs, of which the first is not the best.
  const loaded = experiment({ earlyStopping: { patience: 3, minDelta: 100 } })
  const summary = await train(loaded, { runDir })
  const losses = epochsIn(runDir).map(({ validation }) => validation!.loss)
  const best = losses.indexOf(Math.min(...losses))
  t.ok(best > 0, `validation losses ${losses}`)
  t.match(summary, { stopped: 'early', epochs: 4, weightsStep: best === 3 ? undefined : 9 * (best + 1) })
  const { weightsSha256, validation } = await train(loaded, { runDir: null })
  t.strictSame([weightsSha256, validation], [summary.weightsSha256, summary.validation])
})

t.test(
  'plateau: the learning rate falls after so many epochs without a better score, the same when resumed',
  async t => {
    const runDir = join(root, 'plateau')
    const schedule = { type: 'plateau', patience: 2, factor: 0.25, minimum: 0.1 } as const
    const loaded = experiment({ epochs: 14 }, { schedule })
    const summary = await train(loaded, { runDir })
    const epochs = epochsIn(runDir)
    let [best, waited, rate] = [Number.POSITIVE_INFINITY, 0, 0.02]
    for (const { epoch, learningRate, validation } of epochs) {
      t.equal(learningRate, rate, `epoch ${epoch}`)
      if (validation!.loss < best) [best, waited] = [validation!.loss, 0]
      else if (++waited === 2) [waited, rate] = [0, Math.max(rate * 0.25, 0.02 * 0.1)]
    }
    t.ok(rate < 0.02, 'it fell')
    const stoppedDir = join(root, 'plateau-stopped')
    const stop = new AbortController()
    await train(loaded, {
      runDir: stoppedDir,
      signal: stop.signal,
      onEvent: event => {
        if (event.type === 'epoch' && event.epoch === 9) stop.abort()
      },
    })
    t.equal((await resume(stoppedDir)).summary.weightsSha256, summary.weightsSha256)
  },
)

t.test('scores between epochs; the limit on time', async t => {
  const runDir = join(root, 'scores')
  const plain = await train(experiment({ epochs: 2 }), { runDir: null })
  const scored = await train(experiment({ epochs: 2, evaluateEverySteps: 4 }), { runDir })
  t.equal(scored.weightsSha256, plain.weightsSha256, 'looking changes nothing')
  const evaluations = eventsIn(runDir).flatMap(event => (event.type === 'evaluation' ? [event.step] : []))
  t.strictSame(evaluations, [4, 8, 12, 16])
  const epochs = epochsIn(runDir).map(({ train }) => train!.loss)
  t.equal(epochs.length, 2)
  const timed = await train(experiment({ epochs: 100_000, stopAfterSeconds: 0.3 }), { runDir: null })
  t.match(timed, { status: 'completed', stopped: 'time' })
  t.ok(timed.seconds >= 0.3 && timed.epochs < 100_000)
})

t.test('bestMetric decides which epoch is the best', async t => {
  const scores = { train: { loss: 2, accuracy: 0.5 }, validation: { loss: 3, accuracy: 0.25 } }
  const { checkpoint, data } = experiment({}).experiment
  const value = (
    bestMetric: typeof checkpoint.bestMetric,
    of: Parameters<typeof scoreOf>[1] = scores,
    task: typeof data.task = 'classification',
  ) => scoreOf({ data: { ...data, task }, checkpoint: { ...checkpoint, bestMetric } }, of).value
  t.strictSame(
    [value('auto'), value('validation-accuracy'), value('validation-loss'), value('train-loss')],
    [0.25, 0.25, -3, -2],
  )
  t.equal(value('auto', { ...scores, validation: undefined }), -2)
  t.equal(value('auto', scores, 'regression'), -3)
  const notFinite = { train: null, validation: null }
  t.strictSame(
    [value('auto', notFinite), value('validation-loss', notFinite), value('train-loss', notFinite)],
    [null, null, null],
  )
  t.equal(value('auto', { train: scores.train, validation: null }), null, 'not the training loss in its place')
  const { experiment: patient } = experiment({ earlyStopping: { patience: 2, minDelta: 0.5 } })
  const after = [NO_EPOCH_YET]
  for (const [i, value] of [1, 1.4, 1.6, 1.7, 1.8].entries()) {
    after.push(stateAfterEpoch(after[i], patient, i, value))
  }
  t.strictSame(
    after.slice(1).map(({ waited }) => waited),
    [0, 1, 0, 1, 2],
    'better by less than minDelta is not better',
  )
  t.strictSame(
    after.map(state => stopsEarly(state, patient)),
    [false, false, false, false, false, true],
  )
  let state = stateAfterEpoch(NO_EPOCH_YET, patient, 1, null)
  t.strictSame([state.best, state.waited], [null, 1], 'an epoch without a score is not the best, even of one')
  state = stateAfterEpoch(stateAfterEpoch(state, patient, 2, -5), patient, 3, null)
  t.strictSame([state.best, state.waited], [{ step: 2, value: -5 }, 1])
})
