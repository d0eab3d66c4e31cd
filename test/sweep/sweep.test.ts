/** Sweeps: the same file gives the same runs; killed ones go on; halving keeps the best by validation. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { RunSummary } from '../../src/run/events.js'
import { loadSweep, type SweepFile } from '../../src/sweep/file.js'
import { sweepPoints } from '../../src/sweep/plan.js'
import { runSweep } from '../../src/sweep/sweep.js'
import { gradloom } from '../cli/run-cli.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const root = t.testdir({})
writeTinyData(join(root, 'data'))
writeFileSync(
  join(root, 'base.json'),
  JSON.stringify({
    data: { dataset: 'idx', path: 'data', validation: 0.2 },
    model: { hidden: [16] },
    train: { epochs: 9, batchSize: 50 },
    compute: { backend: 'wasm' },
    checkpoint: { everySteps: 5 },
  }),
)
function write(name: string, sweep: object): string {
  const file = join(root, `${name}.json`)
  writeFileSync(file, JSON.stringify({ experiment: 'base.json', ...sweep }))
  return file
}
const points = async (sweep: object) =>
  sweepPoints((await loadSweep(write('points', sweep))).sweep).map(({ settings }) => settings)

t.test('grids, lists, draws and seeds are combined, in a fixed order', async t => {
  t.strictSame(await points({ set: { seed: 3 } }), [{ seed: 3 }])
  t.strictSame(await points({ grid: { 'model.dropout': [0, 0.5], 'train.l2': [0, 1] }, seeds: [7] }), [
    { 'model.dropout': 0, 'train.l2': 0, seed: 7 },
    { 'model.dropout': 0, 'train.l2': 1, seed: 7 },
    { 'model.dropout': 0.5, 'train.l2': 0, seed: 7 },
    { 'model.dropout': 0.5, 'train.l2': 1, seed: 7 },
  ])
  const random = (seed: number): Partial<SweepFile> => ({
    random: {
      ...{ count: 200, seed },
      ranges: {
        'optimizer.learningRate': { min: 1e-4, max: 1e-1, log: true, integer: false },
        'train.batchSize': { min: 10, max: 12, log: false, integer: true },
        'model.hidden': { choices: [[1], [2, 3]] },
      },
    },
  })
  const drawn = await points(random(1))
  t.equal(drawn.length, 200)
  t.strictSame(await points(random(1)), drawn, 'the same draws')
  t.notSame(await points(random(2)), drawn)
  const rates = drawn.map(point => point['optimizer.learningRate'] as number)
  t.ok(rates.every(rate => rate >= 1e-4 && rate <= 1e-1))
  const below = rates.filter(rate => rate < 10 ** -2.5).length
  t.ok(below > 70 && below < 130, `half of them below the middle of the logarithms: ${below} of 200`)
  t.strictSame([...new Set(drawn.map(point => point['train.batchSize']))].toSorted(), [10, 11, 12])
  t.equal(new Set(drawn.map(point => JSON.stringify(point['model.hidden']))).size, 2)
})

t.test('what is wrong is told before anything runs', async t => {
  const refused = async (sweep: object, message: RegExp) =>
    t.rejects(
      loadSweep(write('wrong', sweep)).then(loaded => runSweep(loaded, { dir: join(root, 'never') })),
      { message },
    )
  await refused({ gird: {} }, /wrong.json: the sweep: Unrecognized key: "gird"/)
  await refused({ random: { count: 0, ranges: { a: { min: 2, max: 1 } } } }, /random.count: .*random.ranges.a/)
  await refused({ grid: { 'model.dropuot': [0] } }, /unknown key "model.dropuot"; did you mean "model.dropout"/)
  await refused({ grid: { 'model.dropout': [0, 2] } }, /model.dropout is 2, expected a number >= 0 and < 1/)
  await refused({ experiment: 'none.json' }, /none.json: there is no such file/)
  await refused({ halving: {}, set: { 'schedule.type': 'cosine' } }, /schedule.type is "cosine", expected one that/)
  t.throws(() => statSync(join(root, 'never')), { code: 'ENOENT' })
})

t.test(
  '12 short runs, killed twice: 12 results, none run twice to its end, the bits of an undisturbed sweep',
  async t => {
    const sweep = write('killed', {
      set: { 'train.epochs': 40 },
      grid: { 'model.dropout': [0, 0.1, 0.3], 'optimizer.learningRate': [0.001, 0.01] },
      seeds: [1, 2],
      parallel: 2,
    })
    const undisturbed = await runSweep(await loadSweep(sweep), { dir: join(root, 'undisturbed') })
    t.equal(undisturbed.runs.filter(({ status }) => status === 'completed').length, 12)
    const dir = join(root, 'killed-sweep')
    const finished = () => {
      const found = new Map<string, string>()
      for (const run of readdirSync(dir)) {
        try {
          const text = readFileSync(join(dir, run, 'summary.json'), 'utf8')
          if ((JSON.parse(text) as RunSummary).status === 'completed') found.set(run, text)
        } catch {}
      }
      return found
    }
    const before: Map<string, string>[] = []
    for (const wanted of [2, 7]) {
      mkdirSync(dir, { recursive: true })
      const child = spawn(
        process.execPath,
        [resolve('dist/src/cli/main.js'), 'sweep', sweep, '--run-dir', dir, '--quiet'],
        {
          stdio: 'ignore',
        },
      )
      const ended = once(child, 'close')
      while (finished().size < wanted && child.exitCode === null) await delay(10)
      child.kill('SIGKILL')
      const [code] = await ended
      t.equal(code, null, 'it was killed')
      before.push(finished())
    }
    t.ok(before[1].size < 12, `killed after ${before.map(({ size }) => size).join(' and ')} runs`)
    const { code, stdout } = await gradloom(['sweep', sweep, '--run-dir', dir, '--quiet', '--json'])
    t.equal(code, 0)
    const result = JSON.parse(stdout)
    t.equal(result.runs.length, 12)
    const last = finished()
    t.equal(last.size, 12)
    for (const earlier of before) {
      for (const [run, text] of earlier) t.equal(last.get(run), text, `${run} was not run again`)
    }
    const digests = (of: string) =>
      Array.from(last.keys(), run => JSON.parse(readFileSync(join(of, run, 'summary.json'), 'utf8')).weightsSha256)
    t.strictSame(digests(dir), digests(join(root, 'undisturbed')))
    const other = write('killed', { set: { 'train.epochs': 3 } })
    t.match(await gradloom(['sweep', other, '--run-dir', dir]), { code: 2, stderr: /holds another sweep/ })
  },
)

t.test(
  'successive halving: 9 variants, then 3, then 1, by validation; the winner as if it had trained alone',
  async t => {
    const sweep = write('halving', {
      grid: { 'optimizer.learningRate': [1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-7] },
      halving: { factor: 3, rungs: 3 },
    })
    const { runs, best } = await runSweep(await loadSweep(sweep), { dir: join(root, 'halving') })
    const epochs = runs.map(run => run.epochs).toSorted((a, b) => a - b)
    t.strictSame(epochs, [1, 1, 1, 1, 1, 1, 3, 3, 9])
    t.equal(runs.filter(({ status }) => status === 'dropped').length, 8)
    t.equal(best!.epochs, 9)
    t.match(best!.score!.metric, /^validation-accuracy/)
    const alone = await runSweep(
      await loadSweep(write('alone', { set: best!.point.settings as Record<string, unknown> })),
      { dir: join(root, 'alone') },
    )
    const digest = (dir: string) => JSON.parse(readFileSync(join(dir, 'summary.json'), 'utf8')).weightsSha256
    t.equal(digest(best!.dir), digest(alone.runs[0].dir))
  },
)

t.test('a run that fails is told, and the others go on', async t => {
  const sweep = write('failing', {
    set: { 'optimizer.type': 'sgd', 'train.epochs': 2 },
    grid: { 'optimizer.learningRate': [1e30, 0.1] },
  })
  const { code, stdout } = await gradloom(['sweep', sweep, '--run-dir', join(root, 'failing'), '--quiet'])
  t.equal(code, 1)
  t.match(stdout, /2 runs in .*: 1 completed, 1 failed\nfailed: .*run-001: training: epoch 1, .* not finite/)
  t.match(stdout, /best by validation-accuracy: .*run-002/)
})
