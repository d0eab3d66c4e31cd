/**
 * The communication thread of a rank: it alone calls MPI (which it starts at the level FUNNELED), so that neither the main thread's event
 * loop nor a compute worker waits in a native call. Started by machines.ts; never returns to its event loop before the end.
 *
 * It serves, in turns: messages of the main thread; the exchange that the workers ask for through words.ts; messages of other ranks,
 * rank 0 being the one that all others talk to; signs of life, which rank 0 and every other rank send each other. A rank that has been
 * silent for the deadline is gone, and so is the run: neither launcher notices a host that has vanished or a process that stands still.
 *
 * No call of it but MPI_Init blocks for long: exchanges are begun, then tested, and between two tests it looks at signs of life.
 * So a rank that goes in the middle of an exchange is noticed and named, a process that waits takes next to no time of a core, and the
 * thread can be ended. All ranks compare where they are before each large exchange, and while a small one is under way.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { loadKoffi } from '../ffi/koffi.js'
import { bindMpi, loadMpi, type Mpi, type MpiRequest } from '../ffi/mpi/library.js'
import { measureLink } from './measure.js'
import { Parts, sharedWords, toAll } from './parts.js'
import { type Attachment, type CommStart, type FromComm, secondNow, type ToComm } from './protocol.js'
import {
  bytesOf,
  comingBytesOf,
  comingPlacesOf,
  Exchange,
  exchangeWords,
  Operation,
  placesOf,
  receivedOf,
  smallerFault,
  waitsOf,
} from './words.js'

/** Tests of a request before the thread sleeps between them: half a millisecond, longer than a small exchange takes. */
const SPIN_TESTS = 500
/** Sleep between two tests where data are on their way, and time in which it is that where others are waited for: most are late by less. */
const DATA_SLEEP_MS = 0.05
const BRISK_MS = 20
/** Most time between two signs of life. */
const MOST_BEAT_MS = 500
/** Longest sleep between two looks at messages. */
const SLEEP_MS = 1
/** Bytes of all ranks in one call. */
const CALL_BYTES = 2 ** 26
const MIN_PART_BYTES = 2 ** 20
/** Largest part with which an exchange begins before all have met: it is under way while they do. */
const EARLY_BYTES = 2 ** 20
/** Tags of messages: kind and length, then the text; and a part of an exchange. */
const HEAD = 1
const BODY = 2
const PART = 3
const Kind = { beat: 0, text: 1, error: 2 } as const
/** Numbers that ranks compare before an exchange: see `#meet` and `#compare`. */
const Head = { count: 0, key: 1, fault: 2, stop: 3, waited: 4, operation: 5, received: 6, WORDS: 8 } as const

class Failure extends Error {
  readonly rank: number | null

  constructor(rank: number | null, message: string) {
    super(message)
    this.rank = rank
  }
}

const port = parentPort!
const post = (message: FromComm): void => port.postMessage(message)

class Communication {
  readonly #mpi: Mpi
  readonly #rank: number
  readonly #size: number
  #deadlineMs: number
  /** Ranks that this one talks to: of rank 0 all others, of others rank 0. */
  readonly #peers: readonly number[]
  /** When each of them was last heard of. */
  readonly #heard: Float64Array
  readonly #entered: Int32Array
  #beatAt = 0
  #lookedAt = performance.now()
  #sends: { readonly request: MpiRequest; readonly bytes: Uint8Array }[] = []
  #words: Int32Array = new Int32Array(new SharedArrayBuffer(4 * exchangeWords(1)))
  #attached: (Attachment & { readonly bytes: Uint8Array; readonly all: Int32Array }) | undefined
  #exchanges = 0
  /** Words of 4 bytes that came from others. */
  #received = 0
  readonly #heads: Int32Array
  readonly #headBytes: Int32Array
  readonly #headPlaces: Int32Array
  readonly #parts: Parts
  readonly #coming: Parts

