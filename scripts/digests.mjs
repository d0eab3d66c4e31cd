/**
 * Digests of the weights that every shipped experiment ends with: quickstart and smoke whole, the others after one epoch.
 *
 *   node scripts/digests.mjs                        every experiment with every backend that works here
 *   node scripts/digests.mjs --against ../older     the same with another built tree, on this machine; exit code 1 if any differs
 *   node scripts/digests.mjs --backends wasm,onednn:bf16 --only smoke,quickstart
 *
 *   node scripts/digests.mjs --core-type SkylakeX   with this kernel of OpenBLAS, where an older tree would take another by itself
 *
 * Digests of `wasm` are the same everywhere; those of native backends belong to a library and a CPU, so they are compared between
 * two trees on one machine. MNIST's files are taken from GRADLOOM_TEST_MNIST, else from ../shared/data/mnist.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const WHOLE = ['quickstart', 'smoke']
const RECIPES = [
  'digits-best',
  'mnist-best',
  'mnist-fast',
  'mnist-ciresan',
  'mnist-small',
  'mnist',
  'fashion-best',
  'fashion-small',
]
const EXPERIMENTS = [...WHOLE, ...RECIPES, 'fashion-mnist']
const BACKENDS = ['wasm', 'blas', 'onednn', 'onednn:bf16']

const { values } = parseArgs({
  options: {
    against: { type: 'string' },
    backends: { type: 'string' },
    only: { type: 'string' },
    workers: { type: 'string', default: '2' },
    'core-type': { type: 'string' },
  },
})
const mnist = resolve(process.env.GRADLOOM_TEST_MNIST ?? '../shared/data/mnist')
// A core type that the machine's administrator sets slows OpenBLAS and changes its bits; both trees run without.
const { OPENBLAS_CORETYPE: _, ...env } = process.env
if (values['core-type']) env.OPENBLAS_CORETYPE = values['core-type']

/** Digest of an experiment's weights in `tree`, or the last line of what went wrong. */
function digestOf(tree, experiment, backend) {
  const folder = mkdtempSync(join(tmpdir(), 'gradloom-digest-'))
  const [name, precision = 'f32'] = backend.split(':')
  const args = ['train', `configs/${experiment}.json`, '--json', '--quiet', '--run-dir', join(folder, 'run')]
  args.push('--workers', values.workers, '--backend', name, '--precision', precision)
  if (!WHOLE.includes(experiment)) args.push('--epochs', '1')
  if (experiment.startsWith('mnist') && existsSync(mnist)) args.push('--set', `data.path=${mnist}`)
  const { stdout, stderr, status } = spawnSync(process.execPath, ['dist/src/cli/main.js', ...args], {
    cwd: tree,
    env,
    encoding: 'utf8',
  })
  rmSync(folder, { recursive: true, force: true })
  return status === 0 ? JSON.parse(stdout).weightsSha256 : `failed: ${stderr.trim().split('\n').at(-1)}`
}

let differences = 0
for (const backend of values.backends?.split(',') ?? BACKENDS) {
  for (const experiment of values.only?.split(',') ?? EXPERIMENTS) {
    const digest = digestOf('.', experiment, backend)
    const other = values.against && digestOf(values.against, experiment, backend)
    const same = other === undefined || other === digest
    if (!same) differences++
    process.stdout.write(`${experiment} ${backend} ${digest}${same ? '' : `, DIFFERS from ${other}`}\n`)
  }
}
if (values.against) process.stdout.write(`${differences} differences\n`)
process.exitCode = differences > 0 ? 1 : 0
