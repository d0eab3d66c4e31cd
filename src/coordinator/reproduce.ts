/**
 * Trains a saved run again from its manifest, in memory, and compares the bits at every step for which the run has recorded a
 * digest. Main thread.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { resolveExperiment } from '../config/load.js'
import type { DatasetSource } from '../data/dataset.js'
import { ConfigError, RunError } from '../errors.js'
import { titleOf } from '../kernels/choose.js'
import { type Digests, digestsOf } from '../run/checkpoint-file.js'
import { RunDirectory } from '../run/directory.js'
import type { EpochEvent, RunSummary, Score, StepsEvent, TrainEvent } from '../run/events.js'
import { dataOverrides, withLocatedData } from '../run/locate-data.js'
import { machineFacts } from '../run/machine.js'
import { FILES } from '../run/manifest.js'
import { readSavedRun, refuseOtherData, type SavedRun, withBackendOf } from '../run/saved-run.js'
import { inputOfFrom, knownScaling } from './model-input.js'
import { prepareSession } from './prepare.js'
import { Session } from './session.js'
import { locateStart, type Start, startFrom, startsIn } from './start.js'
import { Trainer, type TrainOptions } from './training-loop.js'

export interface ReproduceOptions extends Pick<TrainOptions, 'signal' | 'onEvent' | 'onWarning' | 'data'> {
  /** Texts such as "compute.workers=4". */
  readonly overrides?: readonly string[]
  /** Current location of the data, if they have moved: relative to the current folder. */
  readonly dataPath?: string | undefined
  readonly testDataPath?: string | undefined
  /** Current location of the weights that the run started from, if they have moved. */
  readonly fromPath?: string | undefined
}

export interface Difference {
  readonly step: number
  /** Value that differs: a digest, or the running score of an epoch. */
  readonly what: string
  readonly recorded: string
  readonly got: string
}

export interface Reproduction {
  readonly identical: boolean
  /** The last step up to which everything is identical; null if not even the first one is. */
  readonly identicalUpTo: number | null
  readonly difference: Difference | null
  /** Number of steps compared, and of steps that the run has records of. */
  readonly compared: number
  readonly recorded: number
  /** Changes of the environment since the run, as `what: then -> now`. They may explain a difference, or not matter. */
  readonly environment: readonly string[]
}

/**
 * Resolves with the comparison. Rejects with ConfigError if the run cannot be repeated from its experiment, DataError
 * if its data have changed, RunError if there is nothing to compare.
 */
