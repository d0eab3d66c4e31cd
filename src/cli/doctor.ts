/** `gradloom doctor`: tries whether training works on this machine, and with which backends. Main thread. */
import type { CommandModule } from 'yargs'
import { launchedBy } from '../ffi/mpi/launcher.js'
import { type MpiState, mpiLines } from '../ffi/mpi/report.js'
import { formatBytes, formatCounted } from '../format.js'
import type { Backend } from '../kernels/backend.js'
import type { BackendChoice } from '../kernels/choose.js'
import type { NativeLibrary } from '../kernels/products.js'
import type { MachineFacts } from '../run/machine.js'
import { type FolderState, type Trial, tryFolders, tryTraining } from './doctor-trial.js'
import { jsonObject } from './options.js'

export interface BackendState {
  readonly name: Backend['name']
  readonly available: boolean
  readonly reason: string
  readonly library?: NativeLibrary | null
  /** Reason why `auto` passes over the backend. */
  readonly slow?: string | null
}

export interface DatasetState {
  readonly name: string
  /** Folder of its files; null if they were not found. */
  readonly where: string | null
  readonly detail: string
}

export interface Diagnosis {
  readonly ok: boolean
  /** Problems that keep training from working here. */
  readonly problems: readonly string[]
  readonly machine: MachineFacts
  readonly backends: readonly BackendState[]
  /** Choice of `compute.backend: "auto"` here; null if nothing works. */
  readonly auto: BackendChoice | null
  readonly datasets: readonly DatasetState[]
  readonly folders: readonly FolderState[]
  /** A training run with each backend that works, and in bf16 where the library has products in it. */
  readonly trials: readonly Trial[]
  /** Libraries of MPI, for runs over several machines. */
  readonly mpi?: MpiState
}

export const doctorCommand: CommandModule<object, { json: boolean }> = {
  command: 'doctor',
  describe: 'Check whether training works on this machine, and with which backends',
  builder: yargs =>
    yargs
      .option('json', jsonObject)
      .example('$0 doctor', 'exits with 0 if training works here, with 1 if not')
      .example('$0 doctor --json', 'for scripts, and for bug reports'),
  handler: async ({ json }) => {
    if (launchedBy(process.env) === null) return report(json)
    await (await import('./doctor-ranks.js')).overRanks(ranks => report(json, ranks))
  },
}

async function report(json: boolean, ranks?: MpiState['ranks']): Promise<void> {
  const [{ machineFacts }, { listBackends }, { chooseBackend }] = await Promise.all([
    import('../run/machine.js'),
    import('../kernels/backends.js'),
    import('../kernels/choose.js'),
  ])
  const backends = await listBackends()
  const { TRIAL_VARIABLE } = await import('../coordinator/auto-compute.js')
  const usual = await chooseBackend({ backend: 'auto', library: null })
  const hasTrials = process.env[TRIAL_VARIABLE] !== '0'
  const auto = hasTrials ? { ...usual, reason: `${usual.reason}; train decides for its network by a trial` } : usual
  const [datasets, folders] = await Promise.all([findDatasets(), tryFolders()])
  const trials = await tryTraining(trialsOf(backends)).catch(() => []) // no folder to run in: `folders` reports it
  const { reportMpi } = await import('../ffi/mpi/report.js')
  const mpi = await reportMpi(ranks) // last: nothing runs beside what its libraries do when they are loaded
  const diagnosis = diagnose({ machine: machineFacts(), backends, datasets, folders, trials, auto, mpi })
  process.stdout.write(json ? `${JSON.stringify(diagnosis, null, 2)}\n` : `${diagnosisLines(diagnosis).join('\n')}\n`)
  process.exitCode = diagnosis.ok ? 0 : 1
}

/** Trials to run: each backend that works, and bf16 where a library has products in it. */
function trialsOf(backends: readonly BackendState[]): Pick<Trial, 'backend' | 'precision'>[] {
  return backends.flatMap(({ name: backend, available, library }) => {
    if (!available) return []
    const hasBf16 = backend === 'onednn' && library && 'kernel' in library.bf16
    return (hasBf16 ? (['f32', 'bf16'] as const) : (['f32'] as const)).map(precision => ({ backend, precision }))
  })
}

/** Exported for tests. Data sets may be fetched later, so a missing one is no problem; nor is a cache that cannot be written. */
export function diagnose(facts: Omit<Diagnosis, 'ok' | 'problems'>): Diagnosis {
  const { machine, backends, auto, folders, trials, mpi } = facts
  const { wasm } = machine
  const isRefused = (name: string, precision = 'f32') =>
    trials.some(trial => trial.backend === name && trial.precision === precision && trial.problem !== null)
  const works = backends.filter(({ name, available }) => available && !isRefused(name))
  const runs = folders.find(({ name }) => name === 'runs')
  const problems = [
    ...(wasm.simd ? [] : ['this Node.js has no WebAssembly SIMD']),
    ...(wasm.threads ? [] : ['this Node.js has no shared WebAssembly memory']),
    ...(runs?.problem ? [`${runs.path} cannot be written: ${runs.problem}; train --run-dir takes another folder`] : []),
    ...(works.length > 0 ? [] : ['no backend works']),
    ...trialProblems(trials),
    ...(mpi?.ranks && 'problem' in mpi.ranks ? [mpi.ranks.problem] : []),
    ...(auto && works.length > 0 && isRefused(auto.name)
      ? [`compute.backend "auto" takes ${auto.name} here; --backend ${works[0].name} works`]
      : []),
  ]
  return { ok: problems.length === 0, problems, ...facts }
}

