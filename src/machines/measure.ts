/** Time and bandwidth of the exchanges of all ranks, as they measure it together. The communication thread. */
import type { Mpi, MpiRequest } from '../ffi/mpi/library.js'
import { sharedWords, toAll } from './parts.js'
import type { MeasuredLink } from './protocol.js'

/** Small exchanges that are timed together, and bytes of one rank in them. */
const MEASURED_TIMES = 20
const SMALL_BYTES = 32
/**
 * Bytes of all ranks in a large exchange: more than the buffers of a link hold, unless it is slow, which shows where one of fewer bytes takes
 * longer than this.
 */
const MEASURED_BYTES = 2 ** 25
const TRIED_BYTES = 2 ** 22
const LARGE_TIMES = 3
const SLOW_MS = 200
/** Tag of its messages. */
const MEASURE = 4
/** Sleep between two tests of a large one. */
const SLEEP_MS = 0.05

/** Milliseconds of a small exchange, and bytes that a rank gets in one of a large exchange: the median of three. All ranks call it. */
export function measureLink(
  mpi: Mpi,
  rank: number,
  size: number,
  wait: (request: MpiRequest, sleepMs: number) => void,
): MeasuredLink {
  /** An exchange of so many bytes of each rank. */
  const exchange = (part: number) => {
    const bytes = new Uint8Array(new SharedArrayBuffer(part * size))
    const counts = sharedWords(size).fill(part)
    const places = sharedWords(size)
    for (let of = 0; of < size; of++) places[of] = part * of
    const sent = toAll(rank, counts, places)
    return { bytes, run: () => wait(mpi.exchange(bytes, rank, sent, [counts, places], MEASURE), SLEEP_MS) }
  }
  const timed = (act: () => void): number => {
    const started = performance.now()
    act()
    return performance.now() - started
  }
  const small = exchange(SMALL_BYTES)
  small.run()
  const latencyMs = timed(() => Array.from({ length: MEASURED_TIMES }, small.run)) / MEASURED_TIMES
  /** The largest of a number of each rank, in whole ones: all decide alike. */
  const mostOf = (value: number): number => {
    const words = new Int32Array(small.bytes.buffer)
    const stride = SMALL_BYTES / words.BYTES_PER_ELEMENT
    words[rank * stride] = Math.ceil(value)
    small.run()
    return Math.max(...Array.from({ length: size }, (_, of) => words[of * stride]))
  }
  let bytesPerMs = 0
  for (const total of [TRIED_BYTES, MEASURED_BYTES]) {
    const large = exchange(Math.floor(total / size))
    const times = Array.from({ length: LARGE_TIMES }, () => {
      // Ranks meet before every exchange of a step too.
      small.run()
      return timed(large.run)
    })
    const ms = times.sort((a, b) => a - b)[(LARGE_TIMES - 1) / 2]
    bytesPerMs = (large.bytes.length * (1 - 1 / size)) / Math.max(ms, 1e-3)
    if (mostOf(ms) > SLOW_MS) break
  }
  return { latencyMs, bytesPerMs }
}
