/**
 * Disks that are full, read-only or gone, and files in the way: the run continues, warns, and saves again when it can. On a small file
 * system of its own, which needs root on Linux.
 */
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { train } from '../../src/coordinator/new-run.js'
import type { TrainEvent } from '../../src/run/events.js'
import { verifyCheckpoint } from '../../src/run/inspect.js'
import { gradloom } from '../cli/run-cli.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(join(t.testdir({}), 'data'))
const experiment = resolveExperiment({
  data: { dataset: 'idx', path },
  model: { hidden: [200, 100] }, // a checkpoint has 330 kB
  train: { epochs: 60, batchSize: 50 },
  compute: { backend: 'wasm', workers: 2 },
  checkpoint: { everySteps: 20, keepLast: 1, keepBest: false },
})
const undisturbed = await train(experiment, { runDir: null })

const command = (...args: string[]) => spawnSync(args[0], args.slice(1), { encoding: 'utf8' })

/** Mounts a file system of this many kB; null where this process is not allowed to. */
function mountDisk(kilobytes: number): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'gradloom-disk-'))
  if (
    process.platform === 'linux' &&
    command('mount', '-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'none', folder).status === 0
  ) {
    return folder
  }
  rmSync(folder, { recursive: true })
  return null
}

function unmountDisk(folder: string): void {
  if (command('umount', folder).status !== 0) command('umount', '-l', folder)
  rmSync(folder, { recursive: true, force: true })
}

const probe = mountDisk(64)
if (probe !== null) unmountDisk(probe)
const skip = probe === null && 'needs root on Linux, to mount a small file system'
t.notOk(skip && process.env.CI !== undefined && process.getuid?.() === 0, 'CI, as root, skips none of these')

/** Gone after the test. */
function smallDisk(t: Test, kilobytes: number): string {
  const folder = mountDisk(kilobytes)!
  t.teardown(() => unmountDisk(folder))
  return folder
}

const checkpointsIn = (runDir: string) =>
  readdirSync(join(runDir, 'checkpoints')).filter(name => /^step-\d+\.safetensors$/.test(name))

async function trainInto(runDir: string, onEvent: (event: TrainEvent) => void = () => {}) {
  const warnings: string[] = []
  const summary = await train(experiment, { runDir, onEvent, onWarning: message => warnings.push(message) })
  return { summary, warnings }
}

t.test(
  'a disk that fills up and stays full: training continues, the last good checkpoint is kept, and the end reports it',
  { skip },
  async t => {
    const disk = smallDisk(t, 1500)
    const runDir = join(disk, 'run')
    let saved = 0
    const { summary, warnings } = await trainInto(runDir, event => {
      if (event.type === 'checkpoint' && ++saved === 3) {
        // All that is left.
        try {
          for (let i = 0; ; i++) writeFileSync(join(disk, `filler-${i}`), Buffer.alloc(16_384))
        } catch {}
      }
    })
    t.equal(summary.status, 'completed')
    t.equal(summary.weightsSha256, undisturbed.weightsSha256)
    t.match(
      warnings.find(text => text.startsWith('checkpoint')),
      /^checkpoint of step \d+ is not saved: ENOSPC.*; training continues, and tries again$/,
    )
    t.match(warnings.join('\n'), /the final weights are not saved: ENOSPC/)
    t.match(summary.notSaved, /checkpoint of step 660 is not saved: ENOSPC/)
    const [left] = checkpointsIn(runDir)
    t.equal(summary.checkpoint, `checkpoints/${left}`, 'names the last one that is whole')
    t.ok((await verifyCheckpoint(join(runDir, 'checkpoints', left))).step < 660)
    t.notOk(
      readdirSync(join(runDir, 'checkpoints')).some(name => name.endsWith('.tmp')),
      'nothing half written stays',
    )
  },
)

