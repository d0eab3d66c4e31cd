import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readCheckpoint, saveWeights } from '../../src/run/checkpoint-file.js'
import { againIfPruned, openRun } from '../../src/run/open.js'

const experiment = { name: 'a' }
const resolved = JSON.stringify(experiment)
const config = (message: RegExp) => ({ name: 'ConfigError', exitCode: 2, message })
const failure = (message: RegExp) => ({ name: 'RunError', exitCode: 1, message })

t.test('a run directory gives the weights of its summary', async t => {
  const dir = t.testdir({
    'resolved.json': resolved,
    'summary.json': '{ "checkpoint": "checkpoints/step-3.safetensors" }',
    checkpoints: { 'step-9.safetensors': '' },
  })
  t.same(await openRun(dir), {
    runDir: dir,
    checkpoint: join(dir, 'checkpoints', 'step-3.safetensors'),
    experiment,
    experimentFrom: join(dir, 'resolved.json'),
    note: null,
  })
})

t.test('weights that are older than the scores of the run are noted', async t => {
  const noteOf = async (summary: object) =>
    (
      await openRun(
        t.testdir({
          'resolved.json': resolved,
          'summary.json': JSON.stringify({ checkpoint: 'checkpoints/step-3.safetensors', ...summary }),
          checkpoints: { 'step-3.safetensors': '' },
        }),
      )
    ).note
  t.match(await noteOf({ steps: 7 }), /^the weights are those of step 3, .* of step 7$/)
  t.equal(await noteOf({ steps: 3 }), null)
  t.equal(await noteOf({ steps: 7, weightsStep: 3 }), null, 'the best ones')
})

t.test('a run that was killed gives its newest checkpoint, by number', async t => {
  const steps = ['step-10', 'step-9', 'step-100', 'step-99'].map(step => [`${step}.safetensors`, ''])
  const checkpoints = { ...Object.fromEntries(steps), '.step-999.safetensors.1.tmp': '', latest: '' }
  const dir = t.testdir({ 'resolved.json': resolved, checkpoints })
  t.equal((await openRun(dir)).checkpoint, join(dir, 'checkpoints', 'step-100.safetensors'))
})

t.test('a checkpoint file can be opened by its path', async t => {
  const file = join(t.testdir({}), 'w.safetensors')
  await saveWeights(file, [], { step: 1, epoch: 1, rowsSeen: 1, experiment })
  t.same(await openRun(file), { runDir: null, checkpoint: file, experiment, experimentFrom: file, note: null })
})

t.test('a path that is neither a run nor a checkpoint is refused', async t => {
  const dir = t.testdir({
    'mnist.json': '{}',
    empty: {},
    'text.bin': '{}',
    damaged: { 'resolved.json': '{' },
    unsaved: { 'resolved.json': resolved, 'summary.json': '{ "status": "failed", "checkpoint": "" }', checkpoints: {} },
    outside: { 'resolved.json': resolved, 'summary.json': '{ "checkpoint": "../../w.safetensors" }' },
    number: { 'resolved.json': resolved, 'summary.json': '{ "checkpoint": 7 }' },
  })
  await t.rejects(
    openRun(join(dir, 'mnist.json')),
    config(/mnist.json: is a JSON file, expected a run directory or a checkpoint file$/),
  )
  await t.rejects(
    openRun(join(dir, 'none')),
    config(/none: cannot be read: ENOENT.*expected a run directory or a checkpoint/),
  )
  await t.rejects(openRun(join(dir, 'empty')), config(/empty: has no resolved.json, expected the directory of a run/))
  await t.rejects(openRun(join(dir, 'text.bin')), { name: 'CheckpointError', message: /text.bin: file is 2 bytes/ })
  await t.rejects(openRun(join(dir, 'damaged')), failure(/resolved.json: is not JSON: .*the file is damaged/))
  await t.rejects(
    openRun(join(dir, 'unsaved')),
    failure(/unsaved: run has no checkpoint, expected checkpoints\/step-<n>/),
  )
  await t.rejects(
    openRun(join(dir, 'outside')),
    failure(/checkpoint is '..\/..\/w.safetensors', expected a path inside/),
  )
  await t.rejects(openRun(join(dir, 'number')), failure(/checkpoint is 7, expected a path inside/))
})

t.test('a checkpoint that a run removes between choosing and opening it: the next one is chosen', async t => {
  const dir = t.testdir({ 'resolved.json': resolved, checkpoints: {} })
  const fileOf = (step: number) => join(dir, 'checkpoints', `step-${step}.safetensors`)
  const save = (step: number) => saveWeights(fileOf(step), [], { step, epoch: 1, rowsSeen: 1, experiment })
  await save(1)
  let tries = 0
  const { step } = await againIfPruned(async () => {
    const { checkpoint } = await openRun(dir)
    if (++tries < 4) {
      await save(tries + 1)
      rmSync(checkpoint)
    }
    return readCheckpoint(checkpoint)
  })
  t.same([step, tries], [4, 4])
  tries = 0
  const missing = againIfPruned(async () => {
    tries++
    return readCheckpoint(fileOf(77))
  })
  await t.rejects(missing, { message: /step-77.safetensors: cannot be read: ENOENT/ })
  t.equal(tries, 2, 'a file that is named again is not there')
  tries = 0
  await t.rejects(
    againIfPruned(async () => {
      tries++
      throw new Error('something else')
    }),
  )
  t.equal(tries, 1)
})