/** One line for each thing that went wrong: backends that fail alike share it. */
function trialProblems(trials: readonly Trial[]): string[] {
  const names = new Map<string, string[]>()
  for (const { backend, precision, problem } of trials) {
    if (problem === null) continue
    const name = precision === 'f32' ? backend : `${backend} in ${precision}`
    names.set(problem, [...(names.get(problem) ?? []), name])
  }
  return [...names].map(([problem, backends]) => `a training run with ${backends.join(', ')} fails: ${problem}`)
}

async function findDatasets(): Promise<DatasetState[]> {
  const { openDataset } = await import('../data/dataset.js')
  const { resolveExperiment } = await import('../config/load.js')
  const names = ['digits', 'mnist', 'fashion-mnist'] as const
  return Promise.all(
    names.map(async (name): Promise<DatasetState> => {
      const { experiment } = resolveExperiment({ data: { dataset: name } })
      try {
        const { where, train, test } = await openDataset(experiment.data, { baseDir: '.' })
        return {
          name,
          where,
          detail: `${formatCounted(train.rows, 'training sample')}, ${formatCounted(test.rows, 'test sample')}`,
        }
      } catch (error) {
        // The first line of the message is the problem; the places that were searched follow it if the set is nowhere.
        const [message, ...places] = (error as Error).message.split('\n')
        const detail = places.length > 0 ? `not installed; npx gradloom data fetch ${name}` : message
        return { name, where: null, detail }
      }
    }),
  )
}

/** bf16 kernel of a library, or why it has none; null for a backend that is not asked. */
function bf16Line(library: BackendState['library']): string | null {
  if (library?.backend !== 'onednn') return null
  const { bf16 } = library
  return 'kernel' in bf16 ? `bf16 by ${bf16.kernel}` : `no bf16: ${bf16.obstacle}`
}

/** Exported for tests. */
export function diagnosisLines(diagnosis: Diagnosis): string[] {
  const { ok, problems, machine, backends, auto, datasets, folders, trials } = diagnosis
  const { cpu, memory, wasm } = machine
  const limit = memory.limitBytes === null ? '' : `, limited to ${formatBytes(memory.limitBytes)}`
  const yes = (value: boolean) => (value ? 'yes' : 'no')
  const width = Math.max(...[...backends, ...datasets, ...folders].map(({ name }) => name.length))
  const failed = new Set(
    trials.flatMap(({ backend, precision, problem }) => (problem === null || precision !== 'f32' ? [] : [backend])),
  )
  return [
    `gradloom   ${machine.gradloom}`,
    `node       ${machine.node}, V8 ${machine.v8}`,
    `system     ${machine.os}`,
    `cpu        ${cpu.model}; ${cpu.cores} cores, ${cpu.available} for this process`,
    `memory     ${formatBytes(memory.totalBytes)}, ${formatBytes(memory.freeBytes)} free${limit}`,
    `wasm       SIMD ${yes(wasm.simd)}, shared memory ${yes(wasm.threads)}`,
    'backends',
    ...backends.map(({ name, available, reason, library, slow }) => {
      const details = [reason, library?.path, bf16Line(library), slow && `auto passes over it: ${slow}`]
        .filter(Boolean)
        .join('; ')
      const state = !available ? 'no   ' : failed.has(name) ? 'fails' : 'works'
      return `  ${name.padEnd(width)}  ${state}  ${details}`
    }),
    ...(auto === null
      ? []
      : [`auto       ${auto.name} (${auto.reason})${auto.advice === null ? '' : `; ${auto.advice}`}`]),
    ...(diagnosis.mpi ? mpiLines(diagnosis.mpi) : []),
    'data sets',
    ...datasets.map(
      ({ name, where, detail }) =>
        `  ${name.padEnd(width)}  ${where === null ? 'no   ' : 'found'}  ${detail}${where === null ? '' : `; ${where}`}`,
    ),
    'folders',
    ...folders.map(
      ({ name, path, problem }) =>
        `  ${name.padEnd(width)}  ${problem === null ? 'write' : 'no   '}  ${path}${problem === null ? '' : `: ${problem}`}`,
    ),
    ...(trials.length === 0
      ? []
      : [
          `tried      a training run with ${trials.map(({ backend, precision }) => (precision === 'f32' ? backend : `${backend} in ${precision}`)).join(', ')}`,
        ]),
    '',
    ...(ok ? ['Training works here.'] : ['Training does not work here:', ...problems.map(problem => `  ${problem}`)]),
  ]
}
