/** Decompression of Snappy, by assembly/snappy.ts. Any thread. */
import { NotPlain } from './not-plain.js'
import { Rooms, ScanMemory } from './scan-module.js'

export class Snappy {
  #memory: ScanMemory | null = null
  /** Places of the compressed and the other bytes, and the room for each. */
  #from = 0
  #to = 0
  #room = 0

  /** Decompresses what follows the length into `size` bytes, which are valid until the next call. Throws NotPlain for damaged data. */
  unpack(packed: Uint8Array, size: number): Uint8Array {
    const { call, bytes } = this.#memoryOf(Math.max(packed.length, size))
    bytes.set(packed, this.#from)
    if (call.unsnap(this.#from, this.#from + packed.length, this.#to, size) === 0) throw new NotPlain()
    return bytes.subarray(this.#to, this.#to + size)
  }

  #memoryOf(bytes: number): ScanMemory {
    if (this.#memory !== null && bytes <= this.#room) return this.#memory
    this.#room = Math.max(bytes, 2 * this.#room, LEAST_BYTES)
    const rooms = new Rooms()
    this.#from = rooms.take(this.#room)
    this.#to = rooms.take(this.#room)
    this.#memory = new ScanMemory(rooms)
    return this.#memory
  }
}

const LEAST_BYTES = 2 ** 16
