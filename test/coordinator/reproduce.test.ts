/** Training a saved run again: identical, or where it begins to differ, or why it cannot be. */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { encodePng } from '../../src/picture/png.js'
import { sealed } from '../../src/run/seal.js'
import { gradloom } from '../cli/run-cli.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const root = t.testdir({})
const path = writeTinyData(join(root, 'data'))
const experiment = (more: Partial<ExperimentInput> = {}) =>
  resolveExperiment({
    data: { dataset: 'idx', path },
    model: { hidden: [29, 13], dropout: 0.3 },
    train: { epochs: 2, batchSize: 50 },
    compute: { backend: 'wasm', workers: 2 },
    checkpoint: { everySteps: 5, keepLast: 2 },
    ...more,
  })
const runDir = join(root, 'run')
await train(experiment(), { runDir })

t.test('a finished run, with another number of workers', async t => {
  const found = await reproduce(runDir, { overrides: ['compute.workers=3'] })
  t.match(found, { identical: true, identicalUpTo: 22, difference: null, environment: ['workers: 2 -> 3'] })
  t.equal(found.compared, found.recorded)
  t.equal(found.recorded, [5, 10, 11, 15, 20, 22].length, 'checkpoints, epochs and the end')
})

t.test('a run that was stopped and resumed, and one that began from weights', async t => {
  const stoppedDir = join(root, 'stopped')
  const stop = new AbortController()
  const onEvent = (event: { type: string; step?: number }) => {
    if (event.type === 'steps' && event.step! >= 10) stop.abort()
  }
  await train(experiment(), { runDir: stoppedDir, signal: stop.signal, onEvent })
  t.match(await reproduce(stoppedDir), { identical: true, difference: null }, 'up to where it was stopped')
  await resume(stoppedDir)
  t.match(await reproduce(stoppedDir), { identical: true, identicalUpTo: 22 })
  const fromDir = join(root, 'from')
  await train(experiment({ seed: 5 }), { runDir: fromDir, from: runDir })
  t.match(await reproduce(fromDir), { identical: true, difference: null })
})

t.test('pictures: the manifest records the versions of the decoders, and reproduce names other versions', async t => {
  const folder = join(root, 'pictures')
  for (const [c, name] of ['dark', 'light'].entries()) {
    mkdirSync(join(folder, name), { recursive: true })
    for (let i = 0; i < 5; i++) {
      writeFileSync(join(folder, name, `${i}.png`), encodePng(2, 2, new Uint8Array(12).fill(100 * c + i)))
    }
  }
  const dir = join(root, 'of-pictures')
  await train(experiment({ data: { dataset: 'images', path: folder }, train: { epochs: 1, batchSize: 4 } }), {
    runDir: dir,
  })
  const file = join(dir, 'manifest.json')
  const { sha256: _, ...manifest } = JSON.parse(readFileSync(file, 'utf8'))
  const { sharp: version, vips } = sharp.versions
  t.same(manifest.data.libraries, { sharp: version, libvips: vips })
  t.match(await reproduce(dir), { identical: true, environment: [] })
  const older = { ...manifest, data: { ...manifest.data, libraries: { sharp: version, libvips: '8.0.0' } } }
  writeFileSync(file, JSON.stringify(sealed(older)))
  t.match(await reproduce(dir), { identical: true, environment: [`libvips: 8.0.0 -> ${vips}`] })
})

t.test(
  'the weights that a run started from have moved: found beside the run, or by fromPath, and compared',
  async t => {
    const [before, after] = [join(root, 'before'), join(root, 'after')]
    await train(experiment({ seed: 7 }), { runDir: join(before, 'first') })
    await train(experiment({ seed: 8 }), { runDir: join(before, 'second'), from: join(before, 'first') })
    renameSync(before, after)
    const second = join(after, 'second')
    t.match(await reproduce(second), { identical: true }, 'both have moved together')
    renameSync(join(after, 'first'), join(root, 'elsewhere'))
    await t.rejects(reproduce(second), {
      name: 'RunError',
      message: /weights that the run started from are not there/,
      hint: /--from PATH/,
    })
    t.match(await reproduce(second, { fromPath: join(root, 'elsewhere') }), { identical: true })
    await t.rejects(reproduce(second, { fromPath: runDir }), { name: 'RunError', message: /weightsSha256 is/ })
    await t.rejects(reproduce(runDir, { fromPath: runDir }), {
      name: 'ConfigError',
      message: /started from random weights/,
    })
    rmSync(join(second, 'checkpoints'), { recursive: true })
    rmSync(join(second, 'summary.json'))
    rmSync(join(second, 'metrics.jsonl'))
    await t.rejects(resume(second), { name: 'RunError', message: /started from are not there/ })
    const { summary } = await resume(second, { fromPath: join(root, 'elsewhere') })
    t.equal(summary.status, 'completed')
  },
)

