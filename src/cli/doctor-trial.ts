/**
 * Trials of `doctor`: a training run of a tiny network with each backend, and whether the folders
 * that commands write to can be written. Main thread; each run is a process of its own, so that nothing that goes wrong
 * in it can end this one, and its limits are those that `train` will meet.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder } from '../files/cache.js'
import type { Backend, Precision } from '../kernels/backend.js'

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url))
/** A run takes half a second; a machine may be busy, and under emulation it takes a minute. */
const TRIAL_LIMIT_MS = 300_000

export interface Trial {
  readonly backend: Backend['name']
  readonly precision: Precision
  /** Error that kept the run from completing, with its hint; null if the run completed. */
  readonly problem: string | null
}

/**
 * Trains with each of these, at the same time: arena, worker threads, kernels, the library in every thread, checkpoints.
 * Rejects where no folder for the runs can be written.
 */
export async function tryTraining(
  compute: readonly Pick<Trial, 'backend' | 'precision'>[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Trial[]> {
  const folder = await temporaryFolder()
  try {
    const experiment = join(folder, 'experiment.json')
    await writeFile(experiment, JSON.stringify(EXPERIMENT))
    return await Promise.all(
      compute.map(async ({ backend, precision }) => {
        const runDir = join(folder, `${backend}-${precision}`)
        const alone = ['--set', 'compute.machines=off'] // a launcher's variables are not for it
        const options = [
          '--backend',
          backend,
          '--precision',
          precision,
          '--run-dir',
          runDir,
          '--quiet',
          '--json',
          ...alone,
        ]
        return { backend, precision, problem: await runTrain([experiment, ...options], env) }
      }),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const EXPERIMENT = {
  name: 'doctor',
  data: { dataset: 'digits' },
  model: { hidden: [16, 8], dropout: 0.1 },
  train: { epochs: 1, batchSize: 32 },
  compute: { workers: 2 },
}

/** System folder for temporary files, or, if that cannot be written, the current folder. */
async function temporaryFolder(): Promise<string> {
  try {
    return await mkdtemp(join(tmpdir(), 'gradloom-doctor-'))
  } catch {
    return mkdtemp(join(resolve('.'), '.gradloom-doctor-'))
  }
}

function runTrain(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string | null> {
  return new Promise(resolve => {
    // Flags of this process, such as a heap limit, hold for `train` as well.
    const child = spawn(process.execPath, [...process.execArgv, MAIN, 'train', ...args], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, TRIAL_LIMIT_MS)
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors = (errors + chunk).slice(0, 4000)
    })
    child.on('error', error => {
      clearTimeout(timer)
      resolve(`Node.js cannot be started: ${error.message}`)
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (code === 0) return resolve(null)
      if (timedOut) return resolve(`took more than ${TRIAL_LIMIT_MS / 1000} s`)
      resolve(whatWentWrong(errors) ?? `ended with ${signal ?? `exit code ${code}`}`)
    })
  })
}

/** The error and its hint, of what `train` wrote; null where it wrote nothing. */
function whatWentWrong(errors: string): string | null {
  const lines = errors.split('\n').filter(line => line.trim() !== '' && !/^\s+at /.test(line))
  return lines.length === 0 ? null : lines.map(line => line.trim()).join('; ')
}

export interface FolderState {
  readonly name: 'runs' | 'cache' | 'temp'
  readonly path: string
  /** Reason why the folder cannot be written; null where it can. */
  readonly problem: string | null
}

/** Writes a file into each folder that commands write to, or into the nearest folder above it that exists, and removes it. */
export function tryFolders(env: NodeJS.ProcessEnv = process.env): Promise<FolderState[]> {
  const folders = [
    { name: 'runs', path: resolve('runs') },
    { name: 'cache', path: dirname(cacheFolder('native', env)) },
    { name: 'temp', path: tmpdir() },
  ] as const
  return Promise.all(folders.map(async folder => ({ ...folder, problem: await tryFolder(folder.path) })))
}

async function tryFolder(path: string): Promise<string | null> {
  let existing = path
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing)
  let folder: string | null = null
  try {
    folder = await mkdtemp(join(existing, '.gradloom-doctor-'))
    await mkdir(join(folder, 'folder'))
    await writeFile(join(folder, 'file'), 'x')
    return null
  } catch (error) {
    return (error as Error).message
  } finally {
    if (folder !== null) await rm(folder, { recursive: true, force: true })
  }
}
