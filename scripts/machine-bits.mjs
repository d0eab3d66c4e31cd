/**
 * Bits of runs over several ranks: one digest for one process and for 2, 3 and 4 ranks of 1 and 2 workers, Open MPI and MPICH, backends,
 * settings that change how a step is divided, and both forms in which gradients come together.
 *
 * node scripts/machine-bits.mjs [--ranks 2,3] [--mpi openmpi] [--backend wasm] [--only TEXT]
 *
 * Prints a line for each run that differs, and one for each case. Exit code 1: a digest differs, or a run has failed. About 20 minutes on two
 * cores. Needs what test/helpers/mpi.ts names, and `npm run build`.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    ranks: { type: 'string', default: '2,3,4' },
    workers: { type: 'string', default: '1,2' },
    mpi: { type: 'string', default: 'openmpi,mpich' },
    backend: { type: 'string', default: 'wasm,onednn' },
    only: { type: 'string', default: '' },
  },
})
const MAIN = resolve('dist/src/cli/main.js')
const OPTIONS = {
  openmpi: ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none', '--mca', 'plm', 'isolated'],
  mpich: [],
}
const dir = mkdtempSync(join(tmpdir(), 'gradloom-machine-bits-'))
const { writeTinyData } = await import(resolve('dist/test/helpers/tiny-data.js'))
const file = join(dir, 'tiny.json')
const base = {
  data: { dataset: 'idx', path: writeTinyData(join(dir, 'data')) },
  model: { hidden: [24, 17] },
  train: { epochs: 2, batchSize: 100, l2: 0.05 },
  compute: { workers: 1, shardRows: 16 },
}
writeFileSync(file, JSON.stringify(base))

const convolutions = 'model.convolutions=[{"filters":5,"size":3,"pool":{"size":2}},{"filters":6,"size":3}]'
const wide = ['model.hidden=[400,300]', 'compute.gradientGroups=4', 'train.batchSize=64']
const CASES = [
  ['plain', []],
  ['dropout', ['model.dropout=0.2']],
  [
    'batch norm, clipping, accumulation, gelu',
    ['model.norm="batch"', 'train.clipNorm=0.5', 'train.accumulateSteps=2', 'model.activation="gelu"'],
  ],
  [
    'layer norm, limit of the weights, partial last batch',
    ['model.norm="layer"', 'train.maxNorm=1', 'train.batchSize=77'],
  ],
  ['batch smaller than the ranks, averages', ['train.batchSize=2', 'data.validation=0.9', 'train.ema.decay=0.9']],
  ['groups', ['compute.gradientGroups=4']],
  [
    'groups, dropout, clipping, partial last batch',
    ['compute.gradientGroups=5', 'model.dropout=0.2', 'train.clipNorm=0.5', 'train.batchSize=77'],
  ],
  [
    'groups, batch norm, accumulation',
    ['compute.gradientGroups=8', 'model.norm="batch"', 'train.accumulateSteps=2', 'model.activation="gelu"'],
  ],
  [
    'groups, layer norm, averages',
    ['compute.gradientGroups=3', 'model.norm="layer"', 'train.ema.decay=0.9', 'train.maxNorm=1'],
  ],
  ['groups, batch smaller than the ranks', ['compute.gradientGroups=2', 'train.batchSize=2', 'data.validation=0.9']],
  ['groups, rows and sums', wide],
  ['convolutions', [convolutions]],
  [
    'convolutions, batch norm, dropout, clipping',
    [convolutions.replace('"filters":5', '"filters":5,"norm":"batch","dropout":0.2'), 'train.clipNorm=0.5'],
  ],
  [
    'convolutions, groups, accumulation',
    [convolutions, 'compute.gradientGroups=4', 'train.accumulateSteps=2', 'train.batchSize=77'],
  ],
]

const settings = overrides => overrides.flatMap(text => ['--set', text])
let runs = 0
function train(command, before, overrides, args) {
  const run = join(dir, `run${++runs}`)
  const all = [
    ...before,
    process.execPath,
    MAIN,
    'train',
    file,
    '--run-dir',
    run,
    '--quiet',
    ...settings(overrides),
    ...args,
  ]
  return finish(command, all, run)
}
function finish(command, all, run) {
  const { FORCE_COLOR: _, ...env } = process.env
  const [program, ...rest] = command === null ? all : [command, ...all]
  const { status, stderr } = spawnSync(program, rest, {
    encoding: 'utf8',
    env: { ...env, GRADLOOM_TRIAL: '0' },
    timeout: 300_000,
  })
  if (status !== 0) return { run, digest: `exit code ${status}: ${stderr.trim().split('\n').slice(0, 3).join(' / ')}` }
  return { run, digest: JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8')).weightsSha256 }
}
const list = text => text.split(',').filter(Boolean)

let bad = 0
for (const backend of list(values.backend)) {
  for (const [name, overrides] of CASES) {
    if (!name.includes(values.only)) continue
    const all = [...overrides, `compute.backend="${backend}"`]
    const { digest: expected } = train(null, [], all, [])
    let [count, wrong] = [0, 0]
    for (const mpi of list(values.mpi)) {
      for (const ranks of list(values.ranks)) {
        for (const workers of list(values.workers)) {
          const { digest } = train(`mpirun.${mpi}`, ['-n', ranks, ...OPTIONS[mpi]], all, ['--workers', workers])
          count++
          if (digest === expected && !/exit/.test(expected)) continue
          wrong++
          console.log(
            `${backend}, ${name}, ${mpi}, ${ranks} ranks of ${workers} workers: ${digest}, expected ${expected}`,
          )
        }
      }
    }
    // Stopped after two epochs on three ranks, resumed on two, then by one process.
    const { digest: longer } = train(null, [], [...all, 'train.epochs=4'], [])
    const { run } = train('mpirun.mpich', ['-n', '3'], [...all, 'train.epochs=2'], [])
    finish(
      'mpirun.openmpi',
      ['-n', '2', ...OPTIONS.openmpi, process.execPath, MAIN, 'resume', run, '--quiet', '--set', 'train.epochs=3'],
      run,
    )
    const { digest } = finish(null, [process.execPath, MAIN, 'resume', run, '--quiet', '--set', 'train.epochs=4'], run)
    if (digest !== longer || /exit/.test(longer)) {
      wrong++
      console.log(`${backend}, ${name}, resumed: ${digest}, expected ${longer}`)
    }
    console.log(`${backend}, ${name}: ${count + 1 - wrong} of ${count + 1} as one process, ${expected.slice(0, 16)}`)
    bad += wrong
  }
}
rmSync(dir, { recursive: true, force: true })
process.exit(bad > 0 ? 1 : 0)
