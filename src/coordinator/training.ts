/** One training as its parts share it: loop, policy for faults, scores, recovery, end. Main thread. */
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
  /** null where the run writes no files. */
  readonly checkpointing: Checkpointing | null
  readonly restarts: Restarts
  /** Gives the session its first state. */
  readonly initialise: (session: Session) => Promise<void>
  /** Writes an event to the run directory and tells the observer. */
  emit(event: Exclude<TrainEvent, { type: 'progress' }>): void
  /** Tells the user of something that does not end the run. */
  warn(message: string): void
}

/** A copy of the state, taken when no write of an earlier one is under way. Throws NonFiniteError. */
export async function snapshotWhenSettled({ session, checkpointing, restarts }: Training): Promise<StateSnapshot> {
  await checkpointing?.settled()
  return await restarts.repeat(session, () => session.snapshot())
}

/** Whether the run ends with the weights of its best epoch, rather than with its last ones. */
export const endsWithBest = ({ train: { earlyStopping } }: Experiment): boolean =>
  earlyStopping.patience !== null && earlyStopping.restoreBest
