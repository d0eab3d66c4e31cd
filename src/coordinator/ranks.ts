/**
 * Runs over several ranks, as the coordinator sees them: what rank 0 tells the others, and what they compare before the first step.
 * Main thread.
 *
 * Rank 0 coordinates: it decides, scores, writes and prints. The others load their own copies of the data, then make the calls that change
 * the state when rank 0 makes them (follow.ts). What has to be the same everywhere is compared by digest, after the data are loaded.
 */
import { createHash } from 'node:crypto'
import { closeSync } from 'node:fs'
import type { Experiment } from '../config/schema.js'
import type { LoadedFile } from '../data/dataset.js'
import type { InputSpec, KnownInput, SavedInput } from '../data/input.js'
import type { SourceFacts } from '../data/source.js'
import { ConfigError, RunError } from '../errors.js'
import { createHostMemory, mapHostMemory, type OfferedMemory } from '../ffi/host-memory.js'
import { formatCounted, shellWord } from '../format.js'
import { titleOf } from '../kernels/choose.js'
import type { Machines } from '../machines/machines.js'
import type { RankTraffic } from '../run/events.js'
import type { RanksRecord } from '../run/manifest.js'
import { viewSlot } from '../tensor/arena.js'
import { ASSUMED_LINK, type Link } from '../worker/plan/cost.js'
import type { Layout } from '../worker/plan/layout.js'
import type { PlanOptions } from '../worker/plan/plan.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import { allWorkers } from '../worker/plan/tiles.js'
import { Control } from '../worker/plan/words.js'
import type { Gathered } from '../worker/program/shared-state.js'
import { raiseAbort } from '../worker/threads/barrier.js'

/** The ranks of a run. */
export type SharedRun = Machines

/** A call of the session that all ranks make together. */
export type RankCall =
  | { readonly call: 'initialise' }
  | { readonly call: 'gather'; readonly what: Gathered }
  | { readonly call: 'share' }
  | { readonly call: 'run'; readonly from: number; readonly to: number; readonly rateFactor: number }

/** Message of rank 0 to the others: first what is trained, then each call, then that the run has ended, with its exit code. */
export type Told =
  | (Relation & {
      readonly call: 'open'
      readonly experiment: Experiment
      readonly baseDir: string
      readonly workers: number
      readonly model: SavedInput | null
      readonly known: KnownInput | null
      /** The data set, where rank 0 alone reads it; null: each rank opens its own. */
      readonly source: SourceFacts | null
    })
  /** All measure the link between them. */
  | { readonly call: 'measure' }
  /** All try to open memory of rank 0, and say whether they could. */
  | { readonly call: 'openMemory'; readonly offer: OfferedMemory }
  | RankCall
  | { readonly call: 'end'; readonly exitCode: number }

/** Ranks as the plan of this one has them. `workers`: those of all together; absent: by the settings, on rank 0, which knows all. */
export function plannedRanks(
  { rank, size, facts }: SharedRun,
  { compute }: Experiment,
  { link, shareMemory }: Relation,
  workers?: number,
): NonNullable<PlanOptions['ranks']> {
  const workersOf = ({ cores }: { readonly cores: number }) => (compute.workers === 'auto' ? cores : compute.workers)
  const all = workers ?? facts.reduce((sum, of) => sum + workersOf(of), 0)
  return { rank, size, workers: all, ownWorkers: workersOf(facts[rank]), link, shareMemory }
}

/** Facts of the ranks that their plan depends on. */
interface Relation {
  readonly link: Link
  readonly shareMemory: boolean
}

/** Whether ranks share memory, and else the link between them. Rank 0, before it plans; others answer in follow.ts. */
export async function relationOf(ranks: SharedRun, experiment: Experiment): Promise<Relation> {
  const shareMemory = await offerMemory(ranks)
  return { shareMemory, link: shareMemory ? ASSUMED_LINK : await linkOf(ranks, experiment) }
}

