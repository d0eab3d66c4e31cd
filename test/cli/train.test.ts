/** `gradloom train` and `evaluate` end to end, in processes of their own, on the smoke experiment. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { exitCodeOf } from '../../src/cli/show-run.js'
import { overridesOf } from '../../src/cli/train.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'
import { gradloom } from './run-cli.js'

const SMOKE = resolve('configs/smoke.json')

t.test('options are aliases of settings, and take precedence over --set', async t => {
  t.same(overridesOf({ set: ['a=1'], tensorboard: true }), ['a=1', 'log.tensorboard=true'])
  t.same(overridesOf({ set: ['a=1', 'b=2'], epochs: '3', seed: '0', workers: 'auto' }), [
    'a=1',
    'b=2',
    'compute.workers=auto',
    'seed=0',
    'train.epochs=3',
  ])
})

t.test('a data.path given on the command line is relative to the current folder', async t => {
  t.same(overridesOf({ set: ['data.path=here/it is', 'data.path=null', 'data.path=/abs', 'name=data.path=x'] }), [
    `data.path="${resolve('here/it is')}"`,
    'data.path=null',
    `data.path="${resolve('/abs')}"`,
    'name=data.path=x',
  ])
})

t.test('exit codes: completed 0, interrupted 130 or that of the signal, failed or not saved 1', async t => {
  t.equal(exitCodeOf({ status: 'completed' }, 130), 0, 'a signal that came too late')
  t.equal(exitCodeOf({ status: 'completed', notSaved: 'ENOSPC' }, undefined), 1)
  t.equal(exitCodeOf({ status: 'interrupted' }, 143), 143)
  t.equal(exitCodeOf({ status: 'interrupted' }, undefined), 130)
  t.equal(exitCodeOf({ status: 'failed' }, undefined), 1)
})

t.test('a run writes its documented files, only the summary to stdout, and evaluate gives the same score', async t => {
  const cwd = t.testdir({})
  const { code, stdout, stderr } = await gradloom(['train', SMOKE, '--json'], { cwd })
  t.equal(code, 0, stderr)
  t.equal(stdout.trimEnd().split('\n').length, 1, 'one line')
  const summary = JSON.parse(stdout)
  t.match(summary, { status: 'completed', weightsSha256: /^[0-9a-f]{64}$/, test: { accuracy: Number } })
  t.match(stderr, /^data {5}.*\nmodel .*\ncompute .*\nrun {6}runs\//, 'what runs')
  t.match(stderr, /\nresult {3}test accuracy/, 'how it ended')
  t.notOk(stderr.includes('\x1b') || stderr.includes('\r'), 'plain lines where there is no terminal')

  const [name] = readdirSync(join(cwd, 'runs'))
  const run = join(cwd, 'runs', name)
  const files = ['checkpoints', 'experiment.json', 'manifest.json', 'metrics.jsonl', 'resolved.json', 'summary.json']
  t.same(readdirSync(run).sort(), files)
  t.same(JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8')), summary)
  t.equal(readFileSync(join(run, 'experiment.json'), 'utf8'), readFileSync(SMOKE, 'utf8'))
  const events = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n')
  t.ok(
    events.map(line => JSON.parse(line)).some(({ type }) => type === 'epoch'),
    'metrics',
  )
  t.match(await readCheckpoint(join(run, summary.checkpoint)), {
    step: summary.steps,
    rowsSeen: summary.rowsSeen,
    weightsSha256: summary.weightsSha256,
  })

  const [again, ofFile] = await Promise.all([
    gradloom(['evaluate', run, '--json']),
    gradloom(['evaluate', join(run, summary.checkpoint)]),
  ])
  t.match(again, { code: 0, stderr: '' })
  t.match(JSON.parse(again.stdout), { split: 'test', ...summary.test })
  t.match(ofFile, { code: 0, stderr: '', stdout: /^test: accuracy/ })
})

t.test('--quiet prints only errors', async t => {
  const cwd = t.testdir({})
  t.match(await gradloom(['train', SMOKE, '--quiet', '--epochs', '0'], { cwd }), { code: 0, stdout: '', stderr: '' })
})

t.test('Ctrl-C saves the weights and exits with 130', async t => {
  const cwd = t.testdir({})
  let sent = false
  const { code, stdout, stderr } = await gradloom(['train', SMOKE, '--epochs', '500', '--json'], {
    cwd,
    onOutput: (output, child) => {
      if (sent || !/^epoch +1\//m.test(output)) return
      sent = true
      child.kill('SIGINT')
    },
  })
  t.equal(code, 130, stderr)
  t.match(stderr, /^SIGINT: finishing the current step and saving/m)
  const summary = JSON.parse(stdout)
  t.equal(summary.status, 'interrupted')
  const [name] = readdirSync(join(cwd, 'runs'))
  const checkpoint = await readCheckpoint(join(cwd, 'runs', name, summary.checkpoint))
  t.equal(checkpoint.step, summary.steps, 'the weights are those of the last step')
  t.ok(summary.steps > 0)
})

t.test('a file with three mistakes: all are reported, exit code 2, nothing is created', async t => {
  const experiment = { data: { dataset: 'digit' }, train: { epochs: -1 }, optimiser: { learningRate: 0.1 } }
  const cwd = t.testdir({ 'wrong.json': JSON.stringify(experiment) })
  const { code, stdout, stderr } = await gradloom(['train', 'wrong.json', '--json'], { cwd })
  t.equal(code, 2)
  t.equal(stdout, '')
  for (const mistake of [
    /data\.dataset.*'digit'|data\.dataset.*"digit"/,
    /train\.epochs.*-1/,
    /optimiser.*optimizer/,
  ]) {
    t.match(stderr, mistake)
  }
  t.notMatch(stderr, /\n {4}at /, 'no stack')
  t.same(readdirSync(cwd), ['wrong.json'])
})

t.test('a run directory that is not empty is refused with exit code 2 and not changed', async t => {
  const cwd = t.testdir({ mine: { 'keep.txt': 'kept' } })
  const { code, stderr } = await gradloom(['train', SMOKE, '--run-dir', 'mine'], { cwd })
  t.equal(code, 2)
  t.match(stderr, /mine: run directory holds 'keep.txt', expected a new or empty directory\nhint: /)
  t.same(readdirSync(join(cwd, 'mine')), ['keep.txt'])
})

t.test('a run without anything to evaluate exits with 2', async t => {
  const cwd = t.testdir({})
  const { code, stderr } = await gradloom(['evaluate', 'nowhere'], { cwd })
  t.equal(code, 2)
  t.match(stderr, /^nowhere: cannot be read: ENOENT.*expected a run directory or a checkpoint file\nhint: /)
})
