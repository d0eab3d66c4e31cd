/**
 * Scores that are not finite: a warning and null, and nothing else about the run changes. Rows of the validation, test or
 * training split hold 3e38, which overflows the first layer; mini-batches of training are finite unless said.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { endLines, epochLine } from '../../src/cli/train-lines.js'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { splitValidation } from '../../src/data/split.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { reportMarkdown } from '../../src/report/markdown.js'
import { reportPage } from '../../src/report/page.js'
import { readReport } from '../../src/report/report.js'
import type { RunSummary } from '../../src/run/events.js'
import { eventsIn, eventsOfType } from '../helpers/metrics.js'
import { npzOf } from '../helpers/npy.js'

const root = t.testdir()
const ROWS = 100
const labels = Int32Array.from({ length: ROWS }, (_, i) => i % 2)
const { validation, train: trained } = splitValidation(labels, 0.2, 1)

/** Arrays for training and test in which one row of a split is huge. */
function arrays(bad: 'train' | 'validation' | 'test' | 'none'): { path: string } {
  const huge = { train: trained[3], validation: validation[3], test: 2, none: -1 }[bad]
  const features = (rows: number, isBad: boolean) =>
    Float64Array.from({ length: 3 * rows }, (_, i) =>
      isBad && Math.floor(i / 3) === huge ? 3e38 : Number(Math.sin(i * 12.9898 + 1).toFixed(4)),
    )
  const classes = (rows: number) => Int32Array.from({ length: rows }, (_, row) => row % 2)
  const path = join(root, `${bad}.npz`)
  writeFileSync(
    path,
    npzOf({
      x_train: [[ROWS, 3], features(ROWS, bad !== 'test')],
      y_train: [[ROWS], classes(ROWS)],
      x_test: [[20, 3], features(20, bad === 'test')],
      y_test: [[20], classes(20)],
    }),
  )
  return { path }
}

/** 80 training rows in 5 mini-batches, 3 epochs. */
const experiment = (
  bad: Parameters<typeof arrays>[0],
  train: ExperimentInput['train'] = {},
  more: Partial<ExperimentInput> = {},
) =>
  resolveExperiment({
    data: { dataset: 'npz', ...arrays(bad), validation: 0.2, normalise: 'none' },
    model: { hidden: [8], dropout: 0.2 },
    optimizer: { learningRate: 0.01 },
    compute: { backend: 'wasm', workers: 2 },
    ...more,
    train: { epochs: 3, batchSize: 16, l2: 0, ...train },
  })

interface Ran {
  readonly runDir: string
  readonly summary: RunSummary
  readonly warnings: readonly string[]
}
let runs = 0
async function run(loaded: ReturnType<typeof experiment>): Promise<Ran> {
  const runDir = join(root, `run-${runs++}`)
  const warnings: string[] = []
  const summary = await train(loaded, { runDir, onWarning: message => warnings.push(message) })
  return { runDir, summary, warnings }
}
const text = (file: string) => readFileSync(file, 'utf8')

for (const onNonFinite of ['stop', 'skip', 'rollback'] as const) {
  t.test(`${onNonFinite}: a validation score that is not finite leaves out no step and ends no run`, async t => {
    const { runDir, summary, warnings } = await run(experiment('validation', { onNonFinite }))
    t.match(summary, {
      status: 'completed',
      steps: 15,
      epochs: 3,
      rowsSeen: 240,
      validation: null,
      notFinite: ['validation'],
    })
    t.match(summary.test, { loss: Number, accuracy: Number })
    t.match(summary.train, { loss: Number, accuracy: Number })
    const epochs = eventsOfType(runDir, 'epoch')
    t.strictSame(
      epochs.map(({ epoch, step, validation }) => [epoch, step, validation]),
      [
        [1, 5, null],
        [2, 10, null],
        [3, 15, null],
      ],
    )
    t.ok(epochs.every(({ train }) => train!.loss > 0))
    t.strictSame(eventsOfType(runDir, 'non-finite'), [], 'no step is left out')
    t.strictSame(
      eventsOfType(runDir, 'score-fault').map(({ step, split, fault }) => [step, split, fault]),
      [5, 10, 15, 15].map(step => [step, 'validation', 'layer 0: outputs are not finite']),
    )
    t.strictSame(warnings, [
      'scoring the validation split after step 5: layer 0: outputs are not finite; the score is left empty',
      'the validation score was not finite 4 times',
    ])
    t.equal(JSON.parse(text(join(runDir, 'summary.json'))).validation, null)
    const finite = await train(experiment('none', { onNonFinite }), { runDir: null })
    t.equal(finite.steps, 15)
    t.match(await reproduce(runDir), { identical: true, difference: null })
  })
}

t.test('every policy of onNonFinite gives the same bits', async t => {
  const digests = new Set<string | null>()
  for (const onNonFinite of ['stop', 'skip', 'rollback'] as const) {
    digests.add((await train(experiment('validation', { onNonFinite }), { runDir: null })).weightsSha256)
  }
  digests.add(
    (await train(experiment('validation', {}, { compute: { backend: 'wasm', workers: 3 } }), { runDir: null }))
      .weightsSha256,
  )
  t.equal(digests.size, 1)
})

t.test('test and training scores: a trained run is completed, with null in their place', async t => {
  const test = await run(experiment('test'))
  t.match(test.summary, { status: 'completed', steps: 15, test: null, notFinite: ['test'] })
  t.ok(test.summary.validation!.loss > 0 && test.summary.weightsSha256 && test.summary.checkpoint)
  t.equal(test.warnings.length, 1)
  const ofTrain = await run(experiment('train', { onNonFinite: 'skip' }))
  t.match(ofTrain.summary, { status: 'completed', steps: 15, train: null, notFinite: ['train'] })
  t.equal(eventsOfType(ofTrain.runDir, 'non-finite').length, 3, 'its mini-batch is left out once an epoch')
  t.strictSame(
    eventsOfType(ofTrain.runDir, 'epoch').map(({ step }) => step),
    [5, 10, 15],
  )
})

