/** Tests of train.onNonFinite: stop, skip the mini-batch, or roll back with a smaller learning rate. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { saveWeights } from '../../src/run/checkpoint-file.js'
import { checkpointSteps } from '../../src/run/checkpoints.js'
import { readParameters } from '../../src/run/parameters.js'
import { eventsIn, eventsOfType } from '../helpers/metrics.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())
const leftOut = (runDir: string) => eventsOfType(runDir, 'non-finite')

/** Steps of this size overflow within a few; times 2^-20 they train well. */
const exploding = (train: ExperimentInput['train'], more: Partial<ExperimentInput> = {}) =>
  resolveExperiment({
    data: { dataset: 'idx', path },
    model: { hidden: [20], dropout: 0.2 },
    optimizer: { type: 'sgd', learningRate: 2 ** 100 },
    compute: { backend: 'wasm', workers: 2 },
    checkpoint: { everySteps: 4 },
    ...more,
    train: { epochs: 2, batchSize: 50, l2: 0, ...train },
  })

t.test(
  'rollback continues from the beginning or the last scheduled checkpoint with a lower learning rate each time, until the loss is finite',
  async t => {
    const runDir = join(t.testdir(), 'run')
    const warnings: string[] = []
    const options = { onNonFinite: 'rollback', rollbackFactor: 2 ** -34, maxNonFinite: 5 } as const
    const summary = await train(exploding(options), { runDir, onWarning: message => warnings.push(message) })
    t.equal(summary.status, 'completed')
    t.ok([...(await readParameters(runDir)).values()].every(({ data }) => data.every(Number.isFinite)))
    const events = leftOut(runDir)
    t.ok(events.length >= 2, `${events.length} rollbacks`)
    events.forEach(({ action, count, rateFactor, step, at }, i) => {
      t.strictSame([action, count, rateFactor], ['rollback', i + 1, 2 ** (-34 * (i + 1))])
      t.ok(step <= at && step % 4 === 0, `from step ${at} back to ${step}`)
    })
    t.match(
      warnings[0],
      /^training: epoch 1, step 1: .* not finite; .*; training continues from step 0 with 5.82e-11 times the learning rate$/,
    )
    const rates = eventsIn(runDir).flatMap(event => (event.type === 'steps' ? [event.learningRate] : []))
    t.equal(rates.at(-1), (2 ** 100 * events.at(-1)!.rateFactor) / Math.sqrt(2), 'the log has the rate that was used')

    t.test('the same bits with any number of workers, stopped anywhere, and reproducible', async t => {
      const stoppedDir = join(t.testdir(), 'stopped')
      const stop = new AbortController()
      await train(exploding(options, { compute: { backend: 'wasm', workers: 3 } }), {
        runDir: stoppedDir,
        signal: stop.signal,
        onEvent: event => {
          if (event.type === 'non-finite' && event.count === 2) stop.abort()
        },
      })
      const { summary: resumed } = await resume(stoppedDir, { overrides: ['compute.workers=1'] })
      t.equal(resumed.weightsSha256, summary.weightsSha256)
      t.strictSame(leftOut(stoppedDir).at(-1)!.rateFactor, events.at(-1)!.rateFactor)
      t.match(await reproduce(runDir), { identical: true, difference: null })
      t.match(await reproduce(stoppedDir), { identical: true, difference: null })
    })
  },
)

t.test(
  'a rollback goes to the newest checkpoint on schedule before the step, though it is still being written, and can be reproduced',
  async t => {
    const growing = (checkpoint: ExperimentInput['checkpoint']) =>
      resolveExperiment({
        data: { dataset: 'digits', validation: 0.95 },
        model: { hidden: [10], dropout: 0, activation: 'identity' },
        train: {
          ...{ epochs: 2, batchSize: 40, evaluateEverySteps: 1, loss: 'mean-squared-error' },
          ...{ onNonFinite: 'rollback', rollbackFactor: 0.0001 },
        },
        optimizer: { type: 'sgd', learningRate: 10 },
        compute: { backend: 'wasm', workers: 1 },
        checkpoint,
      })
    for (const [name, checkpoint] of [
      ['often', { everySteps: 2 }],
      ['never', {}],
    ] as const) {
      const runDir = join(t.testdir(), name)
      t.equal((await train(growing(checkpoint), { runDir })).status, 'completed')
      const events = leftOut(runDir)
      t.ok(events.length > 0 && events.every(({ at }) => at > 2), 'steps go well before')
      for (const { step, at } of events)
        t.equal(step, name === 'often' ? 2 * Math.ceil(at / 2 - 1) : 0, `${name}, ${at}`)
      t.ok(
        name === 'never' || events.some(({ at }) => at % 2 === 0),
        'a step of which there is a checkpoint has failed',
      )
      const found = await reproduce(runDir)
      t.match(found, { identical: true, difference: null }, name)
      t.equal(found.compared, found.recorded)
    }
  },
)

