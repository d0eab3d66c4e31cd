/**
 * One worker's place in the team of threads: claiming tasks, and the barrier between stages. Runs in workers, on the
 * control words of the shared memory, with Atomics only.
 *
 * Who waits: every worker, at the end of each stage. Who wakes: the last to arrive, which first resets the claim
 * counter (nobody claims while all are at the barrier) and latches what all must agree on, then counts `generation` up,
 * then notifies. A waiter spins for a while, because most waits are shorter than a sleep (small networks ran 1.4x faster
 * with it), then sleeps in slices and looks at the abort flag after each, so that nobody hangs when a worker dies: the
 * coordinator raises the flag, which also leaves no task to claim, so that a worker comes out after the task it is in.
 */
import { noteFault } from '../../machines/words.js'
import type { IntTensor } from '../../tensor/tensor.js'
import { CONTROL_STRIDE, Control } from '../plan/words.js'
import type { Meeting } from './meeting.js'

/** Longest sleep between two looks at the abort flag. */
const SLEEP_MS = 100
/** More than any stage has tasks; claims that follow cannot overflow it. */
const NO_TASK_LEFT = 2 ** 30

const ABORTED = 'aborted: another worker failed'

/** Thrown at a barrier when another thread raised the abort flag: not this worker's fault. */
export class AbortedError extends Error {
  override name = 'AbortedError'
}

export class ThreadTeam {
  readonly id: number
  readonly size: number
  readonly #words: Int32Array
  readonly #spinTurns: number
  /** The word whose request to stop counts. */
  readonly #stop: number

  readonly #ofHost: Meeting | null
  /** The same while this worker is one of the team of all ranks; else null. */
  #meeting: Meeting | null = null
  #first = 0

  /** `isShared`: other ranks run the same steps, and stop after the same one. `ofHost`: where those that share memory meet. */
  constructor(
    control: IntTensor,
    id: number,
    size: number,
    spinTurns: number,
    isShared = false,
    ofHost: Meeting | null = null,
  ) {
    this.#ofHost = ofHost
    this.id = id
    this.size = size
    this.#words = control.data
    this.#spinTurns = spinTurns
    this.#stop = isShared ? Control.agreedStop : Control.stop
  }

  /** Runs `work` as one of the team that the workers of all ranks are, where these share memory. `first`: number of its first stage. */
  withOthers<T>(work: () => T, first = 0): T {
    this.#meeting = this.#ofHost
    this.#first = first
    try {
      return work()
    } finally {
      this.#meeting = null
    }
  }

  /** The next task of the stage that no worker has claimed. */
  claim(): number {
    if (!this.#meeting) return Atomics.add(this.#words, Control.claim, 1)
    return Atomics.load(this.#words, Control.abort) === 0 ? this.#meeting.claim() : NO_TASK_LEFT
  }

  /** Notes the step that this worker is in, for the message if it dies. */
  enterStep(step: number): void {
    Atomics.store(this.#words, Control.workerStep + CONTROL_STRIDE * this.id, step)
  }

  /**
   * Waits until all workers of the team are here. `last` runs in the last one of this process to arrive, before the others continue. `key`: number
   * of the stage, which ranks compare.
   */
  barrier(last?: () => void, key = 0): void {
    const words = this.#words
    const generation = Atomics.load(words, Control.generation)
    if (Atomics.add(words, Control.arrived, 1) === this.size - 1) {
      Atomics.store(words, Control.arrived, 0)
      Atomics.store(words, Control.claim, 0)
      if (this.#meeting) this.#meet(this.#meeting, key)
      Atomics.store(words, Control.latchedFault, Atomics.load(words, Control.fault))
      last?.()
      Atomics.add(words, Control.generation, 1)
      Atomics.notify(words, Control.generation)
      this.#leaveIfAborted()
      return
    }
    for (let turn = 0; turn < this.#spinTurns; turn++) {
      if (Atomics.load(words, Control.generation) !== generation) return
    }
    while (Atomics.load(words, Control.generation) === generation) {
      this.#leaveIfAborted()
      Atomics.wait(words, Control.generation, generation, SLEEP_MS)
    }
  }

  /** All other workers leave at their next barrier. */
  abort(): void {
    raiseAbort(this.#words)
  }

  /** Notes a fault unless a smaller one is known. */
  reportFault(code: number): void {
    noteFault(this.#words, code, Control.fault)
  }

  /** The fault known when the last barrier was passed: the same for all workers until the next one. */
  get fault(): number {
    return Atomics.load(this.#words, Control.latchedFault)
  }

  /** Called in the last barrier of a step: all workers then see the same answer in `stopped`. */
  latchStop(): void {
    Atomics.store(this.#words, Control.stopped, Atomics.load(this.#words, this.#stop))
  }

  /** Called in the barrier before the stage that changes the state, and in the one after it. */
  markUpdating(updating: boolean): void {
    const words = this.#words
    Atomics.store(words, Control.updating, updating && Atomics.load(words, Control.latchedFault) === 0 ? 1 : 0)
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, Control.stopped) !== 0
  }

  #meet(meeting: Meeting, key: number): void {
    const fault = meeting.meet(this.#first + key, Atomics.load(this.#words, Control.fault), () => {
      throw new AbortedError(ABORTED)
    })
    if (fault !== 0) this.reportFault(fault)
  }

  #leaveIfAborted(): void {
    if (Atomics.load(this.#words, Control.abort) !== 0) throw new AbortedError(ABORTED)
  }
}

/**
 * Raises the abort flag, leaves no task of the stage to claim, and wakes whoever sleeps at the barrier. For workers and for
 * the coordinator.
 */
export function raiseAbort(words: Int32Array): void {
  Atomics.store(words, Control.abort, 1)
  Atomics.store(words, Control.claim, NO_TASK_LEFT)
  Atomics.notify(words, Control.generation)
}
