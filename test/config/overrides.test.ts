/** `--set path=value`. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadExperiment, resolveExperiment } from '../../src/config/load.js'
import { ConfigError, GradloomError } from '../../src/errors.js'
import fc from '../helpers/fast-check.js'

const DIGITS = { data: { dataset: 'digits' } }

function withSet(overrides: readonly string[], input: object = DIGITS) {
  return resolveExperiment(input, { where: 'x', overrides }).experiment
}

function errorFor(overrides: readonly string[], input: object = DIGITS): ConfigError {
  try {
    withSet(overrides, input)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error(`accepted ${overrides.join(' ')}`)
}

t.test('values are parsed as JSON if they are valid JSON, else taken as text', async t => {
  const overrides = ['train.epochs=3', 'train.l2=1e-3', 'checkpoint.keepBest=false', 'name=a b', 'model.hidden=[5,6]']
  const experiment = withSet([...overrides, 'data.dataset=mnist', 'data.path=a=b', 'compute.workers=2'])
  t.equal(experiment.train.epochs, 3)
  t.equal(experiment.train.l2, 0.001)
  t.equal(experiment.checkpoint.keepBest, false)
  t.equal(experiment.name, 'a b')
  t.same(experiment.model.hidden, [5, 6])
  t.equal(experiment.data.path, 'a=b', 'only the first = splits')
  t.equal(experiment.compute.workers, 2)
  t.equal(withSet(['name="12"']).name, '12')
  t.equal(withSet(['data.path=null'], { data: { dataset: 'mnist', path: 'x' } }).data.path, null)
  t.equal(withSet(['data={"dataset":"mnist"}'], {}).data.dataset, 'mnist', 'a whole section')
})

t.test('later overrides take precedence over earlier ones and over the file', async t => {
  t.equal(withSet(['seed=2', 'seed=3'], { ...DIGITS, seed: 1 }).seed, 3)
  t.same(withSet(['model.hidden=[1,2]', 'model.hidden.1=9']).model.hidden, [1, 9])
  t.equal(errorFor(['seed=x', 'seed=-1']).message, 'x: --set seed=-1: seed is -1, expected an integer >= 0')
})

t.test('entries of lists, of the file or of the defaults; one past the end appends', async t => {
  t.same(withSet(['model.hidden.0=100']).model.hidden, [100, 128])
  t.same(withSet(['model.hidden.2=7'], { ...DIGITS, model: { hidden: [5, 6] } }).model.hidden, [5, 6, 7])
  t.equal(
    errorFor(['model.hidden.3=7'], { ...DIGITS, model: { hidden: [5, 6] } }).message,
    'x: --set model.hidden.3=7: model.hidden.3 is past the end, expected an index <= 2; model.hidden is [ 5, 6 ]',
  )
  t.equal(
    errorFor(['model.hidden.0=0']).message,
    'x: --set model.hidden.0=0: model.hidden.0 is 0, expected an integer >= 1',
  )
  t.match(errorFor(['train.epochs.0=1']).message, 'unknown key "train.epochs.0"; did you mean "train.epochs"?')
})

t.test('errors name the override', async t => {
  for (const [override, message] of [
    ['train.epochs', "it is 'train.epochs', expected path=value, as in train.epochs=3"],
    ['=3', "it is '=3', expected path=value, as in train.epochs=3"],
    ['train.epochs=', "train.epochs is '', expected an integer >= 0"],
    ['train.epochs=many', "train.epochs is 'many', expected an integer >= 0"],
    ['train.epoch=3', 'unknown key "train.epoch"; did you mean "train.epochs"?'],
    ['epochs=3', 'unknown key "epochs"; did you mean "train.epochs"?'],
    ['optim.lr=3', 'unknown key "optim.lr"; did you mean "optimizer.learningRate"?'],
    ['training.batchSize=3', 'unknown key "training.batchSize"; did you mean "train.batchSize"?'],
    ['zzz.qqq=3', 'unknown key "zzz.qqq"; `gradloom config schema --markdown` lists all'],
    ['optimizer=adam', "optimizer is 'adam', expected an object"],
    [
      'optimizer={"type":"sgd","x":1}',
      'unknown key "optimizer.x"; known in optimizer: type, learningRate, beta1, beta2, epsilon, weightDecay, momentum',
    ],
  ]) {
    t.equal(errorFor([override]).message, `x: --set ${override}: ${message}`)
  }
})

t.test('a type override that makes a key of the file unknown: the error has its line and a command', async t => {
  const path = join(t.testdir(), 'adam.json')
  writeFileSync(path, '{ "data": { "dataset": "digits" },\n  "optimizer": { "type": "adam",\n  "beta2": 0.99 } }')
  const overrides = ['optimizer.type=sgd']
  const error: ConfigError = await loadExperiment(path, overrides).then(
    () => t.fail('accepted'),
    error => error,
  )
  t.equal(
    error.message,
    `${path}:3: optimizer.beta2 is 0.99, expected no beta2 with optimizer.type "sgd"; "adam", "adamw", "rmsprop" and ` +
      '"lion" have it',
  )
  t.equal(error.hint, `to replace the whole optimizer: --set optimizer='{"type":"sgd"}'`)
  const { experiment } = await loadExperiment(path, ['optimizer={"type":"sgd"}'])
  t.same(experiment.optimizer, { type: 'sgd', learningRate: 0.1, weightDecay: 0 }, 'the hint works')
})

t.test('a number where text is expected: the hint shows how to quote it', async t => {
  const { message, hint } = errorFor(['name=12'])
  t.equal(message, 'x: --set name=12: name is 12, expected text')
  t.equal(hint, `text that reads as a number needs quotes of its own: --set name='"12"'`)
})

t.test('problems of the file and of overrides are reported together', async t => {
  const { message } = errorFor(['train.epochs=x', 'nope=1'], { ...DIGITS, train: 5, seed: -1 })
  t.equal(message.split('\n').length, 4)
  for (const part of ['3 problems in x:', 'train is 5, expected an object', 'seed is -1', '--set nope=1: unknown key'])
    t.ok(message.includes(part), part)
})

t.test('any text gives an experiment or a ConfigError', async t => {
  const path = fc.constantFrom(
    'train.epochs',
    'model.hidden',
    'model.hidden.1',
    'optimizer',
    'data',
    'name',
    '__proto__',
    'a',
  )
  const override = fc.oneof(
    fc.string(),
    fc.tuple(path, fc.oneof(fc.string(), fc.json())).map(parts => parts.join('=')),
  )
  let refused = 0
  fc.assert(
    fc.property(fc.array(override, { maxLength: 3 }), fc.jsonValue(), (overrides, train) => {
      try {
        resolveExperiment({ ...DIGITS, train }, { overrides })
      } catch (error) {
        refused++
        if (!(error instanceof GradloomError) || error.exitCode !== 2) throw error
      }
    }),
    { numRuns: 500 },
  )
  t.ok(refused > 0)
})
