/**
 * Words of shared memory through which compute workers ask the communication thread for an exchange, and learn that it is done.
 * Constants and small helpers; workers, the communication thread and the main thread.
 *
 * Who waits: the worker that claimed the task in which an exchange ends sleeps on `done` until it is counted up; all others wait at the
 * barrier of its stage. The task in which it begins may be an earlier one. Who wakes: the communication thread, which sleeps on `wake` for at
 * most a millisecond. Everything about an exchange is written before `requested` is counted up, its results before `done` is; only one
 * exchange is under way at a time.
 */

/** Int32, Atomics only. Words that different threads write lie on cache lines of their own, 16 words apart. */
export const Exchange = {
  /** Counted up by whoever has work for the communication thread, which sleeps on it. */
  wake: 0,
  /** Number of exchanges that were asked for. */
  requested: 16,
  /** Number of exchanges that are done. */
  done: 32,
  /** Nonzero: the run over ranks has failed, and nothing will be exchanged any more. */
  failed: 48,
  /** Smallest fault that a task of this rank reported since the last exchange; 0: none. */
  fault: 64,
  /** The exchange that is asked for: the place in the program, which must be the same in all ranks, and its operation. */
  key: 80,
  operation: 81,
  /** Bytes of the largest part that one rank sends another. */
  largest: 82,
  /** The fault that this rank has noted before it. */
  ownFault: 83,
  /** Results: the smallest fault of all ranks. */
  faultOfAll: 96,
  /** Microseconds that this rank's workers have waited for other ranks, or for what they send, since the start. */
  waited: 112,
  /**
   * For each rank: bytes and place of its part, or of that which it gets; bytes and place of that which comes from it; then microseconds
   * of waiting since the start, and words of 4 bytes that came from others, which wrap around.
   */
  ranks: 128,
} as const

/**
 * Operation of an exchange on the parts: everyone gets all of them, or rank 0 does, or everyone gets that of rank 0, or everyone gets one of
 * each rank that is for it alone.
 */
export const Operation = { allgather: 0, gather: 1, broadcast: 2, alltoall: 3 } as const

export const exchangeWords = (ranks: number): number => Exchange.ranks + 6 * ranks
export const bytesOf = (words: Int32Array, ranks: number): Int32Array =>
  words.subarray(Exchange.ranks, Exchange.ranks + ranks)
export const placesOf = (words: Int32Array, ranks: number): Int32Array =>
  words.subarray(Exchange.ranks + ranks, Exchange.ranks + 2 * ranks)
export const comingBytesOf = (words: Int32Array, ranks: number): Int32Array =>
  words.subarray(Exchange.ranks + 2 * ranks, Exchange.ranks + 3 * ranks)
export const comingPlacesOf = (words: Int32Array, ranks: number): Int32Array =>
  words.subarray(Exchange.ranks + 3 * ranks, Exchange.ranks + 4 * ranks)
export const waitsOf = (words: Int32Array, ranks: number): Int32Array =>
  words.subarray(Exchange.ranks + 4 * ranks, Exchange.ranks + 5 * ranks)
export const receivedOf = (words: Int32Array, ranks: number): Int32Array =>
  words.subarray(Exchange.ranks + 5 * ranks, Exchange.ranks + 6 * ranks)

/**
 * Heads of ranks that share memory: what each says where they meet, in two lines of 16 words of its own, one for every other meeting, so that
 * one who is ahead does not write over what another has still to read. `count` is written last.
 */
export const Head = { count: 0, key: 1, fault: 2, stop: 3, waited: 4 } as const
const HEAD_STRIDE = 16
export const headAt = (rank: number, count: number): number => HEAD_STRIDE * (2 * rank + (count & 1))
/** The next task that no rank has claimed, of the stage that ends with this meeting: after the heads, one for every other meeting too. */
export const claimAt = (ranks: number, count: number): number => headAt(ranks, count)
export const headWords = (ranks: number): number => headAt(ranks + 1, 0)

/** The fault that counts of two, 0 being none: the smaller code. */
export const smallerFault = (one: number, other: number): number =>
  one === 0 || other === 0 ? one + other : Math.min(one, other)

/** Notes a fault in a word, unless a smaller one is known there. */
export function noteFault(words: Int32Array, code: number, at: number = Exchange.fault): void {
  for (;;) {
    const known = Atomics.load(words, at)
    if (known !== 0 && known <= code) return
    if (Atomics.compareExchange(words, at, known, code) === known) return
  }
}
