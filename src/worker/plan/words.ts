/**
 * Control words and sums in shared memory, by name. Constants only; read and written by the workers' barrier and by the
 * coordinator.
 */

/**
 * Control words, Int32, Atomics only. Words that different threads write at the same time lie on cache lines of their
 * own, 16 words apart.
 */
export const Control = {
  /** Counts barriers passed; waiting workers sleep on it. */
  generation: 0,
  arrived: 16,
  /** Next task of the stage. Reset by the last worker to arrive at a barrier, when no worker claims any more. */
  claim: 32,
  /** Nonzero: leave as soon as possible; values in shared memory may be half written. */
  abort: 48,
  /** Set by the coordinator: stop after the current step. */
  stop: 64,
  /** Copy of `stop` made at the last barrier of a step, so that all workers stop after the same one. */
  stopped: 80,
  /** 0, or the smallest code of a fault that a task reported; see `fault` below. */
  fault: 96,
  /**
   * Copy of `fault` made at each barrier. Workers decide by this one: a fast worker may report the next stage's fault
   * while a slow one has not yet looked at this stage's.
   */
  latchedFault: 112,
  /** 1 from the barrier before the stage that changes the state to the one after it, else 0. */
  updating: 128,
  /** In a run over ranks: copy of rank 0's `stop` made at each exchange, so that all ranks stop after the same step. */
  agreedStop: 144,
  /** Step of each worker: one word per worker from here on, 16 apart. */
  workerStep: 160,
} as const
export const CONTROL_STRIDE = 16
export const controlWords = (workers: number): number => Control.workerStep + CONTROL_STRIDE * workers

/**
 * Sums over the rows of the epoch so far (or of an evaluation), written by one task per step; and the same with those of
 * the mini-batches of a step that is not done yet. From `squares` on, of an evaluation by squared error: the squared
 * errors of each output. Float64.
 */
export const Stat = { step: 0, loss: 1, correct: 2, rows: 3, pending: 4, squares: 7 } as const
export const statWords = (outputs: number): number => Stat.squares + outputs
