/** A run that was stopped in any way resumes to the weights of an uninterrupted run. */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { TrainControl } from '../../src/coordinator/control.js'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import { checkpointSteps } from '../../src/run/checkpoints.js'
import { nativeCandidates } from '../helpers/native.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())
/** 11 steps an epoch, the last of them partial. */
const experiment = (compute: ExperimentInput['compute'], more: Partial<ExperimentInput> = {}) =>
  resolveExperiment({
    data: { dataset: 'idx', path },
    model: { hidden: [29, 13], dropout: 0.3 },
    train: { epochs: 3, batchSize: 50 },
    optimizer: { type: 'adam' },
    compute,
    checkpoint: { everySteps: 5, keepLast: 3 },
    ...more,
  })

/** Trains until a step has been done, then stops as Ctrl-C does. */
async function stoppedAt(step: number, runDir: string, loaded: ReturnType<typeof experiment>) {
  const stop = new AbortController()
  const onEvent = (event: { type: string; step?: number }) => {
    if (event.type === 'steps' && event.step! >= step) stop.abort()
  }
  return train(loaded, { runDir, signal: stop.signal, onEvent })
}

const metricsOf = (runDir: string) =>
  readFileSync(join(runDir, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { type: string; step?: number; loss?: number })

const natives = (await nativeCandidates()).map(({ backend, skip }) => ({ name: backend.name, skip }))
for (const { name, skip } of [{ name: 'wasm' as const, skip: false as const }, ...natives]) {
  t.test(`${name}: stopped in the middle of epochs, resumed with other workers: the same bits`, { skip }, async t => {
    const undisturbed = await train(experiment({ backend: name, workers: 2 }), { runDir: null })
    const dir = t.testdir()
    for (const [step, workers] of [
      [3, 1],
      [17, 3],
      [28, 4],
    ] as const) {
      const runDir = join(dir, `at-${step}`)
      const stopped = await stoppedAt(step, runDir, experiment({ backend: name, workers: 2 }))
      t.equal(stopped.status, 'interrupted')
      t.ok(stopped.steps >= step && stopped.steps < undisturbed.steps, `stopped after ${stopped.steps} steps`)
      const { trained, summary } = await resume(runDir, { overrides: [`compute.workers=${workers}`] })
      t.ok(trained)
      t.equal(summary.weightsSha256, undisturbed.weightsSha256)
      t.strictSame(
        { test: summary.test, train: summary.train, steps: summary.steps, rowsSeen: summary.rowsSeen },
        { test: undisturbed.test, train: undisturbed.train, steps: undisturbed.steps, rowsSeen: undisturbed.rowsSeen },
      )
    }
  })
}

t.test('every optimizer, validation and buffers: the same bits and the same scores', async t => {
  const cases: Partial<ExperimentInput>[] = [
    { optimizer: { type: 'sgd', learningRate: 0.1 } },
    { optimizer: { type: 'momentum', learningRate: 0.1 } },
    { optimizer: { type: 'lion' }, schedule: { type: 'cosine', warmup: { steps: 15 } } },
    { optimizer: { type: 'nesterov' }, schedule: { type: 'one-cycle' } },
    { data: { dataset: 'idx', path, validation: 0.2 } },
  ]
  const dir = t.testdir()
  for (const [i, more] of cases.entries()) {
    const runDir = join(dir, `case-${i}`)
    const undisturbed = await train(experiment({ backend: 'wasm', workers: 2 }, more), { runDir: null })
    await stoppedAt(12, runDir, experiment({ backend: 'wasm', workers: 1 }, more))
    const { summary } = await resume(runDir)
    t.equal(summary.weightsSha256, undisturbed.weightsSha256)
    t.strictSame(summary.validation, undisturbed.validation)
  }
  const buffers = { backend: 'wasm', workers: 2, allReduce: 'buffers', shardRows: 16 } as const
  const runDir = join(dir, 'buffers')
  const undisturbed = await train(experiment(buffers), { runDir: null })
  await stoppedAt(12, runDir, experiment(buffers))
  t.equal((await resume(runDir)).summary.weightsSha256, undisturbed.weightsSha256)
})

t.test('a resumed run has no earlier summary', async t => {
  const runDir = join(t.testdir(), 'run')
  await stoppedAt(8, runDir, experiment({ backend: 'wasm' }))
  t.ok(existsSync(join(runDir, 'summary.json')))
  let during = true
  await resume(runDir, {
    onEvent: event => {
      if (event.type === 'start') during = existsSync(join(runDir, 'summary.json'))
    },
  })
  t.notOk(during)
  t.ok(existsSync(join(runDir, 'summary.json')))
})

t.test('metrics continue without a gap; the links point to whole files; old checkpoints are removed', async t => {
  const dir = t.testdir()
  const runDir = join(dir, 'run')
  const undisturbedDir = join(dir, 'undisturbed')
  await train(experiment({ backend: 'wasm' }), { runDir: undisturbedDir })
  await stoppedAt(20, runDir, experiment({ backend: 'wasm' }))
  // Appends metrics as if the run had been killed some steps after its last checkpoint.
  writeFileSync(join(runDir, 'metrics.jsonl'), '{"type":"steps","step":999,"loss":1}\n{"type":"st', { flag: 'a' })
  writeFileSync(join(runDir, 'checkpoints', '.step-25.safetensors.1.tmp'), 'half')
  await resume(runDir)
  const told = (dir: string) =>
    metricsOf(dir).flatMap(({ type, step, loss }) => (type === 'steps' ? [[step, loss]] : []))
  const epochs = (dir: string) => metricsOf(dir).filter(({ type }) => type === 'epoch').length
  t.equal(told(runDir).at(-1)![0], told(undisturbedDir).at(-1)![0])
  t.equal(new Set(told(runDir).map(([step]) => step)).size, told(runDir).length, 'no step is told twice')
  t.equal(epochs(runDir), 3)
  t.equal(metricsOf(runDir).at(-1)?.type, 'end')
  const names = readdirSync(join(runDir, 'checkpoints')).sort()
  t.equal(
    readlinkSync(join(runDir, 'checkpoints', 'latest')),
    `step-${(await checkpointSteps(join(runDir, 'checkpoints')))[0]}.safetensors`,
  )
  t.ok(names.includes(readlinkSync(join(runDir, 'checkpoints', 'best'))), names.join(' '))
  t.ok(names.filter(name => name.startsWith('step-')).length <= 4, names.join(' '))
  t.notOk(
    names.some(name => name.endsWith('.tmp')),
    'what was half written is gone',
  )
  const { resumes } = JSON.parse(readFileSync(join(runDir, 'manifest.json'), 'utf8'))
  t.equal(resumes.length, 1)
})

t.test('a damaged checkpoint is reported and skipped, and the bits stay the same', async t => {
  const undisturbed = await train(experiment({ backend: 'wasm' }), { runDir: null })
  const runDir = join(t.testdir(), 'run')
  await stoppedAt(20, runDir, experiment({ backend: 'wasm' }))
  const folder = join(runDir, 'checkpoints')
  const [newest, second] = (await checkpointSteps(folder)).map(step => join(folder, `step-${step}.safetensors`))
  const bytes = readFileSync(newest)
  bytes[bytes.length - 100] ^= 1
  writeFileSync(newest, bytes)
  writeFileSync(second, readFileSync(second).subarray(0, 500))
  const warnings: string[] = []
  const { summary } = await resume(runDir, { onWarning: message => warnings.push(message) })
  t.equal(warnings.length, 2, warnings.join('\n'))
  t.match(warnings.join('\n'), /SHA-256 of the optimizer state/)
  t.equal(summary.weightsSha256, undisturbed.weightsSha256)
})

t.test('a run without a checkpoint starts over; a finished one is kept, or continued for more epochs', async t => {
  const runDir = join(t.testdir(), 'run')
  const none = { checkpoint: { everyEpochs: null, atEnd: false, keepBest: false } }
  await stoppedAt(10, runDir, experiment({ backend: 'wasm' }, none))
  t.strictSame(readdirSync(join(runDir, 'checkpoints')), [])
  const { summary } = await resume(runDir, { overrides: ['checkpoint.atEnd=true'] })
  t.equal(summary.weightsSha256, (await train(experiment({ backend: 'wasm' }), { runDir: null })).weightsSha256)
  t.equal((await resume(runDir)).trained, false)
  const longer = await resume(runDir, { overrides: ['train.epochs=4'] })
  const four = await train(experiment({ backend: 'wasm' }, { train: { epochs: 4, batchSize: 50 } }), { runDir: null })
  t.equal(longer.summary.weightsSha256, four.weightsSha256)
})

t.test('another number of epochs is refused where the schedule ends with the run, and may be allowed', async t => {
  const runDir = join(t.testdir(), 'run')
  await stoppedAt(10, runDir, experiment({ backend: 'wasm' }, { schedule: { type: 'cosine' } }))
  const overrides = ['train.epochs=4']
  await t.rejects(
    resume(runDir, { overrides }),
    /train.epochs: 3 -> 4 \(schedule.type is "cosine", whose learning rates depend on .*trained with other settings/,
  )
  const { summary } = await resume(runDir, { overrides, allowChange: true })
  t.equal(summary.epochs, 4)
})

t.test(
  'convolutions: what is in no tensor may change, and who changes a shape is not sent to --allow-change',
  async t => {
    const runDir = join(t.testdir(), 'run')
    const convolution = { filters: 3, size: 5, stride: 3, pool: { size: 2 } }
    const convolutional = experiment({ backend: 'wasm' }, { model: { convolutions: [convolution], hidden: [7] } })
    await stoppedAt(5, runDir, convolutional)
    const changed = (change: object) => [`model.convolutions=${JSON.stringify([{ ...convolution, ...change }])}`]
    for (const allowChange of [false, true]) {
      await t.rejects(resume(runDir, { overrides: changed({ filters: 4 }), allowChange }), {
        name: 'ConfigError',
        hint: /train .* --from/,
      })
    }
    const overrides = changed({ dropout: 0.5, pool: { size: 2, type: 'average' } })
    await t.rejects(resume(runDir, { overrides }), { name: 'ConfigError', hint: /resume with --allow-change/ })
    const { summary } = await resume(runDir, { overrides, allowChange: true })
    t.equal(summary.status, 'completed')
  },
)

t.test('changes that affect completed steps, other data and a run in use are refused', async t => {
  const runDir = join(t.testdir(), 'run')
  await stoppedAt(10, runDir, experiment({ backend: 'wasm' }))
  await t.rejects(
    resume(runDir, { overrides: ['seed=2'] }),
    /seed: 1 -> 2; the completed steps were trained with other settings/,
  )
  await t.rejects(resume(runDir, { overrides: ['train.batchSize=25'] }), /train.batchSize: 50 -> 25/)
  await t.rejects(
    resume(runDir, { overrides: ['model.hidden=[5]'], allowChange: true }),
    /model.hidden.*the state of the run does not fit the change/,
  )
  await t.rejects(resume(join(runDir, 'nowhere')), /has no resolved.json, expected the directory of a run/)

  const control = new TrainControl()
  let second: Promise<unknown> = Promise.resolve('not tried')
  await resume(runDir, {
    control,
    onEvent: event => {
      // The failure is awaited later.
      if (event.type === 'start') second = resume(runDir).catch(error => error)
    },
  })
  t.match(await second, { name: 'RunError', message: /run is in use by process \d+ on / })

  const file = join(path, readdirSync(path).find(name => name.startsWith('train-images'))!)
  const data = readFileSync(file)
  const other = Buffer.from(data)
  other[other.length - 1] ^= 1
  writeFileSync(file, other)
  t.teardown(() => writeFileSync(file, data))
  await t.rejects(resume(runDir, { overrides: ['train.epochs=5'] }), /MD5 is .*; the run was trained on other data/)
})

t.test('--allow-change continues with other settings, and the manifest records them', async t => {
  const runDir = join(t.testdir(), 'run')
  await stoppedAt(10, runDir, experiment({ backend: 'wasm' }))
  const { summary } = await resume(runDir, { overrides: ['optimizer.learningRate=0.01'], allowChange: true })
  t.equal(summary.status, 'completed')
  const { resumes } = JSON.parse(readFileSync(join(runDir, 'manifest.json'), 'utf8'))
  t.strictSame(resumes[0].changes, ['optimizer.learningRate: 0.001 -> 0.01'])
})

t.test('train --from starts a new run from weights, and refuses those of another network by name', async t => {
  const runDir = join(t.testdir(), 'run')
  await train(experiment({ backend: 'wasm' }), { runDir })
  const same = experiment({ backend: 'wasm' }, { train: { epochs: 0 } })
  const before = await train(experiment({ backend: 'wasm' }), { runDir: null })
  t.equal((await train(same, { runDir: null, from: runDir })).weightsSha256, before.weightsSha256)
  const other = experiment({ backend: 'wasm' }, { model: { hidden: [29, 12], dropout: 0 } })
  await t.rejects(
    train(other, { runDir: null, from: runDir }),
    /layers.1.weight is F32 \(29, 13\), expected F32 \(29, 12\)/,
  )
})
