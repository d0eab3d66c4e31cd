/** Shared memory and other buffers as the system and native code see them: by address. Any thread. */
import { loadKoffi } from './koffi.js'

/** Address of the memory. It is shared and of fixed size, so it never moves. */
export async function addressOf(memory: WebAssembly.Memory): Promise<number> {
  const koffi = await loadKoffi()
  const address = koffi.address(new Uint8Array(memory.buffer))
  // No system that Node.js runs on hands out more than 47 bits, or 57 on request.
  if (address > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`the arena is at ${address}, expected below 2^53`)
  return Number(address)
}

/**
 * Asks Linux for huge pages, before anything is written: large products then miss fewer addresses (5 to 8 % of a step, measured),
 * and the first write of each page costs less. False if that is not possible; never throws.
 */
export const adviseHugePages = (memory: ArrayBufferLike): Promise<boolean> => advise(memory, MADV_HUGEPAGE)

/**
 * Gives the pages of memory that nobody will read back to Linux at once; else they stay until every thread has collected garbage. False if
 * that is not possible; never throws.
 */
export const releasePages = (memory: ArrayBufferLike): Promise<boolean> => advise(memory, MADV_DONTNEED)

async function advise(memory: ArrayBufferLike, advice: number): Promise<boolean> {
  if (process.platform !== 'linux') return false
  try {
    const koffi = await loadKoffi()
    madvise ??= koffi.load(null).func('int madvise(uintptr_t address, size_t bytes, int advice)') as unknown as Advise
    const address = Number(koffi.address(new Uint8Array(memory)))
    const from = Math.ceil(address / PAGE_BYTES) * PAGE_BYTES
    const to = Math.floor((address + memory.byteLength) / PAGE_BYTES) * PAGE_BYTES
    return to > from && madvise(from, to - from, advice) === 0
  } catch {
    return false // only slower
  }
}

type Advise = (address: number, bytes: number, advice: number) => number
let madvise: Advise | undefined

const PAGE_BYTES = 4096
const MADV_DONTNEED = 4
const MADV_HUGEPAGE = 14