  constructor(mpi: Mpi, rank: number, size: number, { deadlineMs, entered }: CommStart) {
    this.#mpi = mpi
    this.#entered = new Int32Array(entered)
    this.#rank = rank
    this.#size = size
    this.#deadlineMs = deadlineMs
    this.#peers = rank === 0 ? Array.from({ length: size - 1 }, (_, i) => i + 1) : [0]
    this.#heard = new Float64Array(size).fill(performance.now())
    this.#heads = sharedWords(size * Head.WORDS)
    this.#headBytes = sharedWords(size).fill(4 * Head.WORDS)
    this.#headPlaces = sharedWords(size)
    for (let of = 0; of < size; of++) this.#headPlaces[of] = 4 * Head.WORDS * of
    this.#parts = new Parts(size)
    this.#coming = new Parts(size)
  }

  serve(): void {
    for (;;) {
      const turn = Atomics.load(this.#words, Exchange.wake)
      if (this.#takeOrders()) return
      this.#exchangeIfAsked()
      this.#look()
      Atomics.wait(this.#words, Exchange.wake, turn, SLEEP_MS)
    }
  }

  /** The run has failed: whoever waits for an exchange leaves, and the main thread decides what follows. */
  fail(error: Failure): void {
    Atomics.store(this.#words, Exchange.failed, 1)
    for (const word of [Exchange.failed, Exchange.done]) Atomics.notify(this.#words, word)
    post({ kind: 'failed', rank: error.rank, cause: error.message })
  }

  /** Takes the messages of the main thread. True: MPI has ended. */
  #takeOrders(): boolean {
    for (;;) {
      const order = receiveMessageOnPort(port)?.message as ToComm | undefined
      if (order === undefined) return false
      if (order.kind === 'attach') this.#attach(order.to)
      else if (order.kind === 'timeout') this.#deadlineMs = order.ms
      else if (order.kind === 'send') this.#sendText(order.to, order.text, order.isError === true)
      else if (order.kind === 'broadcast') this.#broadcast(order)
      else if (order.kind === 'measure') {
        post({ kind: 'measured', ...measureLink(this.#mpi, this.#rank, this.#size, (...of) => this.#wait(...of)) })
      } else {
        this.#finish()
        return true
      }
    }
  }

  #attach(to: Attachment): void {
    const { buffer } = to.memory
    this.#words = new Int32Array(buffer, to.words.byteOffset, exchangeWords(this.#size))
    this.#attached = {
      ...to,
      bytes: new Uint8Array(buffer, to.buffer.byteOffset, to.buffer.bytes),
      all: new Int32Array(buffer),
    }
    this.#exchanges = Atomics.load(this.#words, Exchange.done)
    post({ kind: 'attached' })
  }

  #exchangeIfAsked(): void {
    const words = this.#words
    if (Atomics.load(words, Exchange.requested) === this.#exchanges) return
    const meeting = this.#meet()
    const isSmall = words[Exchange.largest] <= EARLY_BYTES
    const early = isSmall && words[Exchange.largest] > 0 ? this.#beginPart(0, EARLY_BYTES) : null
    const fault = this.#compare(meeting)
    if (early) this.#wait(early, DATA_SLEEP_MS)
    // Nothing that was computed beside a fault is looked at.
    if (fault === 0) this.#exchangeParts(isSmall)
    this.#exchanges++
    Atomics.store(words, Exchange.faultOfAll, fault)
    Atomics.store(words, Exchange.done, this.#exchanges)
    Atomics.notify(words, Exchange.done)
  }

  /** Begins to tell the others where this rank is. */
  #meet(): MpiRequest {
    const { all, stop } = this.#attached!
    const [words, heads] = [this.#words, this.#heads]
    const own = this.#rank * Head.WORDS
    heads[own + Head.count] = this.#exchanges
    heads[own + Head.key] = words[Exchange.key]
    heads[own + Head.operation] = words[Exchange.operation]
    heads[own + Head.fault] = words[Exchange.ownFault]
    heads[own + Head.stop] = Atomics.load(all, stop / 4)
    heads[own + Head.waited] = Atomics.load(words, Exchange.waited)
    heads[own + Head.received] = this.#received
    return this.#mpi.allgatherv(new Uint8Array(heads.buffer), this.#headBytes, this.#headPlaces)
  }

  /** Meets the others, sees that all are at the same place of the same program, and returns the smallest fault of all. */
  #compare(meeting: MpiRequest): number {
    const { all, agreedStop } = this.#attached!
    const [words, heads, own] = [this.#words, this.#heads, this.#rank * Head.WORDS]
    this.#wait(meeting, SLEEP_MS)
    let [fault, stopped] = [0, 0]
    const waits = waitsOf(words, this.#size)
    const received = receivedOf(words, this.#size)
    for (let rank = 0; rank < this.#size; rank++) {
      const at = rank * Head.WORDS
      for (const word of [Head.count, Head.key, Head.operation]) {
        if (heads[at + word] !== heads[own + word]) {
          const place = (from: number) => `${heads[from + Head.count]}, stage ${heads[from + Head.key]}`
          throw new Failure(rank, `is at exchange ${place(at)}; rank ${this.#rank} is at ${place(own)}`)
        }
      }
      fault = smallerFault(fault, heads[at + Head.fault])
      stopped |= heads[at + Head.stop]
      Atomics.store(waits, rank, heads[at + Head.waited])
      Atomics.store(received, rank, heads[at + Head.received])
    }
    Atomics.store(all, agreedStop / 4, stopped)
    return fault
  }

  /** Exchanges all parts, unless they have been (`isDone`), and counts what has come. */
  #exchangeParts(isDone: boolean): void {
    const [words, size] = [this.#words, this.#size]
    const largest = words[Exchange.largest]
    const part = Math.max(MIN_PART_BYTES, Math.floor(CALL_BYTES / size))
    for (let done = isDone ? largest : 0; done < largest; done += part) {
      this.#wait(this.#beginPart(done, part), DATA_SLEEP_MS)
    }
    const operation = words[Exchange.operation]
    if (operation === Operation.gather && this.#rank !== 0) return
    const [coming] = this.#comingParts(operation)
    let received = 0
    for (let rank = 0; rank < size; rank++) if (rank !== this.#rank) received += coming[rank] / 4
    this.#received += received
  }

  /** Bytes and places of what comes from each rank. */
  #comingParts(operation: number): readonly [Int32Array, Int32Array] {
    const [words, size] = [this.#words, this.#size]
    return operation === Operation.alltoall
      ? [comingBytesOf(words, size), comingPlacesOf(words, size)]
      : [bytesOf(words, size), placesOf(words, size)]
  }

  /** Begins the exchange of `most` bytes of each part, after those that are done. */
  #beginPart(done: number, most: number): MpiRequest {
    const [words, mpi, size] = [this.#words, this.#mpi, this.#size]
    const { bytes } = this.#attached!
    const operation = words[Exchange.operation]
    const [own, ownAt] = this.#parts.take(bytesOf(words, size), placesOf(words, size), done, most)
    if (operation === Operation.broadcast) return mpi.broadcast(bytes.subarray(ownAt[0], ownAt[0] + own[0]))
    if (operation === Operation.gather) return mpi.gatherv(bytes, this.#rank, own, ownAt)
    if (operation === Operation.alltoall) {
      const coming = this.#coming.take(...this.#comingParts(operation), done, most)
      return mpi.exchange(bytes, this.#rank, [own, ownAt], coming, PART)
    }
    return mpi.exchange(bytes, this.#rank, toAll(this.#rank, own, ownAt), [own, ownAt], PART)
  }

  #broadcast({ memory, place }: Extract<ToComm, { kind: 'broadcast' }>): void {
    const bytes = new Uint8Array(memory, place.byteOffset, place.bytes)
    for (let done = 0; done < bytes.length; done += CALL_BYTES) {
      this.#wait(this.#mpi.broadcast(bytes.subarray(done, done + CALL_BYTES)), DATA_SLEEP_MS)
    }
    post({ kind: 'broadcasted' })
  }

  /** A call that may block: the main thread sees how long it does. */
  #inside(call: () => void): void {
    Atomics.store(this.#entered, 0, secondNow())
    call()
    Atomics.store(this.#entered, 0, 0)
  }

  /** Waits until a request is done, as long as all others give signs of life. */
  #wait(request: MpiRequest, sleepMs: number): void {
    const briskUntil = performance.now() + BRISK_MS
    for (let tests = 0; !this.#mpi.test(request); tests++) {
      if (tests < SPIN_TESTS) continue
      this.#look()
      this.#takeOrders()
      const ms = performance.now() < briskUntil ? DATA_SLEEP_MS : sleepMs
      Atomics.wait(this.#words, Exchange.wake, Atomics.load(this.#words, Exchange.wake), ms)
    }
  }

  /** Takes messages of other ranks, gives a sign of life, and sees who is silent. */
  #look(): void {
    for (const peer of this.#peers) while (this.#mpi.probe(peer, HEAD)) this.#take(peer)
    this.#sends = this.#sends.filter(({ request }) => !this.#mpi.test(request))
    const now = performance.now()
    if (now - this.#beatAt >= Math.min(MOST_BEAT_MS, this.#deadlineMs / 4)) {
      this.#beatAt = now
      for (const peer of this.#peers) this.#sendHead(peer, Kind.beat, 0)
    }
    // This process stood still itself: what the others sent meanwhile is still to come.
    if (now - this.#lookedAt > this.#deadlineMs / 2) this.#heard.fill(now)
    this.#lookedAt = now
    for (const peer of this.#peers) {
      if (now - this.#heard[peer] > this.#deadlineMs) {
        throw new Failure(
          peer,
          `has given no sign of life for ${this.#deadlineMs / 1000} s: its process stands still, or its host or the link to it is gone`,
        )
      }
    }
  }

  #take(from: number): void {
    this.#heard[from] = performance.now()
    const head = new Int32Array(2)
    this.#mpi.receive(new Uint8Array(head.buffer), from, HEAD)
    const [kind, length] = head
    if (kind === Kind.beat) return
    const body = new Uint8Array(length)
    this.#inside(() => this.#mpi.receive(body, from, BODY))
    const text = new TextDecoder().decode(body)
    if (kind === Kind.error) throw new Failure(from, text)
    post({ kind: 'message', from, text })
  }

  #sendText(to: number, text: string, isError: boolean): void {
    const body = new TextEncoder().encode(text)
    this.#sendHead(to, isError ? Kind.error : Kind.text, body.length)
    this.#send(to, body, BODY)
  }

  #sendHead(to: number, kind: number, length: number): void {
    const head = sharedWords(2)
    head.set([kind, length])
    this.#send(to, new Uint8Array(head.buffer), HEAD)
  }

  #send(to: number, data: Uint8Array, tag: number): void {
    const bytes = new Uint8Array(new SharedArrayBuffer(Math.max(1, data.length))).subarray(0, data.length)
    bytes.set(data)
    this.#sends.push({ request: this.#mpi.isend(bytes, to, tag), bytes })
  }

  /**
   * All ranks meet once more, take what is still on its way to them, and end MPI. All is done when they have met: should MPI_Finalize not
   * return (MPICH over UCX and TCP), the main thread ends the process.
   */
  #finish(): void {
    this.#wait(this.#mpi.barrier(), SLEEP_MS)
    while (this.#sends.length > 0) this.#look()
    this.#wait(this.#mpi.barrier(), SLEEP_MS)
    for (const peer of this.#peers) while (this.#mpi.probe(peer, HEAD)) this.#take(peer)
    post({ kind: 'finished' })
    this.#mpi.finalize()
  }
}

async function main(start: CommStart): Promise<void> {
  let communication: Communication
  try {
    const found = loadMpi(await loadKoffi(), start.family)
    const mpi = bindMpi(start.family, found)
    Atomics.store(new Int32Array(start.entered), 0, secondNow())
    const { rank, size } = mpi.init()
    Atomics.store(new Int32Array(start.entered), 0, 0)
    post({ kind: 'joined', rank, size, library: found.name, version: mpi.version })
    if (start.size !== null && size !== start.size) {
      mpi.finalize()
      return
    }
    communication = new Communication(mpi, rank, size, start)
  } catch (error) {
    post({ kind: 'failed', rank: null, cause: (error as Error).message, isSetup: true })
    return
  }
  try {
    communication.serve()
  } catch (error) {
    communication.fail(error instanceof Failure ? error : new Failure(null, (error as Error).message))
    // The main thread ends the process; nothing else is left to do here, and no call of MPI is safe.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  }
}

await main(workerData as CommStart)