t.test('a disk that is full for a while: saving resumes once there is space', { skip }, async t => {
  const disk = smallDisk(t, 1500)
  const runDir = join(disk, 'run')
  let saved = 0
  let epochs = 0
  const { summary, warnings } = await trainInto(runDir, event => {
    if (event.type === 'checkpoint' && ++saved === 3) {
      // As much as there is space for, whatever else is being written.
      try {
        writeFileSync(join(disk, 'filler'), Buffer.alloc(900_000))
      } catch {}
    }
    if (event.type === 'epoch' && ++epochs === 40) rmSync(join(disk, 'filler'))
  })
  t.ok(
    warnings.some(text => text.includes('ENOSPC')),
    warnings.join('; '),
  )
  t.equal(summary.notSaved, undefined)
  t.equal(summary.checkpoint, 'checkpoints/step-660.safetensors')
  t.equal(summary.weightsSha256, undisturbed.weightsSha256)
  await verifyCheckpoint(join(runDir, 'checkpoints', 'step-660.safetensors'))
})

t.test('train on a full disk: exit code 1 and a line that names the files that were not saved', { skip }, async t => {
  const disk = smallDisk(t, 500)
  const file = join(t.testdir({}), 'experiment.json')
  writeFileSync(file, JSON.stringify(experiment.experiment))
  writeFileSync(join(disk, 'filler'), Buffer.alloc(300_000))
  const { code, stdout, stderr } = await gradloom(['train', file, '--run-dir', join(disk, 'run')])
  t.equal(code, 1, stderr)
  t.match(stdout, /^unsaved +checkpoint of step 660 is not saved: ENOSPC/m)
})

t.test('a disk that becomes read-only during a run: training continues to the end', { skip }, async t => {
  const disk = smallDisk(t, 4000)
  const runDir = join(disk, 'run')
  let epochs = 0
  let last = ''
  const { summary, warnings } = await trainInto(runDir, event => {
    if (event.type === 'checkpoint') last = event.file
    if (event.type === 'epoch' && ++epochs === 20) {
      // Not the whole file system, in which the log is open for writing: the folder, over itself.
      const folder = join(runDir, 'checkpoints')
      t.equal(command('mount', '--bind', folder, folder).status, 0)
      t.equal(command('mount', '-o', 'remount,ro,bind', folder).status, 0)
    }
  })
  t.equal(command('umount', join(runDir, 'checkpoints')).status, 0)
  t.equal(summary.status, 'completed')
  t.equal(summary.weightsSha256, undisturbed.weightsSha256)
  t.match(warnings.join('\n'), /is not saved: EROFS/)
  t.equal(summary.checkpoint, last)
  await verifyCheckpoint(join(runDir, last))
})

t.test('a folder of checkpoints that vanishes is created again', async t => {
  const runDir = join(t.testdir({}), 'run')
  let epochs = 0
  const { summary } = await trainInto(runDir, event => {
    if (event.type === 'epoch' && ++epochs === 20) renameSync(join(runDir, 'checkpoints'), `${runDir}-moved`) // at once: a file may be written there meanwhile
  })
  t.equal(summary.checkpoint, 'checkpoints/step-660.safetensors')
  await verifyCheckpoint(join(runDir, 'checkpoints', 'step-660.safetensors'))
})

t.test('a directory in place of the checkpoint or the link is reported, and the run ends', async t => {
  const runDir = join(t.testdir({}), 'run')
  let epochs = 0
  const { summary, warnings } = await trainInto(runDir, event => {
    if (event.type === 'epoch' && ++epochs === 20) {
      mkdirSync(join(runDir, 'checkpoints', 'step-660.safetensors', 'x'), { recursive: true })
    }
  })
  t.equal(summary.weightsSha256, undisturbed.weightsSha256)
  t.match(summary.notSaved, /step 660 is not saved: (EISDIR|ENOTEMPTY|EEXIST)/)
  t.match(warnings.join('\n'), /the final weights are not saved/)
  t.ok(existsSync(join(runDir, 'summary.json')))
  t.match(JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8')), { status: 'completed', notSaved: String })
})