export async function reproduce(runDir: string, options: ReproduceOptions = {}): Promise<Reproduction> {
  const run = await readSavedRun(resolve(runDir))
  const { overrides = [], onWarning = () => {} } = options
  refuseChangedPast(run)
  const starts = await startsIn(join(run.path, FILES.checkpoints), onWarning)
  const records = await recordsOf(run, starts)
  const steps = [...records.keys()].sort((a, b) => a - b)
  if (steps.length === 0) {
    throw new RunError(`${run.path}: has no checkpoint, no epoch and no final weights, expected something to compare`)
  }
  const { name: backend = 'wasm', precision } = run.manifest?.backend ?? {}
  const pinned = withBackendOf(run.loaded.experiment, { backend, precision, shardRows: shardRowsOf(run, starts) })
  const moved = dataOverrides(options)
  const { experiment: asked } = resolveExperiment(pinned, {
    where: run.loaded.path!,
    overrides: ['train.stopAfterSeconds=null', ...overrides, ...moved], // limited by time, no run ends twice at the same step
  })
  const named = (key: string) => [...overrides, ...moved].some(text => text.startsWith(`data.${key}=`))
  const experiment = await withLocatedData(asked, run, {
    ...(named('path') && { path: asked.data.path }),
    ...(named('testPath') && { testPath: asked.data.testPath }),
  })
  const startedFrom = await locateStart(run.manifest?.from, run.path, options.fromPath)
  const model = await inputOfFrom(startedFrom)
  const prepared = await prepareSession(
    experiment,
    run.path,
    { purpose: 'train', splits: ['train', 'validation', 'test'] },
    options.data,
    model.spec,
  )
  const session = await Session.start(prepared, experiment, knownScaling(model, prepared.data, experiment.data))
  const compared = new Set<number>()
  let difference: Difference | null = null
  const enough = new AbortController()
  // The run keeps records of the last pass over a step alone: what differs may be of a pass that a rollback will undo.
  const mayGoBack = experiment.train.onNonFinite === 'rollback'
  const compare = (step: number, found: Recorded): void => {
    compared.add(step)
    difference ??= differenceAt(step, records.get(step)!, found)
    if (difference ? !mayGoBack : step === steps.at(-1)) enough.abort()
  }
  const undo = (last: number): void => {
    for (const step of compared) if (step > last) compared.delete(step)
    if (difference && difference.step > last) difference = null
  }
  let directory: RunDirectory | null = null
  try {
    refuseOtherData(run.manifest?.data?.files, session.files)
    directory = await directoryFor(experiment)
    const trainer = new Trainer({
      ...{ session, experiment, directory },
      ...{ backendReason: prepared.backendReason, backendAdvice: prepared.backendAdvice },
      ...(startedFrom !== null && { initialise: (of: Session) => startFrom(of, startedFrom) }),
      options: {
        onWarning,
        signal: options.signal ? AbortSignal.any([options.signal, enough.signal]) : enough.signal,
        onEvent(event): unknown {
          const found = recordedIn(event)
          if (found && records.has(found.step)) compare(found.step, found)
          if (event.type === 'non-finite' && event.action === 'rollback') undo(event.step)
          return options.onEvent?.(event)
        },
      },
      watch: {
        // Spans then end at the same steps as those of the run.
        steps,
        async onState(step, { parameters, moments }) {
          if (records.get(step)!.digests) compare(step, { digests: await digestsOf(parameters, moments) })
        },
      },
      scores: false,
    })
    await trainer.train()
  } finally {
    await session.close()
    await directory?.close()
    if (directory) await rm(directory.path, { recursive: true, force: true })
  }
  const done = steps.filter(step => compared.has(step))
  const agreeing = done.filter(step => difference === null || step < difference.step)
  return {
    identical: difference === null && done.length === steps.length,
    identicalUpTo: agreeing.at(-1) ?? null,
    difference,
    compared: done.length,
    recorded: steps.length,
    environment: environmentOf(run, session, prepared.data.libraries),
  }
}

/** Records that a run has kept of a step. */
interface Recorded {
  readonly digests?: Partial<Digests>
  readonly epoch?: EpochEvent['train']
  readonly span?: Score & Pick<StepsEvent, 'from'>
}

const scoreIn = ({ loss, accuracy, r2 }: Score): Score => ({
  loss,
  ...(accuracy !== undefined && { accuracy }),
  ...(r2 !== undefined && { r2 }),
})

function recordedIn(event: TrainEvent): (Recorded & { readonly step: number }) | null {
  switch (event.type) {
    case 'steps': {
      const { from, step } = event
      return { step, span: { from, ...scoreIn(event) } }
    }
    case 'epoch':
      return { step: event.step, epoch: event.train }
    case 'checkpoint':
      return { step: event.step, digests: digestsIn(event) }
    default:
      return null
  }
}

function differenceAt(step: number, recorded: Recorded, { digests, epoch, span }: Recorded): Difference | null {
  // A run that was stopped and resumed has spans that begin at other steps.
  const sameSpan = span?.from === recorded.span?.from

  const pairs: [string, unknown, unknown][] = [
    ['weights and optimizer state (SHA-256)', recorded.digests?.stateSha256, digests?.stateSha256],
    ['weights (SHA-256)', recorded.digests?.weightsSha256, digests?.weightsSha256],
    ['training score of the epoch', recorded.epoch, epoch],
    ['loss and score of some steps', sameSpan ? recorded.span : undefined, span],
  ]
  for (const [what, before, now] of pairs) {
    if (before === undefined || now === undefined || isDeepStrictEqual(before, now)) continue
    const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
    return { step, what, recorded: text(before), got: text(now) }
  }
  return null
}

