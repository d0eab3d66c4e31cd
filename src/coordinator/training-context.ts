/** Context that the parts of one training share: loop, fault policy, scores, recovery, end. Main thread. */
import type { Experiment } from '../config/schema.js'
import type { RunDirectory } from '../run/directory.js'
import type { TrainEvent } from '../run/events.js'
import type { Checkpointing } from './checkpointing.js'
import type { Restarts } from './restarts.js'
import type { RunState } from './run-state.js'
import type { Session, StateSnapshot } from './session.js'

export interface Training {
  readonly experiment: Experiment
  readonly session: Session
  readonly state: RunState
  readonly directory: RunDirectory | null
  /** null if the run writes no files. */
  readonly checkpointing: Checkpointing | null
  readonly restarts: Restarts
  /** Gives the session its initial state. */
  readonly initialise: (session: Session) => Promise<void>
  /** Writes an event to the run directory and passes it to the observer. */
  emit(event: Exclude<TrainEvent, { type: 'progress' }>): void
  /** Warns the user of a problem that does not end the run. */
  warn(message: string): void
}

/** Takes a copy of the state when no write of an earlier one is in progress. Throws NonFiniteError. */
export async function snapshotWhenSettled({ session, checkpointing, restarts }: Training): Promise<StateSnapshot> {
  await checkpointing?.settled()
  return await restarts.repeat(session, () => session.snapshot())
}

/** True if the run ends with the weights of its best epoch, not with the last ones. */
export const endsWithBest = ({ train: { earlyStopping } }: Experiment): boolean =>
  earlyStopping.patience !== null && earlyStopping.restoreBest