t.test('too many rollbacks end the run; no checkpoint holds a number that is not finite', async t => {
  const runDir = join(t.testdir(), 'run')
  const options = { onNonFinite: 'rollback', rollbackFactor: 0.5, maxNonFinite: 3 } as const
  await t.rejects(train(exploding(options), { runDir }), {
    name: 'RunError',
    message: /^training: epoch 1, step \d+: .* not finite; .*; train.maxNonFinite is 3$/,
    hint: /learningRate/,
  })
  t.match(JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8')), { status: 'failed' })
  t.equal(leftOut(runDir).length, 3)
})

t.test('weights that an update made infinite are not saved, and are not handled by skip', async t => {
  // One step of an epoch: its update overflows, and nothing has noticed when the run ends.
  const runDir = join(t.testdir(), 'run')
  for (const onNonFinite of ['stop', 'skip'] as const) {
    const experiment = exploding(
      { epochs: 1, batchSize: 1000, onNonFinite },
      {
        optimizer: { type: 'sgd', learningRate: 3e38 * 1e30 },
        checkpoint: {},
      },
    )
    const dir = `${runDir}-${onNonFinite}`
    await t.rejects(
      train(experiment, { runDir: dir }),
      /weights or their moments are not finite; earlier checkpoints stay/,
    )
    t.strictSame(await checkpointSteps(join(dir, 'checkpoints')), [])
    t.match(JSON.parse(readFileSync(join(dir, 'summary.json'), 'utf8')), {
      status: 'failed',
      weightsSha256: null,
      checkpoint: null,
    })
  }
})

/** 60 dim images and one bright one, which alone overflows the first layer of the weights below. */
function writeDimData(dir: string): string {
  const images = (count: number, bright: number) => {
    const bytes = Buffer.alloc(16 + count * 4, 1)
    for (const [i, value] of [0x803, count, 2, 2].entries()) bytes.writeUInt32BE(value, 4 * i)
    if (bright >= 0) bytes.fill(255, 16 + 4 * bright, 16 + 4 * (bright + 1))
    return bytes
  }
  const labels = (count: number) => {
    const bytes = Buffer.alloc(8 + count)
    for (const [i, value] of [0x801, count].entries()) bytes.writeUInt32BE(value, 4 * i)
    for (let i = 0; i < count; i++) bytes[8 + i] = i % 2
    return bytes
  }
  writeFileSync(join(dir, 'train-images-idx3-ubyte'), images(61, 17))
  writeFileSync(join(dir, 'train-labels-idx1-ubyte'), labels(61))
  writeFileSync(join(dir, 't10k-images-idx3-ubyte'), images(10, -1))
  writeFileSync(join(dir, 't10k-labels-idx1-ubyte'), labels(10))
  return dir
}

t.test('skip leaves out the one mini-batch that overflows, once per epoch, for any number of workers', async t => {
  const dir = t.testdir()
  const from = join(dir, 'from.safetensors')
  const filled = (name: string, shape: number[], value: number) => ({
    ...{ name, shape },
    data: new Float32Array(shape.reduce((a, b) => a * b)).fill(value),
  })
  await saveWeights(
    from,
    [
      ...[filled('layers.0.weight', [4, 3], 3e38), filled('layers.0.bias', [3], 0)],
      ...[filled('layers.1.weight', [3, 2], 1e-38), filled('layers.1.bias', [2], 0)],
    ],
    {
      ...{ step: 0, epoch: 0, rowsSeen: 0 },
      experiment: { data: { dataset: 'idx', path: '.' }, model: { hidden: [3], dropout: 0 } },
    },
  )
  const experiment = (workers: number) =>
    resolveExperiment({
      data: { dataset: 'idx', path: writeDimData(dir) },
      model: { hidden: [3], dropout: 0 },
      train: { epochs: 3, batchSize: 10, l2: 0, onNonFinite: 'skip' },
      optimizer: { type: 'sgd', learningRate: 1e-80 },
      compute: { backend: 'wasm', workers, shardRows: 4 },
    })
  const digests: (string | null)[] = []
  for (const workers of [1, 3]) {
    const runDir = join(dir, `run-${workers}`)
    // The final score of all training rows meets the bright image again, and is not finite.
    t.match(await train(experiment(workers), { runDir, from }), {
      status: 'completed',
      train: null,
      notFinite: ['train'],
    })
    const events = leftOut(runDir)
    t.equal(events.length, 3, 'once an epoch')
    t.strictSame(
      events.map(({ action, step, at, rateFactor }) => [action, step - at, rateFactor]),
      Array.from({ length: 3 }, () => ['skip', 1, 1]),
    )
    const epochs = eventsIn(runDir).filter(({ type }) => type === 'epoch')
    t.equal(epochs.length, 3)
    const { checkpoint } = JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8'))
    digests.push(JSON.parse(JSON.stringify(checkpoint)))
  }
  t.equal(digests[0], digests[1])
})
