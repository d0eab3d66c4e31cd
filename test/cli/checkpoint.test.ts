/** `gradloom checkpoint inspect | verify | prune`, on the checkpoints of a real run. */
import { cpSync, existsSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { train } from '../../src/coordinator/new-run.js'
import type { Inspection } from '../../src/run/inspect.js'
import { RunLock } from '../../src/run/lock.js'
import { readParameters } from '../../src/run/parameters.js'
import { writeTinyData } from '../helpers/tiny-data.js'
import { gradloom } from './run-cli.js'

const root = t.testdir({})
const runDir = join(root, 'run')
const summary = await train(
  resolveExperiment({
    name: 'small',
    data: { dataset: 'idx', path: writeTinyData(join(root, 'data')) },
    model: { hidden: [8] },
    // A run that may roll back has all checkpoints on schedule, however slow the disk is.
    train: { epochs: 2, batchSize: 50, onNonFinite: 'rollback' },
    compute: { backend: 'wasm', workers: 1 },
    checkpoint: { everySteps: 5, keepLast: 4 },
  }),
  { runDir },
)
const folder = join(runDir, 'checkpoints')
const file = (step: number) => join(folder, `step-${step}.safetensors`)

t.test('inspect: position, digests and statistics match those recomputed from the weights', async t => {
  const { code, stdout } = await gradloom(['checkpoint', 'inspect', runDir, '--json'])
  t.equal(code, 0)
  const found = JSON.parse(stdout) as Inspection
  t.match(found, { file: file(22), parameters: 35 * 8 + 8 + 8 * 4 + 4, checkpoint: { step: 22, epoch: 2 } })
  t.equal(found.moments, 2 * found.parameters, 'Adam has two')
  t.equal(found.checkpoint.weightsSha256, summary.weightsSha256)
  for (const [name, { data }] of await readParameters(runDir)) {
    const tensor = found.tensors.find(tensor => tensor.name === name)!
    const values = [...data]
    t.strictSame([tensor.min, tensor.max], [Math.min(...values), Math.max(...values)], name)
    t.ok(Math.abs(tensor.mean! - values.reduce((a, b) => a + b) / values.length) < 1e-12)
    t.strictSame([tensor.nan, tensor.infinite], [0, 0])
  }
  const text = await gradloom(['checkpoint', 'inspect', file(15)])
  t.match(text.stdout, /^experiment {2}small, seed 1$/m)
  t.match(text.stdout, /^position {4}step 15, epoch 1, 730 samples seen$/m)
  t.match(text.stdout, /^layers\.0\.weight +35 x 8 +F32 +1\.1 kB +-0\.\d+ +0\.\d+ +-?0\.\d+ +0 +0$/m)
})

t.test('inspect counts values that are not finite', async t => {
  const bad = join(root, 'bad.safetensors')
  const bytes = readFileSync(file(22))
  const start = 8 + Number(bytes.readBigUInt64LE())
  bytes.writeFloatLE(Number.NaN, start)
  bytes.writeFloatLE(Number.POSITIVE_INFINITY, start + 4)
  writeFileSync(bad, bytes)
  const found = JSON.parse((await gradloom(['checkpoint', 'inspect', bad, '--json'])).stdout) as Inspection
  t.match(found.tensors[0], { name: 'layers.0.weight', nan: 1, infinite: 1, max: Number })
})

t.test('verify checks every checkpoint of a run; a damaged one is named, and the exit code is 1', async t => {
  const good = await gradloom(['checkpoint', 'verify', runDir])
  t.equal(good.code, 0)
  t.equal(good.stdout.split('\n').filter(line => line.startsWith('whole ')).length, 4)
  const copy = join(root, 'damaged')
  cpSync(runDir, copy, { recursive: true })
  const damaged = join(copy, 'checkpoints', 'step-15.safetensors')
  const bytes = readFileSync(damaged)
  bytes[bytes.length - 1] ^= 1
  writeFileSync(damaged, bytes)
  const { code, stdout } = await gradloom(['checkpoint', 'verify', copy])
  t.equal(code, 1)
  t.match(stdout, /^DAMAGED {2}.*step-15\.safetensors: SHA-256 of the optimizer state is [0-9a-f]{64}, expected/m)
  const json = JSON.parse((await gradloom(['checkpoint', 'verify', copy, '--json'])).stdout)
  t.equal(json.checkpoints.filter(({ problem }: { problem: string | null }) => problem !== null).length, 1)
  t.match(await gradloom(['checkpoint', 'verify', join(root, 'data')]), { code: 1, stderr: /run has no checkpoint/ })
  t.match(await gradloom(['checkpoint', 'verify', join(root, 'nothing')]), { code: 2, stderr: /cannot be read/ })
})

t.test('prune keeps the newest and the best checkpoint, and is refused while the run is in use', async t => {
  const copy = join(root, 'pruned')
  cpSync(runDir, copy, { recursive: true, verbatimSymlinks: true })
  const names = () => readdirSync(join(copy, 'checkpoints')).filter(name => name.startsWith('step-'))
  const before = names()
  const dry = await gradloom(['checkpoint', 'prune', copy, '--dry-run'])
  t.match(dry.stdout, /would remove .*step-15/)
  t.strictSame(names(), before)
  const lock = await RunLock.take(copy)
  t.match(await gradloom(['checkpoint', 'prune', copy]), { code: 1, stderr: /run is in use by process/ })
  await lock.release()
  t.equal((await gradloom(['checkpoint', 'prune', copy])).code, 0)
  t.ok(existsSync(join(copy, 'checkpoints', 'latest')) && existsSync(join(copy, 'checkpoints', 'best')))
  t.ok(names().includes('step-22.safetensors') && names().length <= 2, names().join(' '))
  t.match(await gradloom(['checkpoint', 'prune', copy, '--keep-last', '0']), { code: 2, stderr: /--keep-last is 0/ })
})

t.test('prune keeps intact checkpoints that are needed when others are damaged or missing', async t => {
  const copied = (name: string) => {
    const copy = join(root, name)
    cpSync(runDir, copy, { recursive: true, verbatimSymlinks: true })
    return { copy, folder: join(copy, 'checkpoints') }
  }
  const stepsIn = (folder: string) => readdirSync(folder).filter(name => name.endsWith('.safetensors'))
  const damage = (path: string) => {
    const bytes = readFileSync(path)
    bytes[bytes.length - 1] ^= 1
    writeFileSync(path, bytes)
  }

  const newest = copied('prune-newest-damaged')
  damage(join(newest.folder, 'step-22.safetensors'))
  const result = JSON.parse((await gradloom(['checkpoint', 'prune', newest.copy, '--json'])).stdout)
  t.match(result, { damaged: [/step-22/] })
  t.ok(stepsIn(newest.folder).includes('step-20.safetensors'), 'the newest whole one stays')

  const all = copied('prune-all-damaged')
  const before = stepsIn(all.folder)
  for (const name of before) damage(join(all.folder, name))
  t.match(await gradloom(['checkpoint', 'prune', all.copy]), { code: 1, stderr: /none of its 4 checkpoints is whole/ })
  t.strictSame(stepsIn(all.folder), before, 'nothing was removed')

  const noLink = copied('prune-no-link')
  const best = readlinkSync(join(noLink.folder, 'best'))
  rmSync(join(noLink.folder, 'best'))
  t.equal((await gradloom(['checkpoint', 'prune', noLink.copy])).code, 0)
  t.ok(stepsIn(noLink.folder).includes(best), 'the best one by the newest checkpoint, without the link')

  const older = copied('prune-summary')
  const summaryFile = join(older.copy, 'summary.json')
  const text = readFileSync(summaryFile, 'utf8')
  writeFileSync(summaryFile, text.replace('step-22.safetensors', 'step-15.safetensors'))
  t.equal((await gradloom(['checkpoint', 'prune', older.copy, '--keep-best', 'false'])).code, 0)
  t.ok(stepsIn(older.folder).includes('step-15.safetensors'), 'the weights of the summary stay')
})