/** Records by step, from the metrics, the remaining checkpoints, and the summary. */
async function recordsOf({ path, summary }: SavedRun, starts: readonly Start[]): Promise<Map<number, Recorded>> {
  const records = new Map<number, Recorded>()
  const add = (step: number, found: Recorded) => {
    if (step > 0) records.set(step, { ...records.get(step), ...found })
  }
  for (const event of await eventsOf(path)) {
    const found = recordedIn(event)
    if (found) add(found.step, found)
  }
  for (const { checkpoint } of starts) {
    add(checkpoint.step, { digests: digestsIn(checkpoint) })
  }
  if (summary?.weightsSha256) {
    const { steps, weightsStep = steps, weightsSha256 } = summary
    add(weightsStep, { digests: { ...records.get(weightsStep)?.digests, weightsSha256 } })
  }
  return records
}

const digestsIn = ({ weightsSha256, stateSha256 }: Digests): Digests => ({ weightsSha256, stateSha256 })

/** Whole lines of the metrics; the last line of a run that was killed may be incomplete. */
async function eventsOf(path: string): Promise<TrainEvent[]> {
  const text = await readFile(join(path, FILES.metrics), 'utf8').catch(cause => {
    if (cause.code === 'ENOENT') return ''
    throw new RunError(`${join(path, FILES.metrics)}: cannot be read: ${cause.message}`, { cause })
  })
  return text.split('\n').flatMap(line => {
    try {
      return [JSON.parse(line) as TrainEvent]
    } catch {
      return []
    }
  })
}

function refuseChangedPast({ path, manifest }: SavedRun): void {
  const changed = manifest?.resumes?.find(({ changesPast }) => changesPast)
  if (!changed) return
  throw new ConfigError(
    `${path}: was changed at step ${changed.step}: ${changed.changes.join('; ') || 'other kernels'}; the run cannot be reproduced from its configuration`,
  )
}

/** Rows per shard that the run used, whatever this machine would choose. */
function shardRowsOf({ loaded, summary }: SavedRun, [newest]: readonly Start[]): number {
  const { shardRows } = loaded.experiment.compute
  if (shardRows !== 'auto') return shardRows
  return (summary as Partial<RunSummary> | undefined)?.shardRows ?? newest?.training.bits.shardRows ?? 64
}

/** Directory for checkpoints; only a run that may roll back needs one. */
async function directoryFor({ name, train }: SavedRun['loaded']['experiment']): Promise<RunDirectory | null> {
  if (train.onNonFinite !== 'rollback') return null
  return RunDirectory.create({ name, dir: await mkdtemp(join(tmpdir(), 'gradloom-reproduce-')) })
}

function environmentOf(
  { manifest, loaded }: SavedRun,
  session: Session,
  decoders: DatasetSource['libraries'],
): string[] {
  const now = machineFacts()
  const then = manifest?.machine
  const library = (of: SavedRun['manifest']) =>
    of?.backend?.library && titleOf(of.backend.library, of.backend.precision ?? 'f32')
  const { plan } = session
  const pairs: [string, unknown, unknown][] = [
    ['gradloom', then?.gradloom, now.gradloom],
    ['Node.js', then?.node, now.node],
    ['V8', then?.v8, now.v8],
    ['system', then?.os, now.os],
    ['CPU', then?.cpu?.model, now.cpu.model],
    ['backend', manifest?.backend?.name, plan.backend],
    ['library', library(manifest), plan.library && titleOf(plan.library, plan.precision)],
    ['precision', manifest?.backend?.precision, plan.precision],
    ...Object.entries(decoders ?? {}).map(([name, version]): [string, unknown, unknown] => [
      name,
      manifest?.data?.libraries?.[name],
      version,
    ]),
    ['workers', manifest?.workers, plan.workers],
    ['all-reduce', loaded.experiment.compute.allReduce, plan.allReduce],
  ]
  return pairs.flatMap(([what, before, here]) =>
    before === undefined || isDeepStrictEqual(before ?? null, here ?? null) ? [] : [`${what}: ${before} -> ${here}`],
  )
}