t.test('early stopping and plateaus count an epoch without a score as no better one; it is never the best', async t => {
  const patient = await run(experiment('validation', { epochs: 20, earlyStopping: { patience: 2 } }))
  t.match(patient.summary, { status: 'completed', stopped: 'early', epochs: 2, validation: null })
  t.equal(patient.summary.weightsStep, undefined, 'the last weights: no epoch was the best')
  t.notOk(existsSync(join(patient.runDir, 'checkpoints', 'best')))
  const schedule = { type: 'plateau', patience: 1, factor: 0.5, minimum: 0 } as const
  const plateau = await run(experiment('validation', {}, { schedule }))
  t.strictSame(
    eventsOfType(plateau.runDir, 'epoch').map(({ learningRate }) => learningRate),
    [0.01, 0.005, 0.0025],
  )
  const byTraining = await run(experiment('validation', {}, { checkpoint: { bestMetric: 'train-loss' } }))
  t.ok(existsSync(join(byTraining.runDir, 'checkpoints', 'best')), 'another metric is not disturbed')
})

t.test('scores between epochs, a stop in the middle, resume, evaluate', async t => {
  const { runDir, summary } = await run(experiment('validation', { evaluateEverySteps: 2 }))
  t.strictSame(
    eventsOfType(runDir, 'evaluation').map(({ step, validation }) => [step, validation]),
    [2, 4, 6, 8, 12, 14].map(step => [step, null]),
  )
  const stopped = join(root, 'stopped')
  const stop = new AbortController()
  const half = await train(experiment('validation', { evaluateEverySteps: 2 }), {
    ...{ runDir: stopped, signal: stop.signal },
    onEvent: event => event.type === 'epoch' && event.epoch === 2 && stop.abort(),
  })
  t.match(half, { status: 'interrupted', validation: null })
  const { summary: resumed } = await resume(stopped)
  t.strictSame([resumed.weightsSha256, resumed.steps, resumed.validation], [summary.weightsSha256, 15, null])
  await t.rejects(evaluate(runDir, { split: 'validation' }), {
    name: 'RunError',
    message: /scoring the validation split: layer 0: outputs are not finite/,
    hint: /outliers/,
  })
  t.match(await evaluate(runDir), { split: 'test', accuracy: Number })
})

t.test('scores that are not finite in lines, report and TensorBoard', async t => {
  const log = { tensorboard: true }
  const { runDir, summary } = await run(experiment('validation', { evaluateEverySteps: 2 }, { log }))
  t.match(epochLine(eventsOfType(runDir, 'epoch')[0]), /^epoch 1\/3 {2}loss 0\.\d+ .* validation not finite/)
  const context = { runDir, experimentPath: null, cwd: root, paint: { strong: String, faint: String }, ofImages: false }
  t.match(
    endLines(summary, context as unknown as Parameters<typeof endLines>[1]).join('\n'),
    /validation score not finite/,
  )
  const report = await readReport([runDir])
  const page = reportPage(report)
  t.match(page, /the validation score is not finite: layer 0: outputs are not finite; the same happened/)
  t.notMatch(page, /NaN|undefined/)
  t.notMatch(reportMarkdown(report), /NaN|undefined/)
  const tensorboard = text(join(runDir, 'tensorboard', readdirSync(join(runDir, 'tensorboard'))[0]))
  t.match(tensorboard, /train\/loss/)
  t.notMatch(tensorboard, /validation\//)
})

t.test('an epoch without its mini-batches has no loss; one warning per epoch, one paragraph in a report', async t => {
  const warnings: string[] = []
  const runDir = join(root, 'left-out')
  const loaded = resolveExperiment({
    data: { dataset: 'npz', ...arrays('none'), validation: 0.2 },
    model: { hidden: [8] },
    optimizer: { type: 'sgd', learningRate: 1e30 },
    compute: { backend: 'wasm', workers: 2 },
    train: { epochs: 4, batchSize: 16, l2: 0, onNonFinite: 'skip', maxNonFinite: 100 },
    log: { tensorboard: true },
  })
  const summary = await train(loaded, { runDir, onWarning: message => warnings.push(message) }).catch(() => null)
  const epochs = eventsOfType(runDir, 'epoch')
  t.equal(epochs.length, 4)
  t.ok(epochs[0].train!.loss > 0)
  t.strictSame(
    epochs.slice(1).map(({ train }) => train),
    [null, null, null],
  )
  const skipped = eventsOfType(runDir, 'non-finite').length
  t.ok(skipped > 15)
  const ofSteps = warnings.filter(message => /skipped/.test(message))
  t.equal(ofSteps.length, 5, 'the first step, and one an epoch')
  t.match(ofSteps[2], /^training: epoch 2: 5 mini-batches were skipped, at step 5, 6, 7 and 2 more; the first: /)
  t.match(epochLine(epochs[1]), /^epoch 2\/4 {2}no loss: every mini-batch was skipped/)
  t.notMatch(text(join(runDir, 'metrics.jsonl')), /"loss":0[,}]/)
  const page = reportPage(await readReport([runDir]))
  t.equal(page.match(/it was skipped/g)!.length, 1)
  t.match(page, new RegExp(`the same happened ${skipped} times in all`))
  t.notMatch(page, /NaN|loss 0\.0000|>0\.0000</)
  t.notOk(eventsIn(runDir).some(event => event.type === 'steps' && event.loss === 0))
  t.ok(summary === null || summary.steps === 20)
})
