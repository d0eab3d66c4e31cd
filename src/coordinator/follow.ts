/**
 * Work of all ranks but 0: they load their copy of the data, or get it from rank 0, then make the calls of rank 0 when it makes them. They write no file and print
 * nothing; a failure here is told to rank 0, which ends the run. Main thread.
 */
import type { TrainingData } from '../data/memory.js'
import { openHostMemory } from '../ffi/host-memory.js'
import type { PlanOptions } from '../worker/plan/plan.js'
import { prepareReceiver, prepareSession } from './prepare.js'
import { digestsOf, plannedRanks, type SharedRun, type Told } from './ranks.js'
import { Session } from './session.js'
import { EndedEarly, sourceOf } from './shared-data.js'

export interface FollowOptions {
  /** Samples of an experiment whose `data.dataset` is "memory". */
  readonly data?: TrainingData | undefined
  /** Aborting it asks rank 0 to stop the run. */
  readonly signal?: AbortSignal | undefined
}

/** Follows rank 0 to the end of the run. Returns the exit code that rank 0 ends with. Rejects if this or another rank fails. */
export async function follow(ranks: SharedRun, { data, signal }: FollowOptions = {}): Promise<number> {
  signal?.addEventListener('abort', () => ranks.tellStop())
  let session: Session | undefined
  try {
    for (;;) {
      const told = (await ranks.next()).message as Told
      if (told.call === 'end') return told.exitCode
      if (told.call === 'measure') {
        await ranks.measure()
        continue
      }
      if (told.call === 'openMemory') {
        const fd = openHostMemory(told.offer)
        ranks.keepMemory(fd)
        ranks.tell(fd !== null)
        continue
      }
      if (told.call === 'open') {
        session = await open(ranks, told, data)
        ranks.tell(digestsOf(session))
      } else await act(session!, told)
    }
  } catch (error) {
    if (error instanceof EndedEarly) return error.exitCode
    if (!ranks.failure) ranks.tellError(error as Error)
    throw error
  } finally {
    if (!ranks.failure) await session?.close()
  }
}

async function open(ranks: SharedRun, told: Extract<Told, { call: 'open' }>, data?: TrainingData): Promise<Session> {
  ranks.setTimeout(told.experiment.compute.machinesTimeout)
  const { experiment, source } = told
  const options: PlanOptions = {
    ...{ purpose: 'train', splits: ['train', 'validation', 'test'] },
    ranks: plannedRanks(ranks, experiment, told, told.workers),
  }
  const prepared = source
    ? await prepareReceiver(experiment, sourceOf(source), options)
    : await prepareSession(experiment, told.baseDir, options, data, told.model)
  return await Session.start({ ...prepared, ranks }, prepared.experiment, told.known)
}

async function act(
  session: Session,
  told: Exclude<Told, { call: 'open' | 'openMemory' | 'measure' | 'end' }>,
): Promise<void> {
  session.clearFault()
  switch (told.call) {
    case 'initialise':
      return session.initialise()
    case 'gather':
      return session.gather(told.what)
    case 'share':
      return session.share()
    case 'run':
      await session.runSteps(told.from, told.to, told.rateFactor)
  }
}
