/**
 * Meetings of ranks that share memory (ffi/host-memory.ts): the barrier of a stage, over the workers of all of them. What others have written is
 * there when they have met, so that nothing is sent. Runs in workers, in the last of a rank to arrive at its own barrier.
 *
 * Who waits: that worker; it spins, then sleeps in slices and looks again, since no process can wake another one's thread. A rank that is gone
 * is noticed by the communication thread, which goes on with its signs of life, and sets `failed`.
 */
import { performance } from 'node:perf_hooks'
import { claimAt, Exchange, Head, headAt, smallerFault, waitsOf } from '../../machines/words.js'
import { Control } from '../plan/words.js'

/** This rank, and memory of its own and of all. */
export interface MeetingParts {
  readonly rank: number
  readonly size: number
  readonly spinTurns: number
  /** Control words of this rank's workers, and words of its communication thread. */
  readonly control: Int32Array
  readonly words: Int32Array
  /** Words that all ranks have. */
  readonly heads: Int32Array
}

/** Sleep between two looks, and time after which it is longer: most ranks are late by less. */
const SLEEP_MS = 0.05
const BRISK_MS = 20
const LONG_SLEEP_MS = 1

/** Raised by another worker of this rank, or by the coordinator. */
export type OnAbort = () => never

export class Meeting {
  readonly #parts: MeetingParts

  constructor(parts: MeetingParts) {
    this.#parts = parts
  }

  /**
   * Waits until all ranks are here. `key`: the place in the program, which must be the same in all. Returns the smallest fault of all ranks, and
   * notes whether one of them was asked to stop. Throws if the run over ranks has failed; calls `onAbort` if this rank's workers are to end.
   */
  meet(key: number, fault: number, onAbort: OnAbort): number {
    const { rank, size, words, control, heads } = this.#parts
    const started = performance.now()
    const count = (Atomics.load(words, Exchange.done) + 1) | 0
    const own = headAt(rank, count)
    heads[own + Head.key] = key
    heads[own + Head.fault] = fault
    heads[own + Head.stop] = Atomics.load(control, Control.stop)
    heads[own + Head.waited] = Atomics.load(words, Exchange.waited)
    Atomics.store(heads, own + Head.count, count)

    const waits = waitsOf(words, size)
    let [smallest, stop] = [0, 0]
    for (let other = 0; other < size; other++) {
      const at = headAt(other, count)
      this.#await(at, count, started, onAbort)
      if (heads[at + Head.key] !== key) {
        const place = (of: number) => `stage ${of} of meeting ${count}`
        throw new Error(`rank ${other} is at ${place(heads[at + Head.key])}; rank ${rank} is at ${place(key)}`)
      }
      smallest = smallerFault(smallest, heads[at + Head.fault])
      stop |= heads[at + Head.stop]
      Atomics.store(waits, other, heads[at + Head.waited])
    }
    // None claims a task of that stage any more, and none one of the stage after the next before this rank has arrived at its end.
    if (rank === 0) Atomics.store(heads, claimAt(size, count), 0)
    Atomics.store(control, Control.agreedStop, stop)
    Atomics.add(words, Exchange.waited, Math.round(1000 * (performance.now() - started)))
    Atomics.store(words, Exchange.done, count)
    return smallest
  }

  /** The next task of the stage that no worker of any rank has claimed. */
  claim(): number {
    const { size, words, heads } = this.#parts
    return Atomics.add(heads, claimAt(size, Atomics.load(words, Exchange.done) + 1), 1)
  }

  #await(at: number, count: number, started: number, onAbort: OnAbort): void {
    const { words, control, spinTurns, heads } = this.#parts
    for (let turn = 0; turn < spinTurns; turn++) if (Atomics.load(heads, at) === count) return
    while (Atomics.load(heads, at) !== count) {
      if (Atomics.load(words, Exchange.failed) !== 0) throw new Error('the exchange with other ranks has failed')
      if (Atomics.load(control, Control.abort) !== 0) onAbort()
      const isBrisk = performance.now() - started < BRISK_MS
      Atomics.wait(words, Exchange.failed, 0, isBrisk ? SLEEP_MS : LONG_SLEEP_MS)
    }
  }
}