t.test('another backend: reproduce reports the first step that differs and what differs on this machine', async t => {
  const found = await reproduce(runDir, { overrides: ['compute.backend=reference'] })
  t.match(found, {
    identical: false,
    identicalUpTo: null,
    difference: { step: 5, what: /SHA-256|loss/ },
    environment: ['backend: wasm -> reference'],
  })
})

t.test('metrics edited in the middle: reproduce reports identity up to the step before', async t => {
  const dir = join(root, 'tampered')
  cpSync(runDir, dir, { recursive: true })
  const file = join(dir, 'metrics.jsonl')
  const lines = readFileSync(file, 'utf8').split('\n')
  const at = lines.findIndex(line => line.includes('"type":"steps"') && line.includes('"step":15'))
  lines[at] = lines[at].replace(/"loss":[^,]*/, '"loss":0.25')
  writeFileSync(file, lines.join('\n'))
  t.match(await reproduce(dir), { identical: false, identicalUpTo: 11, difference: { step: 15, what: /loss/ } })
})

t.test('data with one changed bit are refused', async t => {
  const dir = join(root, 'other-data')
  cpSync(runDir, dir, { recursive: true })
  const data = join(root, 'data-changed')
  cpSync(path, data, { recursive: true })
  const file = join(data, 'train-images-idx3-ubyte')
  const bytes = readFileSync(file)
  bytes[100] ^= 1
  writeFileSync(file, bytes)
  const resolved = join(dir, 'resolved.json')
  writeFileSync(resolved, readFileSync(resolved, 'utf8').replace(JSON.stringify(path), JSON.stringify(data)))
  await t.rejects(reproduce(dir), {
    name: 'DataError',
    message: /MD5 is .* expected .*; the run was trained on other data/,
  })
})

t.test('a run whose settings were changed on the way, and one with nothing to compare, are refused', async t => {
  const changed = join(root, 'changed')
  await train(experiment(), { runDir: changed })
  await resume(changed, { overrides: ['train.epochs=3', 'train.l2=0.5'], allowChange: true })
  await t.rejects(reproduce(changed), {
    name: 'ConfigError',
    message:
      /was changed at step 22: train.epochs: 2 -> 3; train.l2: 0 -> 0.5; the run cannot be reproduced from its configuration/,
  })
  const empty = join(root, 'empty')
  await train(experiment({ train: { epochs: 0 } }), { runDir: empty })
  await t.rejects(reproduce(empty), { name: 'RunError', message: /nothing|expected something to compare/ })
  await t.rejects(reproduce(root), { name: 'ConfigError', message: /has no resolved.json/ })
})

t.test('the reproduce command: exit codes 0 and 1, lines and JSON; the run is not changed', async t => {
  const before = readFileSync(join(runDir, 'summary.json'), 'utf8')
  const same = await gradloom(['reproduce', runDir, '--quiet'])
  t.match(same, { code: 0, stdout: 'identical: the same bits at every recorded step (6)\n', stderr: '' })
  const other = await gradloom(['reproduce', runDir, '--quiet', '--backend', 'reference'])
  t.equal(other.code, 1)
  t.match(other.stdout, /^differs at step 5, nothing recorded before it; 1 of 6 recorded steps compared\n/)
  t.match(other.stdout, /\n {2}recorded \S+.*\n {2}got {6}\S+.*\nchanged since the run: backend: wasm -> reference\n$/)
  const json = await gradloom(['reproduce', runDir, '--json', '--quiet'])
  t.match(JSON.parse(json.stdout), { identical: true, difference: null })
  t.equal(readFileSync(join(runDir, 'summary.json'), 'utf8'), before)
})
