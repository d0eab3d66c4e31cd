/** `gradloom doctor`: what this machine can do, and whether training works here. Main thread. */
import type { CommandModule } from 'yargs'
import { formatBytes, formatCount } from '../format.js'
import type { BackendChoice } from '../kernels/choose.js'
import type { NativeLibrary } from '../kernels/products.js'
import type { MachineFacts } from '../run/machine.js'
import { jsonObject } from './options.js'

export interface BackendState {
  readonly name: string
  readonly available: boolean
  readonly reason: string
  readonly library?: NativeLibrary | null
  /** Why `auto` passes over it. */
  readonly slow?: string | null
}

export interface DatasetState {
  readonly name: string
  /** Folder of its files; null if it was not found. */
  readonly where: string | null
  readonly detail: string
}

export interface Diagnosis {
  readonly ok: boolean
  /** What keeps training from working here. */
  readonly problems: readonly string[]
  readonly machine: MachineFacts
  readonly backends: readonly BackendState[]
  /** What `compute.backend: "auto"` takes here; null where nothing works. */
  readonly auto: BackendChoice | null
  readonly datasets: readonly DatasetState[]
}

export const doctorCommand: CommandModule<object, { json: boolean }> = {
  command: 'doctor',
  describe: 'Say what this machine can do, and whether training works here',
  builder: yargs =>
    yargs
      .option('json', jsonObject)
      .example('$0 doctor', 'exits with 0 if training works here, with 1 if not')
      .example('$0 doctor --json', 'the same for scripts, and for bug reports'),
  handler: async ({ json }) => {
    const [{ machineFacts }, { listBackends }, { chooseBackend }] = await Promise.all([
      import('../run/machine.js'),
      import('../kernels/backends.js'),
      import('../kernels/choose.js'),
    ])
    const backends = await listBackends()
    const auto = await chooseBackend({ backend: 'auto', library: null })
    const diagnosis = diagnose(machineFacts(), backends, await findDatasets(), auto)
    process.stdout.write(json ? `${JSON.stringify(diagnosis, null, 2)}\n` : `${diagnosisLines(diagnosis).join('\n')}\n`)
    process.exitCode = diagnosis.ok ? 0 : 1
  },
}

/** Exported for tests. Data sets may be fetched later, so a missing one is no problem. */
export function diagnose(
  machine: MachineFacts,
  backends: readonly BackendState[],
  datasets: readonly DatasetState[],
  auto: BackendChoice | null = null,
): Diagnosis {
  const { wasm } = machine
  const problems = [
    ...(wasm.simd ? [] : ['this Node has no WebAssembly SIMD']),
    ...(wasm.threads ? [] : ['this Node has no shared WebAssembly memory']),
    ...(backends.some(({ available }) => available) ? [] : ['no backend works']),
  ]
  return { ok: problems.length === 0, problems, machine, backends, auto, datasets }
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
        return { name, where, detail: `${formatCount(train.rows)} training rows, ${formatCount(test.rows)} held out` }
      } catch (error) {
        // Its first line says what is wrong; the places that were looked at follow it if the set is nowhere.
        const [message, ...places] = (error as Error).message.split('\n')
        const detail = places.length > 0 ? `not here; npx gradloom data fetch ${name}` : message
        return { name, where: null, detail }
      }
    }),
  )
}

/** Of a library that may have it. */
function bf16Line(library: BackendState['library']): string | null {
  if (library?.backend !== 'onednn') return null
  const { bf16 } = library
  return 'kernel' in bf16 ? `bf16 by ${bf16.kernel}` : `no bf16: ${bf16.obstacle}`
}

/** Exported for tests. */
export function diagnosisLines({ ok, problems, machine, backends, auto, datasets }: Diagnosis): string[] {
  const { cpu, memory, wasm } = machine
  const limit = memory.limitBytes === null ? '' : `, limited to ${formatBytes(memory.limitBytes)}`
  const yes = (value: boolean) => (value ? 'yes' : 'no')
  const width = Math.max(...[...backends, ...datasets].map(({ name }) => name.length))
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
      return `  ${name.padEnd(width)}  ${available ? 'works' : 'no   '}  ${details}`
    }),
    ...(auto === null
      ? []
      : [`auto       ${auto.name} (${auto.reason})${auto.advice === null ? '' : `; ${auto.advice}`}`]),
    'data sets',
    ...datasets.map(
      ({ name, where, detail }) =>
        `  ${name.padEnd(width)}  ${where === null ? 'no   ' : 'found'}  ${detail}${where === null ? '' : `; ${where}`}`,
    ),
    '',
    ...(ok ? ['Training works here.'] : ['Training does not work here:', ...problems.map(problem => `  ${problem}`)]),
  ]
}
