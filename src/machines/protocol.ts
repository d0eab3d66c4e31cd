/** Messages between the main thread and the communication thread of a rank. Both threads. */
import type { MpiFamily } from '../ffi/mpi/launcher.js'

/** Data that the communication thread is started with. */
export interface CommStart {
  readonly family: MpiFamily
  /** Ranks that the launcher started; null: it does not say. */
  readonly size: number | null
  /** Silence after which a rank counts as gone. */
  readonly deadlineMs: number
  /** Int32: the second of `secondNow` in which the thread entered a call that may block; 0: it is in none. */
  readonly entered: SharedArrayBuffer
}

/** Memory of a run, and the places in it that exchanges use. */
export interface Attachment {
  readonly memory: WebAssembly.Memory
  readonly words: Place
  readonly buffer: Place
  /** The word that asks for a stop on rank 0, and the one that all ranks agree on: byte offsets. */
  readonly stop: number
  readonly agreedStop: number
}

/** Time of a small exchange of all ranks, and bytes that a rank gets in a millisecond of a large one. */
export interface MeasuredLink {
  readonly latencyMs: number
  readonly bytesPerMs: number
}

export interface Place {
  readonly byteOffset: number
  readonly bytes: number
}

/** To the communication thread. */
export type ToComm =
  | { readonly kind: 'attach'; readonly to: Attachment }
  | { readonly kind: 'timeout'; readonly ms: number }
  /** A text to one rank. `isError`: the run fails with it. */
  | { readonly kind: 'send'; readonly to: number; readonly text: string; readonly isError?: boolean }
  /** Memory of rank 0 to all; all ranks ask for it, and for nothing else until it is done. */
  | { readonly kind: 'broadcast'; readonly memory: ArrayBufferLike; readonly place: Place }
  /** Measures the link between the ranks, with all of them. */
  | { readonly kind: 'measure' }
  /** Meets the other ranks, and ends MPI. */
  | { readonly kind: 'finish' }

/** From the communication thread. `rank` of a failure: the one to blame; null: it is not known, or this one. */
export type FromComm =
  | {
      readonly kind: 'joined'
      readonly rank: number
      readonly size: number
      readonly library: string
      readonly version: string
    }
  | ({ readonly kind: 'measured' } & MeasuredLink)
  | { readonly kind: 'message'; readonly from: number; readonly text: string }
  | { readonly kind: 'failed'; readonly rank: number | null; readonly cause: string; readonly isSetup?: boolean }
  | { readonly kind: 'attached' }
  | { readonly kind: 'broadcasted' }
  | { readonly kind: 'finished' }

/** Second of a clock that only goes on, the same in all threads of a process. */
export const secondNow = (): number => Number(process.hrtime.bigint() / 1_000_000_000n)
