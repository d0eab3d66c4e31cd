/** Sweeps: the same file gives the same runs; killed ones continue; halving keeps the best by validation. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { RunSummary } from '../../src/run/events.js'
import { LOCK_FILE, RunLock } from '../../src/run/lock.js'
import { loadSweep, type SweepFile } from '../../src/sweep/file.js'
import { sweepPoints } from '../../src/sweep/plan.js'
import { runSweep } from '../../src/sweep/sweep.js'
import { gradloom } from '../cli/run-cli.js'
import { directoryBytes } from '../helpers/directory-bytes.js'
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

t.test('errors are reported before any run starts', async t => {
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

t.test('a run that fails is reported, and the others continue', async t => {
  const sweep = write('failing', {
    set: { 'optimizer.type': 'sgd', 'train.epochs': 2 },
    grid: { 'optimizer.learningRate': [1e30, 0.1] },
  })
  const { code, stdout } = await gradloom(['sweep', sweep, '--run-dir', join(root, 'failing'), '--quiet'])
  t.equal(code, 1)
  t.match(stdout, /2 runs in .*: 1 completed, 1 failed\nfailed: .*run-001: training: epoch 1, .* not finite/)
  t.match(stdout, /best by validation-accuracy: .*run-002/)
})

const short = { 'train.epochs': 1 }

t.test(
  'two sweeps in one directory: the second is refused and names the process; a stale lock is taken over',
  async t => {
    const sweep = write('locked', { set: short, seeds: [1, 2] })
    const dir = join(root, 'locked')
    let second: unknown
    const result = await runSweep(await loadSweep(sweep), {
      dir,
      onEvent: (_, event) => {
        if (event.type === 'start')
          second ??= loadSweep(sweep)
            .then(loaded => runSweep(loaded, { dir }))
            .catch(error => error)
      },
    })
    t.match(await second, { name: 'RunError', message: new RegExp(`sweep is in use by process ${process.pid} on `) })
    t.match(result.runs, [{ status: 'completed' }, { status: 'completed' }])
    t.notOk(readdirSync(dir).includes(LOCK_FILE))
    writeFileSync(join(dir, LOCK_FILE), JSON.stringify({ pid: process.pid, host: hostname(), started: '1' }))
    t.match((await runSweep(await loadSweep(sweep), { dir })).runs, [{ status: 'completed' }, { status: 'completed' }])
  },
)

t.test('a run locked by another process is left to it and not marked as failed', async t => {
  const sweep = write('in-use', { set: short, seeds: [1, 2] })
  const dir = join(root, 'in-use')
  mkdirSync(join(dir, 'run-001'), { recursive: true })
  writeFileSync(join(dir, 'sweep.json'), '[]')
  const lock = await RunLock.take(join(dir, 'run-001'))
  const warnings: string[] = []
  const { runs } = await runSweep(await loadSweep(sweep), { dir, onWarning: message => warnings.push(message) })
  t.match(runs, [{ status: 'waiting' }, { status: 'completed' }])
  t.match(warnings.join('\n'), /run 1: .*in use by process \d+/)
  await lock.release()
  t.match((await runSweep(await loadSweep(sweep), { dir })).runs, [{ status: 'completed' }, { status: 'completed' }])
})

t.test('a failed run is tried again, or kept with keepFailed', async t => {
  const sweep = write('again', { set: short, seeds: [1, 2] })
  const dir = join(root, 'again')
  await runSweep(await loadSweep(sweep), { dir })
  const file = join(dir, 'run-001', 'summary.json')
  const { error: _, ...summary } = JSON.parse(readFileSync(file, 'utf8'))
  writeFileSync(file, JSON.stringify({ ...summary, status: 'failed' }))
  const kept = await runSweep(await loadSweep(sweep), { dir, keepFailed: true })
  t.match(kept.runs[0], { status: 'failed', error: 'its summary.json does not say why' })
  const warnings: string[] = []
  const again = await runSweep(await loadSweep(sweep), { dir, onWarning: message => warnings.push(message) })
  t.match(again.runs, [{ status: 'completed' }, { status: 'completed' }])
  t.match(warnings.join('\n'), /run 1: failed before: its summary.json does not say why; it is tried again/)
})

t.test('data that change during a sweep are refused; after they are restored, the sweep continues', async t => {
  const dir = join(root, 'changed')
  const folder = join(root, 'changing')
  writeTinyData(folder)
  writeFileSync(
    join(root, 'changing.json'),
    JSON.stringify({
      ...JSON.parse(readFileSync(join(root, 'base.json'), 'utf8')),
      data: { dataset: 'idx', path: 'changing', validation: 0.2 },
    }),
  )
  const sweep = write('changed', { experiment: 'changing.json', set: short, seeds: [1, 2] })
  await runSweep(await loadSweep(sweep), { dir })
  rmSync(join(dir, 'run-002'), { recursive: true })
  const images = join(folder, 'train-images-idx3-ubyte')
  const bytes = readFileSync(images)
  const other = Buffer.from(bytes)
  other[100] ^= 1
  writeFileSync(images, other)
  const refusal = { name: 'DataError', message: /MD5 is .*, expected the same data for all runs of the sweep/ }
  await t.rejects(runSweep(await loadSweep(sweep), { dir }), refusal)
  writeFileSync(images, bytes)
  t.match((await runSweep(await loadSweep(sweep), { dir })).runs, [{ status: 'completed' }, { status: 'completed' }])

  writeFileSync(images, other)
  const since = { name: 'DataError', message: /MD5 was \w+ for run-001 and is \w+ now, expected the same data for all/ }
  await t.rejects(runSweep(await loadSweep(sweep), { dir }), since, 'also where every run is finished')
  rmSync(folder, { recursive: true })
  const warnings: string[] = []
  const { runs } = await runSweep(await loadSweep(sweep), { dir, onWarning: message => warnings.push(message) })
  t.match(runs, [{ status: 'completed' }, { status: 'completed' }])
  t.match(warnings.join('\n'), /the finished runs cannot be compared with it/)
})

t.test(
  'an edited sweep is refused with what differs; more runs at the end are accepted; foreign files are not removed',
  async t => {
    const sweep = (rates: number[]) => write('edited', { set: short, grid: { 'optimizer.learningRate': rates } })
    const dir = join(root, 'edited')
    await runSweep(await loadSweep(sweep([0.01])), { dir })
    const before = directoryBytes(dir)
    await t.rejects(
      loadSweep(sweep([0.02])).then(loaded => runSweep(loaded, { dir })),
      {
        name: 'ConfigError',
        message: /holds another sweep.*run 1: optimizer\.learningRate: 0\.01 -> 0\.02/,
      },
    )
    t.strictSame(directoryBytes(dir), before)
    t.equal((await runSweep(await loadSweep(sweep([0.01, 0.02])), { dir })).runs.length, 2)
    await t.rejects(
      loadSweep(sweep([0.01])).then(loaded => runSweep(loaded, { dir })),
      /had 2 runs, has 1/,
    )

    renameSync(join(dir, 'run-002', 'resolved.json'), join(root, 'aside.json'))
    const lost = await runSweep(await loadSweep(sweep([0.01, 0.02])), { dir })
    t.match(lost.runs[1], { status: 'failed', error: /has no resolved\.json but holds / })
    t.ok(readdirSync(join(dir, 'run-002', 'checkpoints')).length > 0, 'its checkpoints are still there')
    const foreign = t.testdir({ 'thesis.tex': '' })
    await t.rejects(
      loadSweep(sweep([0.01])).then(loaded => runSweep(loaded, { dir: foreign })),
      /holds 'thesis\.tex'/,
    )
    t.strictSame(readdirSync(foreign), ['thesis.tex'])
  },
)

t.test('a directory that cannot hold a sweep is an error with a hint, not a stack', async t => {
  const sweep = write('nowhere', { set: short })
  for (const place of ['/proc/gradloom', join(root, 'base.json'), join(root, 'base.json', 'x')]) {
    const { code, stderr } = await gradloom(['sweep', sweep, '--run-dir', place, '--quiet'])
    t.ok(code === 1 || code === 2, place)
    t.notMatch(stderr, /\n {4}at /)
    t.match(stderr, /run directory cannot be created|is a file, expected a directory/)
  }
})

t.test('a sweep whose task follows from its table is not repeated, and a run of it is resumed', async t => {
  const row = (i: number) => [i, (i * 7) % 11, i % 3 === 0 ? 'a' : 'b', `${(i * 0.37 + (i % 5)).toFixed(2)}`].join()
  writeFileSync(join(root, 't.csv'), `x,y,class,price\n${Array.from({ length: 60 }, (_, i) => row(i)).join('\n')}\n`)
  for (const target of ['class', 'price']) {
    const experiment = {
      data: { dataset: 'table', path: 't.csv', target },
      ...{ model: { hidden: [4] }, train: { epochs: 2 }, compute: { backend: 'wasm', workers: 1 } },
    }
    writeFileSync(join(root, `table-${target}.json`), JSON.stringify(experiment))
    const file = write(`tables-${target}`, { experiment: `table-${target}.json`, seeds: [1, 2] })
    const runDir = join(root, `runs-${target}`)
    const first = await runSweep(await loadSweep(file), { dir: runDir })
    const bytes = directoryBytes(join(runDir, 'run-001'))
    // The second run ends as one that was killed does.
    rmSync(join(runDir, 'run-002', 'summary.json'))
    const again = await runSweep(await loadSweep(file), { dir: runDir })
    t.same(
      again.runs.map(({ status, error }) => [status, error]),
      first.runs.map(({ error }) => ['completed', error]),
    )
    t.same(directoryBytes(join(runDir, 'run-001')), bytes, 'left as it is')
  }
})
