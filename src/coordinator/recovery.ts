/**
 * Decides from where a run continues after a worker failed: from memory if the state is whole (`Session.restart`), else from
 * the newest whole checkpoint, else from the beginning. Also restores the state that a rollback goes back to. Called by
 * training-loop.ts, which catches the failure; the state is whole unless `Control.updating` is set (worker/threads/barrier.ts).
 * Main thread.
 */
import { NO_MARKS } from './checkpointing.js'
import { restoreFirst, startsIn } from './start.js'
import type { Training } from './training-context.js'

/**
 * Restores the newest whole checkpoint up to step `last`, or the state of the beginning. Checkpoints and
 * metrics of later steps are removed: those steps will be trained again. Returns which of the two it was.
 */
export async function goBack(training: Training, last: number): Promise<'checkpoint' | 'beginning'> {
  const { session, state, directory, checkpointing, restarts, initialise } = training
  const warn = (message: string) => training.warn(message)
  await checkpointing?.settled()
  const starts = directory ? await startsIn(directory.checkpoints, warn, last) : []
  const point = await restarts.repeat(session, () => restoreFirst(session, starts, warn))
  if (!point) await restarts.repeat(session, () => initialise(session))
  state.continueFrom(point, session)
  await checkpointing?.goBackTo(state.step, point?.training ?? NO_MARKS)
  await directory?.cutMetrics(state.step).catch(error => warn(error.message))
  return point ? 'checkpoint' : 'beginning'
}

/** Replaces workers after a failure in a span of steps. The run continues after the last whole step if its state is whole, else from an earlier one. */
export async function recover(training: Training, failure: unknown): Promise<void> {
  const { session, state, restarts } = training
  const { stateIsWhole } = await restarts.restart(session, failure)
  const from = stateIsWhole ? 'memory' : await goBack(training, Number.POSITIVE_INFINITY)
  const step = stateIsWhole ? session.sums().step : state.step
  training.emit({ type: 'restart', step, from, error: (failure as Error).message, restarts: restarts.count })
}
