/** `checkpoints/best`: the best epoch of the run, whatever the schedule, and however slow the disk. */
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { Checkpointing, NO_MARKS, type RunPoint } from '../../src/coordinator/checkpointing.js'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import type { CheckpointStore } from '../../src/run/checkpoints.js'
import { pruneRun } from '../../src/run/prune.js'
import { eventsOfType } from '../helpers/metrics.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const root = t.testdir({})
const EPOCHS = 25
const path = writeTinyData(join(root, 'data'))
/** Overfits within a few epochs of 9 steps: the validation loss falls, then rises and falls by turns. */
const experiment = (checkpoint: ExperimentInput['checkpoint'], train: ExperimentInput['train'] = {}) =>
  resolveExperiment({
    data: { dataset: 'idx', path, validation: 0.2 },
    model: { hidden: [64, 32], dropout: 0.4 },
    optimizer: { type: 'adam', learningRate: 0.02 },
    compute: { backend: 'wasm', workers: 2 },
    checkpoint: { bestMetric: 'validation-loss', ...checkpoint },
    train: { epochs: EPOCHS, batchSize: 50, l2: 0, ...train },
  })

const linked = (runDir: string, name: 'best' | 'latest' = 'best') => readlinkSync(join(runDir, 'checkpoints', name))
/** The step after the first epoch with the lowest validation loss. */
function bestStep(runDir: string): number {
  const losses = eventsOfType(runDir, 'epoch').map(({ validation }) => validation!.loss)
  return 9 * (1 + losses.indexOf(Math.min(...losses)))
}

const policies: Record<string, ExperimentInput['checkpoint']> = {
  'every epoch': {},
  'every 7 steps': { everySteps: 7, everyEpochs: null },
  'on no schedule': { everyEpochs: null },
  'every 5 epochs': { everyEpochs: 5, keepLast: 1 },
  'without one at the end': { everyEpochs: null, atEnd: false },
}
for (const [name, policy] of Object.entries(policies)) {
  t.test(`saved ${name}: best is the best epoch`, async t => {
    const runDir = join(root, name)
    await train(experiment(policy), { runDir })
    const best = bestStep(runDir)
    t.ok(best < 9 * EPOCHS, 'it is not the last')
    t.equal(linked(runDir), `step-${best}.safetensors`)
    t.ok(readdirSync(join(runDir, 'checkpoints')).includes(`step-${best}.safetensors`))
  })
}

t.test('the last epoch is the best, and nothing is saved at the end', async t => {
  const runDir = join(root, 'last')
  await train(experiment({ everyEpochs: null, atEnd: false, bestMetric: 'train-loss' }, { epochs: 2 }), { runDir })
  t.equal(linked(runDir), 'step-18.safetensors')
})

t.test('after a stop and resume, the best epoch is that of the uninterrupted run', async t => {
  const whole = join(root, 'every epoch')
  for (const epoch of [2, 7]) {
    const runDir = join(root, `stopped-${epoch}`)
    const stop = new AbortController()
    await train(experiment({}), {
      ...{ runDir, signal: stop.signal },
      onEvent: event => event.type === 'epoch' && event.epoch === epoch && stop.abort(),
    })
    await resume(runDir)
    t.equal(linked(runDir), linked(whole), `stopped in epoch ${epoch}`)
  }
})

t.test(
  'keepBest false: no link best, whose checkpoint would be deleted; with early stopping the best is kept',
  async t => {
    const runDir = join(root, 'not-kept')
    await train(experiment({ keepBest: false, keepLast: 1 }), { runDir })
    t.notOk(existsSync(join(runDir, 'checkpoints', 'best')))
    t.strictSame(readdirSync(join(runDir, 'checkpoints')).sort(), ['latest', `step-${9 * EPOCHS}.safetensors`])
    const patient = join(root, 'patient')
    const { weightsStep } = await train(experiment({ keepBest: false }, { earlyStopping: { patience: 3 } }), {
      runDir: patient,
    })
    t.equal(linked(patient), `step-${weightsStep}.safetensors`)
    const pruned = join(root, 'every 5 epochs')
    await pruneRun(pruned, { keepLast: 1, keepBest: false, dryRun: false })
    t.notOk(readdirSync(join(pruned, 'checkpoints')).includes('best'), 'nor after checkpoints were removed by hand')
  },
)

/** A store whose writes end when the test says so. */
function slowStore() {
  const best: (number | null)[] = []
  const ends: (() => void)[] = []
  const store = {
    file: (step: number) => `step-${step}`,
    save(_parameters: unknown, _moments: unknown, { step }: { step: number }, bestStep: number | null) {
      if (bestStep === step) best.push(step)
      return new Promise(resolve => ends.push(() => resolve({ weightsSha256: '', stateSha256: '' })))
    },
    prune: async () => {},
    dropAfter: async () => {},
  }
  return { store: store as unknown as CheckpointStore, best, ends }
}

t.test('training waits for a slow disk only where an epoch is the best so far', async t => {
  const { store, best, ends } = slowStore()
  const policy = experiment({}).experiment.checkpoint
  const checkpointing = new Checkpointing({
    ...{ store, policy, punctual: false, keepsBest: true, marks: NO_MARKS },
    onSaved: () => {},
    onWarning: message => t.fail(message),
  })
  const snapshot = { parameters: [], moments: [] }
  const pointOf = (epoch: number, value: number | null) =>
    ({ step: 9 * epoch, training: {}, epochEnd: { done: epoch, score: { metric: 'm', value } } }) as unknown as RunPoint
  // Scores: better, worse, the same as the best one that is being written, better, none, the same again.
  const first = pointOf(1, 0.5)
  t.ok(await checkpointing.isDue(first))
  checkpointing.begin(snapshot, first)
  t.notOk(await checkpointing.isDue(pointOf(2, 0.4)), 'on schedule, and passed over while the disk is busy')
  t.notOk(await checkpointing.isDue(pointOf(3, 0.5)), 'of equals the first stays')
  const better = pointOf(4, 0.6)
  const due = checkpointing.isDue(better)
  t.equal(await Promise.race([due, Promise.resolve('waits')]), 'waits')
  ends.shift()!()
  t.equal(await due, true)
  checkpointing.begin(snapshot, better)
  t.notOk(checkpointing.isNewBest(pointOf(5, null)))
  t.notOk(checkpointing.isNewBest(pointOf(6, 0.6)))
  ends.shift()!()
  await checkpointing.settled()
  t.strictSame(best, [9, 36])
  t.equal(checkpointing.bestStep, 36)
})
