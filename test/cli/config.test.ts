/** `gradloom config` as a user runs it: output, messages and exit codes. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { gradloom } from './run-cli.js'

const config = (...args: readonly string[]) => gradloom(['config', ...args])

t.test('check prints a line for each valid file and exits with 0', async t => {
  const { code, stdout, stderr } = await config('check', 'configs/mnist.json', 'configs/smoke.json')
  t.equal(stdout, 'configs/mnist.json: OK\nconfigs/smoke.json: OK\n')
  t.equal(stderr, '')
  t.equal(code, 0)
})

t.test('check prints every problem of invalid files to stderr and exits with 2; valid files are still OK', async t => {
  const dir = t.testdir({
    'three.json': '{\n"data": { "dataset": "minst" },\n"train": { "epoch": 3,\n"l2": -1 } }',
    'comma.json': '{ "data": { "dataset": "digits", } }',
  })
  const [three, comma, none] = ['three', 'comma', 'none'].map(name => join(dir, `${name}.json`))
  const { code, stdout, stderr } = await config('check', three, comma, none, 'configs/mnist.json')
  t.equal(code, 2)
  t.equal(stdout, 'configs/mnist.json: OK\n')
  t.match(stderr, `3 problems in ${three}:\n  line 2: data.dataset is 'minst', expected`)
  t.match(stderr, '\n  line 3: unknown key "train.epoch"; did you mean "train.epochs"?\n')
  t.match(stderr, '\n  line 4: train.l2 is -1, expected a number >= 0\n')
  t.match(stderr, `${comma}:1:32: trailing comma`)
  t.match(stderr, `${none}: there is no such file`)
})

t.test('check --json: one object with every problem, exit 2', async t => {
  const bad = join(t.testdir(), 'bad.json')
  writeFileSync(bad, '{\n"data": { "dataset": "digits" },\n"train": { "l2": -1 } }')
  const { code, stdout, stderr } = await config('check', bad, 'configs/mnist.json', '--json', '--set', 'seed=-1')
  t.equal(code, 2)
  t.equal(stderr, '')
  const set = { path: 'seed', message: 'seed is -1, expected an integer >= 0', line: null, override: 'seed=-1' }
  const { ok, files } = JSON.parse(stdout) as { ok: boolean; files: { ok: boolean; problems: object[] }[] }
  t.equal(ok, false)
  t.same(files[0].problems, [
    { path: 'train.l2', message: 'train.l2 is -1, expected a number >= 0', line: 3, override: null },
    set,
  ])
  t.same(files[1].problems, [set])
})

t.test('show prints the complete experiment with overrides; --diff prints the settings that differ', async t => {
  const overrides = ['--set', 'train.epochs=3', '--set', 'optimizer={"type":"sgd"}']
  const [whole, short] = await Promise.all([
    config('show', 'configs/mnist.json', ...overrides),
    config('show', '--diff', ...overrides, 'configs/mnist.json'),
  ])
  t.equal(whole.code, 0)
  const experiment = JSON.parse(whole.stdout) as Record<string, unknown>
  // Completeness is tested in config/load.test.ts.
  t.match(experiment.train, { epochs: 3, batchSize: 256, l2: 0.05 })
  t.match(experiment.checkpoint, {
    ...{ everyEpochs: 1, keepLast: 2, keepBest: true },
    ...{ everySteps: null, everySeconds: null, atEnd: true },
  })
  t.same(JSON.parse(short.stdout), {
    data: { dataset: 'mnist' },
    model: { hidden: [3000, 2500, 2000, 1500, 1000, 500], dropout: 0.3 },
    train: { epochs: 3, batchSize: 256, l2: 0.05 },
    optimizer: { type: 'sgd' },
  })
})

t.test('show exits with 2 for an invalid file or override, with nothing on stdout', async t => {
  const { code, stdout, stderr } = await config('show', 'configs/mnist.json', '--set', 'epochs=3')
  t.equal(code, 2)
  t.equal(stdout, '')
  t.equal(stderr, 'configs/mnist.json: --set epochs=3: unknown key "epochs"; did you mean "train.epochs"?\n')
})

t.test('schema prints the committed schema; --markdown prints docs/experiment.md', async t => {
  const [schema, page] = await Promise.all([config('schema'), config('schema', '--markdown')])
  t.equal(schema.stdout, readFileSync('schema/experiment.schema.json', 'utf8'))
  t.equal(page.stdout, readFileSync('docs/experiment.md', 'utf8'))
  t.same([schema.code, page.code], [0, 0])
})

t.test('wrong usage is exit 2', async t => {
  const wrong = [['check'], ['chek'], ['show', 'configs/mnist.json', '--nope']]
  for (const { code, stdout, stderr } of await Promise.all(wrong.map(args => config(...args)))) {
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, /^gradloom config/)
  }
})