/** The link between the ranks, measured where something depends on it. Rank 0. */
async function linkOf(ranks: SharedRun, { compute }: Experiment): Promise<Link> {
  if ((compute.gradientGroups ?? 1) === 1) return ASSUMED_LINK
  ranks.tell({ call: 'measure' } satisfies Told)
  const { latencyMs, bytesPerMs } = await ranks.measure()
  return { latencyMs, bytesPerMs }
}

/**
 * Whether all ranks are on one host and can have memory together: rank 0 makes it, and asks the others, which keep it open until they know.
 * GRADLOOM_HOST_MEMORY=0 on rank 0: they do not. Rank 0.
 */
async function offerMemory(ranks: SharedRun): Promise<boolean> {
  if (ranks.size === 1 || process.env.GRADLOOM_HOST_MEMORY === '0') return false
  const made = await createHostMemory()
  if (!made) return false
  ranks.tell({ call: 'openMemory', offer: made.offer } satisfies Told)
  const isEverywhere = ((await ranks.nextOfAll()) as boolean[]).every((isOpen, rank) => rank === 0 || isOpen)
  ranks.keepMemory(made.fd)
  return isEverywhere
}

/** Checks the settings of a run: with its ranks, or without, where it needs some. Refuses what cannot be trained by several. */
export function expectRanks({ compute }: Experiment, ranks: SharedRun | undefined): void {
  if (!ranks) {
    if (compute.machines !== 'mpi') return
    throw new ConfigError(
      'compute.machines is "mpi", expected "auto" or "off": no launcher of MPI started this process',
      {
        hint: 'mpirun -n 2 npx gradloom train ...',
      },
    )
  }
  ranks.setTimeout(compute.machinesTimeout)
  if (compute.machines === 'off') {
    throw new ConfigError('compute.machines is "off", expected "auto" or "mpi": a launcher started several processes', {
      hint: 'start it without mpirun, or with --set compute.machines=auto',
    })
  }
  const where = 'over several machines'
  if (compute.allReduce !== 'fused') {
    throw new ConfigError(
      `compute.allReduce is "${compute.allReduce}", expected "fused" ${where}: bits would depend on their number`,
      {
        hint: 'compute.gradientGroups sums gradients by groups of rows, with the same bits for any number of machines',
      },
    )
  }
  if (compute.precision !== 'f32') {
    throw new ConfigError(
      `compute.precision is "${compute.precision}", expected "f32" ${where}: products in bf16 read copies of activations that ranks do not exchange`,
      { hint: '--precision f32' },
    )
  }
}

/**
 * Exchanges use the memory of this session, into which is mapped what rank 0 has offered, where ranks share it. A failure of another rank frees
 * the workers from their barrier. Before any worker opens the plan. Throws RunError where the system refuses to map.
 */
export async function attachTo(
  ranks: SharedRun,
  { control, exchange, meeting, hostMemory }: Layout,
  memory: WebAssembly.Memory,
): Promise<void> {
  const words = (exchange ?? meeting)?.words
  if (!words) throw new TypeError('ranks: the plan has no exchange')
  const fd = ranks.takeMemory()
  if (hostMemory) await mapHostMemory(memory, hostMemory, fd!)
  else if (fd !== null) closeSync(fd)
  const buffer = exchange?.buffer
  const attached = ranks.attach({
    memory,
    words: { byteOffset: words.byteOffset, bytes: 4 * words.shape[0] },
    buffer: buffer ? { byteOffset: buffer.byteOffset, bytes: buffer.shape[0] } : { byteOffset: 0, bytes: 0 },
    stop: control.byteOffset + 4 * Control.stop,
    agreedStop: control.byteOffset + 4 * Control.agreedStop,
  })
  ranks.whenFailed(() => raiseAbort(viewSlot(memory, control).data))
  await attached
}

/** A session, as far as ranks compare it. */
interface Opened {
  readonly plan: RunPlan
  readonly files: readonly LoadedFile[]
  readonly input: InputSpec
}

