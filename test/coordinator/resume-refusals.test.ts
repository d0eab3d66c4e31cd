/** Refusals of resume: each says what to do, and leaves the run directory unchanged, to the byte. */
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { Predictor } from '../../src/inference/predictor.js'
import { readReport } from '../../src/report/report.js'
import { checkpointSteps } from '../../src/run/checkpoints.js'
import { gradloom } from '../cli/run-cli.js'
import { directoryBytes } from '../helpers/directory-bytes.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const root = t.testdir({})
const path = writeTinyData(join(root, 'data'))
const experiment = (more: Partial<ExperimentInput> = {}) =>
  resolveExperiment({
    data: { dataset: 'idx', path },
    model: { hidden: [13] },
    train: { epochs: 2, batchSize: 50 },
    optimizer: { type: 'adam' },
    compute: { backend: 'wasm', workers: 1 },
    checkpoint: { everySteps: 5, keepLast: 3 },
    ...more,
  })

const finishedDir = join(root, 'finished')
const finished = await train(experiment(), { runDir: finishedDir })
const stoppedDir = join(root, 'stopped')
{
  const stop = new AbortController()
  await train(experiment(), {
    runDir: stoppedDir,
    signal: stop.signal,
    onEvent: event => {
      if (event.type === 'steps' && event.step >= 12) stop.abort()
    },
  })
}

let count = 0
/** A copy of a run that somebody has done something to. */
function copyOf(from: string, damage: (dir: string) => void): string {
  const dir = join(root, `copy-${count++}`)
  cpSync(from, dir, { recursive: true, verbatimSymlinks: true })
  damage(dir)
  return dir
}

function edit(name: string, change: (text: string) => string): (dir: string) => void {
  return dir => {
    const file = join(dir, name)
    const text = readFileSync(file, 'utf8')
    const changed = change(text)
    if (changed === text) throw new Error(`${name}: the edit changed nothing`)
    writeFileSync(file, changed)
  }
}
const remove = (name: string) => (dir: string) => rmSync(join(dir, name), { recursive: true })
const write = (name: string, text: string) => (dir: string) => writeFileSync(join(dir, name), text)
/** One bit of every checkpoint, or the first bytes alone. */
const damageAll = (how: 'bit' | 'torn') => (dir: string) => {
  const folder = join(dir, 'checkpoints')
  for (const name of readdirSync(folder).filter(name => name.startsWith('step-'))) {
    const bytes = readFileSync(join(folder, name))
    bytes[bytes.length - 50] ^= 1
    writeFileSync(join(folder, name), how === 'bit' ? bytes : bytes.subarray(0, 300))
  }
}
const json = (change: (value: Record<string, unknown>) => void) => (text: string) => {
  const value = JSON.parse(text)
  change(value)
  return JSON.stringify(value, null, 2)
}

const hidden = edit(
  'resolved.json',
  json(value => {
    value.model = { ...(value.model as object), hidden: [99] }
  }),
)
const activation = edit('resolved.json', text => text.replace('"relu"', '"tanh"'))

