/**
 * Continues a run from its newest whole checkpoint: the same bits as if it had never stopped, with any number of workers.
 * Nothing of the run is removed or written before all has been checked and the state is in memory. Main thread.
 */
import { resolve } from 'node:path'
import { precisionOfTitle } from '../kernels/choose.js'
import { RunDirectory } from '../run/directory.js'
import type { RunSummary } from '../run/events.js'
import { dataFromRun } from '../run/locate-data.js'
import { RunLock } from '../run/lock.js'
import { type Computed, refuseOtherData, type SavedRun, withBackendOf } from '../run/saved-run.js'
import { allWorkers } from '../worker/plan/tiles.js'
import { inputOfResumed, knownScaling } from './model-input.js'
import { prepareSession } from './prepare.js'
import {
  compareRanks,
  expectRanks,
  plannedRanks,
  ranksText,
  recordOf,
  relationOf,
  type Told,
  warnOfBinding,
} from './ranks.js'
import { checkResumable, noUsableCheckpoint, otherBits, type ResumeRequest } from './resume-plan.js'
import { bitsOf } from './run-state.js'
import { Session } from './session.js'
import { sharedSource } from './shared-data.js'
import { locateStart, type ResumePoint, restoreFirst, type Start, startFrom } from './start.js'
import { Trainer, type TrainOptions } from './training-loop.js'

export interface ResumeOptions extends Omit<TrainOptions, 'runDir'>, ResumeRequest {}

export interface Resumed {
  /** False for a run that was finished already: nothing was done. */
  readonly trained: boolean
  readonly summary: RunSummary
}

const AS_TRAINED = 'resume without that change; a new run prepares the data anew: npx gradloom train --from'

/**
 * Rejects with ConfigError if the run cannot be continued as asked, RunError if it is in use, if its files are
 * damaged or edited, or if training fails again, DataError if its data are missing or have changed. Unless training
 * itself fails, the run directory is not changed then.
 */
export async function resume(runDir: string, options: ResumeOptions = {}): Promise<Resumed> {
  const path = resolve(runDir)
  const { onWarning = () => {}, ranks } = options
  const { finished } = await checkResumable(path, options, () => {})
  if (finished) return { trained: false, summary: finished }
  const lock = await RunLock.take(path)
  let directory: RunDirectory | undefined
  try {
    // Check again: until we held the lock, another process may have continued the run.
    const plan = await checkResumable(path, options, onWarning)
    if (plan.finished) return { trained: false, summary: plan.finished }
    const { run, experiment, starts, changes, serious } = plan
    expectRanks(experiment, ranks)
    const computed = computedIn(run, starts[0])
    const pinned = computed === null ? experiment : withBackendOf(experiment, computed)
    // Needed only where no step is complete.
    const startedFrom = starts.length > 0 ? null : await locateStart(run.manifest?.from, path, options.fromPath)
    const model = await inputOfResumed(starts[0]?.checkpoint, startedFrom)
    const relation = ranks && (await relationOf(ranks, pinned))
    const prepared = await prepareSession(
      pinned,
      path,
      {
        ...{ purpose: 'train', splits: ['train', 'validation', 'test'] },
        ...(ranks && { ranks: plannedRanks(ranks, pinned, relation!) }),
      },
      options.data,
      model.spec,
    )
    const known = knownScaling(model, prepared.data, pinned.data, AS_TRAINED)
    ranks?.tell({
      ...{ call: 'open', experiment: pinned, baseDir: path, workers: allWorkers(prepared.plan) },
      ...{ ...relation!, shareMemory: prepared.plan.host !== null },
      ...{ model: model.spec, known, source: sharedSource(pinned, prepared.data) },
    } satisfies Told)
    const session = await Session.start({ ...prepared, ...(ranks && { ranks }) }, pinned, known, path)
    try {
      if (ranks) {
        await compareRanks(ranks, session)
        warnOfBinding(ranks, experiment, options.onWarning ?? (() => {}))
      }
      refuseOtherData(run.manifest?.data?.files, session.files)
      const bits = otherBits(bitsOf(session.plan, session.files), starts[0])
      if (bits !== null && !options.allowChange) throw bits
      const from = await restored(session, path, starts, onWarning)

      directory = await RunDirectory.reopen(lock, { onWarning, tensorboard: experiment.log.tensorboard })
      const note = {
        at: new Date().toISOString(),
        step: from?.step ?? 0,
        workers: session.plan.workers,
        ...(ranks && { ranks: recordOf(ranks, session.plan) }),
        changes: changes.map(({ text }) => text),
        changesPast: serious.length > 0 || bits !== null,
      }
      await directory.writeResume(note, experiment, dataFromRun(path, experiment.data))
      if (from) await directory.setAsideAfter(from.step)
      await directory.cutMetrics(from?.step ?? -1)
      await directory.removeSummary()
      const { backendReason, backendAdvice } = prepared
      const trainer = new Trainer({
        ...{ session, experiment, options, directory, backendReason, backendAdvice, from },
        notes: [...(prepared.data.notes ?? []), ...(ranks ? [ranksText(ranks, session.plan)] : [])],
        ...(startedFrom !== null && { initialise: session => startFrom(session, startedFrom) }),
      })
      return { trained: true, summary: await trainer.train() }
    } finally {
      await session.close()
    }
  } finally {
    await (directory ? directory.close() : lock.release())
  }
}

/** Backend, precision and shards of the newest checkpoint, or of a run without one; null: not recorded. */
function computedIn({ manifest }: SavedRun, newest: Start | undefined): Computed | null {
  if (newest === undefined) return manifest?.backend ? { ...manifest.backend, backend: manifest.backend.name } : null
  const { bits } = newest.training
  return { ...bits, precision: precisionOfTitle(bits.library) }
}

/** State of the first start that is whole. Null if there is none to restore: training begins at step 0. */
async function restored(
  session: Session,
  path: string,
  starts: readonly Start[],
  onWarning: (message: string) => void,
): Promise<ResumePoint | null> {
  if (starts.length === 0) return null
  const reasons: string[] = []
  const point = await restoreFirst(session, starts, message => {
    reasons.push(message)
    onWarning(message)
  })
  if (point === null) throw noUsableCheckpoint(path, reasons)
  return point
}