/** Digests of all that must be the same in all ranks; the names are for messages. */
export function digestsOf({ plan, files, input }: Opened): Record<string, string> {
  return {
    data: digest(files.map(({ md5 }) => md5)),
    'columns, classes and scales': digest(input),
    'backend and library': `${plan.backend}${plan.library ? `, ${titleOf(plan.library, plan.precision)}` : ''}`,
    plan: digest(comparable(plan)),
  }
}

/** The plan without what each rank has of its own. */
const comparable = ({ workers, spinTurns, library, ranks, host, ...plan }: RunPlan) => ({
  ...plan,
  ranks: ranks && { ...ranks, rank: null },
  host: host && { ...host, rank: null, hugeOffset: null },
})

const digest = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16)

/** Waits until all ranks have opened the run; throws ConfigError where one would train something else. */
export async function compareRanks(ranks: SharedRun, session: Opened): Promise<void> {
  const own = digestsOf(session)
  const all = (await ranks.nextOfAll()) as Record<string, string>[]
  for (let rank = 1; rank < ranks.size; rank++) {
    for (const [name, value] of Object.entries(own)) {
      if (all[rank][name] === value) continue
      throw new ConfigError(
        `machines: ${ranks.nameOf(rank)}: ${name} is ${all[rank][name]}, expected ${value} as on ${ranks.nameOf(0)}`,
        {
          hint:
            name === 'backend and library'
              ? 'name one that all have: --backend wasm works everywhere'
              : 'every machine needs the same data at the same path',
        },
      )
    }
  }
}

/** Readings of what ranks have spent in exchanges and got in them. */
export const readTraffic = (ranks: SharedRun) => ({ waits: ranks.waits(), received: ranks.received() })

/** Milliseconds and bytes of each rank in exchanges, between two readings. */
export function trafficSince(
  before: ReturnType<typeof readTraffic>,
  after: ReturnType<typeof readTraffic>,
): RankTraffic[] {
  const bytes = (rank: number) => 4 * ((after.received[rank] - before.received[rank]) >>> 0)
  return waitsSince(before.waits, after.waits).map((exchangeMs, rank) => ({ exchangeMs, receivedBytes: bytes(rank) }))
}

/** Milliseconds of each rank in exchanges, between two readings. */
const waitsSince = (before: Uint32Array, after: Uint32Array): number[] =>
  Array.from(after, (us, rank) => ((us - before[rank]) >>> 0) / 1000)

/** The ranks of a run as its manifest names them. */
export const recordOf = ({ launcher, library, facts }: SharedRun, { host }: RunPlan): RanksRecord => ({
  launcher,
  library,
  memory: host ? 'one' : 'own',
  hosts: facts.map(({ rank, host, cores }) => ({ rank, host, cores })),
})

/** A line about the ranks, for the start of a run. */
export function ranksText({ facts, library }: SharedRun, plan: RunPlan): string {
  const hosts = new Set(facts.map(({ host }) => host)).size
  const memory = plan.host ? ' with one memory' : ''
  return `${formatCounted(facts.length, 'rank')} on ${formatCounted(hosts, 'host')}${memory}, ${formatCounted(allWorkers(plan), 'worker')} together; ${library}`
}

/** Warns of ranks that their launcher has bound to one core of several. */
export function warnOfBinding(
  { facts, launcher }: SharedRun,
  { compute }: Experiment,
  warn: (message: string) => void,
): void {
  const bound = facts.filter(({ isBound, cores }) => isBound && cores === 1)
  if (bound.length === 0 || compute.workers === 1) return
  const which = bound.length === facts.length ? 'every rank' : `rank ${bound.map(({ rank }) => rank).join(', ')}`
  warn(
    `machines: ${launcher} bound ${which} to one core, so that more workers than one wait for each other; ` +
      'mpirun --bind-to none, or --map-by slot:PE=4, leaves each rank more',
  )
}

/** A failure of another rank, with what the user can do. */
export const withResume = (failure: RunError, runDir: string | undefined): RunError =>
  new RunError(failure.message, {
    cause: failure,
    hint:
      runDir === undefined
        ? 'the run has no directory, so nothing of it is kept'
        : `on any number of machines, from the last whole checkpoint: npx gradloom resume ${shellWord(runDir)}`,
  })