const cases: {
  name: string
  from: string
  damage: (dir: string) => void
  message: RegExp
  overrides?: string[]
}[] = [
  {
    name: 'resolved.json edited: another network',
    from: stoppedDir,
    damage: hidden,
    message: /resolved\.json: content was edited .*; model\.hidden: \[13\] -> \[99\]/,
  },
  { name: 'resolved.json edited: another activation', from: stoppedDir, damage: activation, message: /was edited/ },
  {
    name: 'resolved.json edited, no manifest',
    from: stoppedDir,
    damage: dir => {
      hidden(dir)
      remove('manifest.json')(dir)
    },
    message: /manifest\.json: there is no such file/,
  },
  {
    name: 'resolved.json edited, a manifest of an older version',
    from: stoppedDir,
    damage: dir => {
      hidden(dir)
      edit(
        'manifest.json',
        json(value => {
          delete value.own
          delete value.sha256
        }),
      )(dir)
    },
    message: /is a checkpoint of another experiment than .*resolved\.json; model\.hidden: \[99\] -> \[13\]/,
  },
  {
    name: 'experiment.json edited',
    from: stoppedDir,
    damage: edit('experiment.json', text => text.replace('13', '14')),
    message: /experiment\.json: content was edited/,
  },
  {
    name: 'manifest.json edited: other data',
    from: stoppedDir,
    damage: edit('manifest.json', text => text.replace(/"md5": "./, '"md5": "x')),
    message: /manifest\.json: content was edited/,
  },
  { name: 'manifest.json torn', from: stoppedDir, damage: write('manifest.json', '{"own": {'), message: /is not JSON/ },
  {
    name: 'manifest.json is a number',
    from: stoppedDir,
    damage: write('manifest.json', '7'),
    message: /is 7, expected/,
  },
  { name: 'manifest.json is empty', from: stoppedDir, damage: write('manifest.json', ''), message: /is not JSON/ },
  { name: 'resolved.json torn', from: stoppedDir, damage: write('resolved.json', '{'), message: /is not JSON/ },
  { name: 'resolved.json gone', from: stoppedDir, damage: remove('resolved.json'), message: /has no resolved\.json/ },
  { name: 'summary.json torn', from: stoppedDir, damage: write('summary.json', '{'), message: /is not JSON/ },
  {
    name: 'a finished run without its manifest, to be longer',
    from: finishedDir,
    damage: remove('manifest.json'),
    overrides: ['train.epochs=3'],
    message: /manifest\.json: there is no such file, expected the manifest of the run/,
  },
  {
    name: 'all checkpoints with one bit changed',
    from: stoppedDir,
    damage: damageAll('bit'),
    message: /none of its checkpoints can be used.*SHA-256/,
  },
  {
    name: 'all checkpoints torn',
    from: stoppedDir,
    damage: damageAll('torn'),
    message: /none of its checkpoints can be used/,
  },
  {
    name: 'a finished run with damaged checkpoints, to be longer',
    from: finishedDir,
    damage: damageAll('bit'),
    overrides: ['train.epochs=3'],
    message: /none of its checkpoints can be used/,
  },
  {
    name: 'checkpoints removed',
    from: stoppedDir,
    damage: remove('checkpoints'),
    message: /checkpoints: has no checkpoint, expected those that the run has saved/,
  },
  {
    name: 'checkpoints and summary removed: the metrics remember',
    from: stoppedDir,
    damage: dir => {
      remove('checkpoints')(dir)
      remove('summary.json')(dir)
    },
    message: /expected those that the run has saved/,
  },
  {
    name: 'checkpoints of a finished run removed, to be longer',
    from: finishedDir,
    damage: remove('checkpoints'),
    overrides: ['train.epochs=3'],
    message: /expected those that the run has saved/,
  },
]

for (const { name, from, damage, message, overrides } of cases) {
  t.test(`resume: ${name}: refused, nothing changed`, async t => {
    const dir = copyOf(from, damage)
    const before = directoryBytes(dir)
    const error = await resume(dir, { overrides: overrides ?? [] }).then(
      () => t.fail('it was resumed'),
      error => error,
    )
    t.match(error.message, message)
    t.match(error.name, /^(RunError|ConfigError)$/)
    t.strictSame(directoryBytes(dir), before)
  })
}

t.test('a checkpoint of another run with the same shapes is refused', async t => {
  const otherDir = join(root, 'other')
  await train(experiment({ seed: 7, train: { epochs: 4, batchSize: 50 } }), { runDir: otherDir })
  const [newest] = await checkpointSteps(join(otherDir, 'checkpoints'))
  const name = `step-${newest}.safetensors`
  const dir = copyOf(stoppedDir, dir => cpSync(join(otherDir, 'checkpoints', name), join(dir, 'checkpoints', name)))
  const before = directoryBytes(dir)
  await t.rejects(resume(dir), { name: 'RunError', message: /is a checkpoint of another experiment.*seed: 1 -> 7/ })
  t.strictSame(directoryBytes(dir), before)
})

t.test('a finished run is not changed, whichever of its files are missing', async t => {
  for (const damage of [remove('manifest.json'), remove('checkpoints'), damageAll('bit'), remove('metrics.jsonl')]) {
    const dir = copyOf(finishedDir, damage)
    const before = directoryBytes(dir)
    t.match(await resume(dir), { trained: false, summary: { weightsSha256: finished.weightsSha256 } })
    t.strictSame(directoryBytes(dir), before)
  }
})

t.test('experiment.json, metrics, links and summary are optional; formatting and paths may be edited', async t => {
  const moved = join(root, 'moved-data')
  cpSync(path, moved, { recursive: true })
  const harmless: [string, (dir: string) => void][] = [
    ['experiment.json', remove('experiment.json')],
    ['metrics.jsonl', remove('metrics.jsonl')],
    ['summary.json', remove('summary.json')],
    ['latest', remove('checkpoints/latest')],
    ['layout', edit('resolved.json', text => JSON.stringify(JSON.parse(text)))],
    ['path', edit('resolved.json', text => text.replace(JSON.stringify(path), JSON.stringify(moved)))],
  ]
  for (const [name, damage] of harmless) {
    const dir = copyOf(stoppedDir, damage)
    const { summary } = await resume(dir)
    t.equal(summary.weightsSha256, finished.weightsSha256, name)
    t.match(await reproduce(dir), { identical: true }, `${name}: reproduced`)
  }
})

t.test('metrics that cannot be read are left out with a warning; half a last line is what a kill leaves', async t => {
  const lines: [RegExp | null, (text: string) => string][] = [
    [null, text => `${text}{"type":"steps","st`],
    [/metrics\.jsonl: 2 lines cannot be read and left out/, text => text.replace(/\n.*\n.*\n/, '\n{"type\n\x00\x01\n')],
    [/metrics\.jsonl: has no events up to step \d+; reports show what follows/, () => ''],
  ]
  for (const [said, change] of lines) {
    const dir = copyOf(stoppedDir, edit('metrics.jsonl', change))
    const warnings: string[] = []
    const { summary } = await resume(dir, { onWarning: message => warnings.push(message) })
    if (said === null) t.strictSame(warnings, [])
    else t.match(warnings.join('\n'), said)
    t.equal(summary.weightsSha256, finished.weightsSha256)
  }
})

t.test('a run that was killed before its first checkpoint starts at step 0 with a warning', async t => {
  const dir = copyOf(stoppedDir, dir => {
    remove('checkpoints')(dir)
    remove('summary.json')(dir)
    edit('metrics.jsonl', text => text.replace(/^.*"type":"checkpoint".*\n/gm, ''))(dir)
  })
  const warnings: string[] = []
  const { summary } = await resume(dir, { onWarning: message => warnings.push(message) })
  t.match(warnings.join('\n'), /has no checkpoint yet; training starts at step 0/)
  t.equal(summary.weightsSha256, finished.weightsSha256)
})

t.test('a checkpoint under the name of another step is skipped with a warning', async t => {
  const [newest] = await checkpointSteps(join(stoppedDir, 'checkpoints'))
  const dir = copyOf(stoppedDir, dir => {
    const folder = join(dir, 'checkpoints')
    cpSync(join(folder, `step-${newest}.safetensors`), join(folder, 'step-40.safetensors'))
  })
  const warnings: string[] = []
  const { summary } = await resume(dir, { onWarning: message => warnings.push(message) })
  t.match(warnings.join('\n'), `step-40.safetensors: is of step ${newest}, expected step 40`)
  t.equal(summary.weightsSha256, finished.weightsSha256)
  t.ok(existsSync(join(dir, 'checkpoints', 'step-40.safetensors.damaged')), 'and set aside')
})

t.test('a damaged newest checkpoint is set aside and does not cause newer ones to be pruned', async t => {
  const few = { checkpoint: { everySteps: 5, everyEpochs: null, keepLast: 1, keepBest: true } }
  const runDir = join(root, 'keeps-one')
  await train(experiment(few), { runDir })
  const folder = join(runDir, 'checkpoints')
  const [newest] = await checkpointSteps(folder)
  cpSync(join(folder, `step-${newest}.safetensors`), join(folder, 'step-999.safetensors'))
  damageAll('bit')(runDir)
  cpSync(join(finishedDir, 'checkpoints', `step-${newest}.safetensors`), join(folder, `step-${newest}.safetensors`))
  await resume(runDir, { overrides: ['train.epochs=3'] })
  t.strictSame((await checkpointSteps(folder))[0], 33)
  t.ok(readdirSync(folder).includes('step-999.safetensors.damaged'), readdirSync(folder).join(' '))
})

t.test('evaluate, predict, report and reproduce refuse an edited run and work without a manifest', async t => {
  const edited = copyOf(finishedDir, activation)
  const before = directoryBytes(edited)
  const refused = { name: 'RunError', message: /resolved\.json: content was edited/ }
  await t.rejects(evaluate(edited), refused)
  await t.rejects(Predictor.open(edited), refused)
  await t.rejects(readReport([edited]), refused)
  await t.rejects(reproduce(edited), refused)
  t.strictSame(directoryBytes(edited), before)
  const { loss } = await evaluate(finishedDir)
  const noManifest = copyOf(finishedDir, dir => {
    activation(dir)
    remove('manifest.json')(dir)
  })
  t.equal((await evaluate(noManifest)).loss, loss, 'the checkpoint says what its weights were trained with')
})

t.test('the error of the resume command has a hint', async t => {
  const dir = copyOf(stoppedDir, hidden)
  t.match(await gradloom(['resume', dir, '--quiet']), {
    code: 1,
    stderr:
      /model\.hidden: \[13\] -> \[99\]\nhint: undo the edit; settings of a run are changed with gradloom resume --set/,
  })
})

t.test('a run directory that was moved is resumed at its new location', async t => {
  const dir = join(root, 'renamed')
  renameSync(
    copyOf(stoppedDir, () => {}),
    dir,
  )
  t.equal((await resume(dir)).summary.weightsSha256, finished.weightsSha256)
})
