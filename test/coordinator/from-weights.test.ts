/** Runs that begin with weights of other programs: what they start from, what is recorded, what is refused later. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { exportWeights } from '../../src/export/export.js'
import { encodeNpz } from '../../src/export/npz.js'
import { gradloom } from '../cli/run-cli.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())
const experiment = (more: Partial<ExperimentInput> = {}) =>
  resolveExperiment({
    data: { dataset: 'idx', path },
    model: { hidden: [29, 13], norm: 'batch', dropout: 0.2 },
    train: { epochs: 1, batchSize: 100, ema: { decay: 0.5 } },
    compute: { backend: 'wasm', workers: 2 },
    ...more,
  })
const untrained = { train: { epochs: 0 } }

t.test('train --from reads exported weights bit for bit, including statistics of batch norm', async t => {
  const dir = t.testdir()
  const plain = { train: { epochs: 1, batchSize: 100 } }
  const runDir = join(dir, 'run')
  const { weightsSha256 } = await train(experiment(plain), { runDir })
  const file = join(dir, 'weights.npz')
  await exportWeights(runDir, file)
  const again = await train(experiment(untrained), { runDir: null, from: file })
  t.equal(again.weightsSha256, weightsSha256)
})

t.test('the manifest has the digest: reproduce and resume begin with the same file, and refuse another', async t => {
  const dir = t.testdir()
  const [file, runDir] = [join(dir, 'weights.npz'), join(dir, 'run')]
  const [source, other] = [join(dir, 'source'), join(dir, 'other.npz')]
  await train(experiment(), { runDir: source })
  await exportWeights(source, file)
  const warnings: string[] = []
  const { weightsSha256 } = await train(experiment(), {
    ...{ runDir, from: file },
    onWarning: message => warnings.push(message),
  })
  t.strictSame(warnings, [])
  const { from } = JSON.parse(readFileSync(join(runDir, 'manifest.json'), 'utf8'))
  t.match(from, { file, imported: { layout: 'in-out', sha256: /^[0-9a-f]{64}$/ }, weightsSha256: /^[0-9a-f]{64}$/ })
  t.equal((await reproduce(runDir)).identical, true)

  copyFileSync(file, other)
  const bytes = readFileSync(file)
  // The time of a member, which no reader compares: the archive stays whole, with the same weights, and is another file.
  bytes[10] ^= 1
  writeFileSync(file, bytes)
  await t.rejects(reproduce(runDir), {
    name: 'DataError',
    message: /weights\.npz: SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}; the run began with another file/,
  })
  copyFileSync(other, file)
  const { summary } = await resume(runDir, { overrides: ['train.epochs=2'] })
  const both = await train(experiment({ train: { epochs: 2, batchSize: 100, ema: { decay: 0.5 } } }), {
    ...{ runDir: null, from: file },
  })
  t.equal(summary.weightsSha256, both.weightsSha256)
  t.not(both.weightsSha256, weightsSha256)
})

t.test('train --from refuses a file that does not fit before training; --from-layout transposes weights', async t => {
  const dir = t.testdir({
    'x.json': JSON.stringify({ data: { dataset: 'idx', path }, model: { hidden: [] }, train: { epochs: 0 } }),
  })
  const file = join(dir, 'weights.npz')
  const values = Float32Array.from({ length: 35 * 4 }, (_, n) => n)
  writeFileSync(file, encodeNpz([{ name: 'weight', shape: [4, 35], data: values }]))
  const command = (...more: string[]) =>
    gradloom([
      'train',
      join(dir, 'x.json'),
      '--quiet',
      '--json',
      '--run-dir',
      join(dir, `run-${more.length}`),
      '--from',
      ...more,
    ])
  const turned = await command(file)
  t.equal(turned.code, 0, turned.stderr)
  t.match(turned.stderr, 'has no layers.0.bias; they start at 0')
  const refused = await command(file, '--from-layout', 'in-out')
  t.equal(refused.code, 1)
  t.match(refused.stderr, 'weights.npz: weight is (4, 35), expected (35, 4) in in-out form for layers.0.weight')
  const ordered = await command(file, '--from-layout', 'out-in', '--from-order', 'head')
  t.match(ordered.stderr, 'weights.npz: the given order has head, expected each of ')
  const useless = await command(join(dir, 'run-1'), '--from-layout', 'in-out')
  t.equal(useless.code, 2)
  t.match(useless.stderr, '--from-layout is "in-out", expected none')
})
