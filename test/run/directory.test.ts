import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import type { LoadedFile } from '../../src/data/dataset.js'
import { RunDirectory } from '../../src/run/directory.js'
import type { RunSummary, StepsEvent } from '../../src/run/events.js'
import { machineFacts } from '../../src/run/machine.js'
import { makeRunDirectory } from '../../src/run/write-errors.js'

const now = new Date('2026-01-31T12:00:05.999Z')
const create = async (t: Test, options: Parameters<typeof RunDirectory.create>[0]) => {
  const directory = await RunDirectory.create(options)
  t.teardown(() => directory.close())
  return directory
}

t.test('a directory is named after the experiment and the time, and runs of one second keep apart', async t => {
  const root = join(t.testdir({}), 'deep', 'runs')
  const paths = await Promise.all([1, 2, 3].map(async () => (await create(t, { name: 'mnist', root, now })).path))
  t.same(paths.map(path => basename(path)).sort(), [
    'mnist-2026-01-31T12-00-05',
    'mnist-2026-01-31T12-00-05-2',
    'mnist-2026-01-31T12-00-05-3',
  ])
})

t.test('directories that are missing may be created by several at once', async t => {
  const root = t.testdir({})
  for (let round = 0; round < 40; round++) {
    const path = join(root, String(round), 'deep', 'er', 'runs')
    // Each begins while the one before it is at another of the directories.
    const late = async (turns: number) => {
      for (let turn = 0; turn < turns; turn++) await stat(root)
      await makeRunDirectory(path)
    }
    await Promise.all([0, 1, 2, 3, 4, 5].map(late))
    t.ok(existsSync(path))
  }
})

const steps: StepsEvent = {
  ...{ type: 'steps', from: 0, step: 1, epoch: 1 },
  ...{ loss: 1, accuracy: 0.5, learningRate: 0.1, samplesPerSecond: 10 },
}

t.test('a run writes its documented files', async t => {
  const root = t.testdir({})
  const directory = await RunDirectory.create({ name: 'a', root, now })
  await directory.writeStart(
    {
      startedAt: now.toISOString(),
      backend: { name: 'wasm', reason: 'the only one', library: null, bitsDependOn: 'gradloom' },
      workers: 2,
      data: { dataset: 'digits', rows: {}, classNames: [], files: [{ path: 'images', md5: 'abc' } as LoadedFile] },
      from: null,
    },
    '{ "name":  "a" } ',
    { name: 'a', seed: 1 },
  )
  directory.appendMetrics({ ...steps, loss: 1.5 })
  directory.appendMetrics({ ...steps, loss: Number.NaN, samplesPerSecond: Number.POSITIVE_INFINITY })
  const file = join(directory.checkpoints, 'step-400.safetensors')
  await directory.writeSummary({ name: 'a', status: 'completed', checkpoint: directory.relative(file) } as RunSummary)
  await directory.close()
  const text = (name: string) => readFileSync(join(directory.path, name), 'utf8')
  t.equal(text('experiment.json'), '{ "name":  "a" } ', 'as given, to the byte')
  t.equal(text('resolved.json'), '{\n  "name": "a",\n  "seed": 1\n}\n')
  const [first, second] = text('metrics.jsonl')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  t.match(first, { ...steps, loss: 1.5, time: /^\d{4}-\d\d-\d\dT.*Z$/ })
  t.match(second, { loss: 'NaN', samplesPerSecond: 'Infinity' }, 'no number is lost as null')
  t.equal(JSON.parse(text('summary.json')).checkpoint, 'checkpoints/step-400.safetensors')
  const manifest = JSON.parse(text('manifest.json'))
  t.match(manifest, {
    startedAt: '2026-01-31T12:00:05.999Z',
    backend: { name: 'wasm', reason: 'the only one', library: null, bitsDependOn: 'gradloom' },
    workers: 2,
    data: { files: [{ path: 'images', md5: 'abc' }] },
    machine: { node: process.versions.node, v8: process.versions.v8, cpu: machineFacts().cpu },
  })
  t.same(readdirSync(directory.path).sort(), [
    'checkpoints',
    'experiment.json',
    'manifest.json',
    'metrics.jsonl',
    'resolved.json',
    'summary.json',
  ])
})

t.test('a given directory must be new or empty', async t => {
  const dir = t.testdir({ full: { one: '', two: '' }, empty: {}, file: '' })
  t.equal((await create(t, { name: 'a', dir: join(dir, 'empty') })).path, join(dir, 'empty'))
  t.equal((await create(t, { name: 'a', dir: join(dir, 'x', 'y') })).path, join(dir, 'x', 'y'))
  const refused = (path: string, message: RegExp) =>
    t.rejects(RunDirectory.create({ name: 'a', dir: join(dir, path) }), { name: 'ConfigError', exitCode: 2, message })
  await refused('full', /full: run directory holds '(one|two)' and 1 more, expected a new or empty directory/)
  await refused('file', /file: is a file, expected a directory for the run/)
  await refused('file/below', /below: run directory cannot be created: ENOTDIR/)
  t.same(readdirSync(join(dir, 'full')).sort(), ['one', 'two'], 'and is left alone')
})

t.test('a directory that cannot be created is an error', async t => {
  const dir = t.testdir({ runs: '' })
  await t.rejects(RunDirectory.create({ name: 'a', root: join(dir, 'runs') }), {
    exitCode: 2,
    message: /runs: is a file, expected a directory/,
  })
  await t.rejects(RunDirectory.create({ name: '../a', root: join(dir, 'new') }), { exitCode: 2, message: /slashes/ })
})

t.test(
  'a place that no user may write, including root, is an error',
  { skip: process.platform !== 'linux' && 'needs /proc' },
  async t => {
    await t.rejects(RunDirectory.create({ name: 'a', dir: '/proc/gradloom' }), {
      name: 'RunError',
      message: /^\/proc\/gradloom: run directory cannot be created: /,
      hint: /--run-dir/,
    })
  },
)

const noFull = !existsSync('/dev/full') && 'needs /dev/full'
t.test('metrics that cannot be written warn, and do not stop the run', { skip: noFull }, async t => {
  const { MetricsLog } = await import('../../src/run/metrics.js')
  const warnings: string[] = []
  const log = await MetricsLog.open('/dev/full', message => warnings.push(message))
  log.append({ step: 1 })
  log.append({ step: 2 })
  await log.flush()
  t.match(warnings, [/^\/dev\/full: metrics cannot be written: ENOSPC/])
  log.append({ step: 3 })
  await log.close()
  t.match(warnings, [/ENOSPC/, /^\/dev\/full: 3 events are missing$/], 'one warning, and the count at the end')
  t.throws(() => log.append({ step: 4 }), /append after close/)
})

t.test('metrics keep their order', async t => {
  const directory = await RunDirectory.create({ name: 'a', root: t.testdir({}), now })
  for (let step = 0; step < 500; step++) {
    directory.appendMetrics({ ...steps, step })
    if (step % 50 === 0) await new Promise(resolve => setTimeout(resolve, 1))
  }
  await directory.close()
  await directory.close()
  const lines = readFileSync(join(directory.path, 'metrics.jsonl'), 'utf8').trimEnd().split('\n')
  t.same(
    lines.map(line => JSON.parse(line).step),
    Array.from({ length: 500 }, (_, i) => i),
  )
})
