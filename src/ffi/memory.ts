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

/** Bytes of a huge page of x64, and of arm64 with pages of 4 KiB. */
export const HUGE_PAGE_BYTES = 2 ** 21

/** Byte of a huge page where this memory begins. */
export const hugeOffset = async (memory: WebAssembly.Memory): Promise<number> =>
  (await addressOf(memory)) % HUGE_PAGE_BYTES

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

/** As `releasePages`, the whole pages of some ranges of bytes. */
export const releaseRanges = (memory: ArrayBufferLike, ranges: readonly ByteRange[]): Promise<boolean> =>
  advise(memory, MADV_DONTNEED, ranges)

/**
 * Has Linux (6.1 and later) put the whole huge pages of a range into such, which asking for them does not for files in memory, if the system does
 * not say so: products miss addresses without them, and a step takes 8 to 15 % longer (measured). False if that is not possible; never throws.
 */
export async function collapsePages(memory: ArrayBufferLike, range: ByteRange): Promise<boolean> {
  const bytes = new Uint8Array(memory)
  // A huge page of which nothing was ever read is refused.
  for (let at = range.from; at < range.to; at += HUGE_PAGE_BYTES) Atomics.load(bytes, at)
  // Another process may be at the same pages.
  for (let turn = 0; turn < COLLAPSE_TURNS; turn++) if (await advise(memory, MADV_COLLAPSE, [range])) return true
  return false
}

const COLLAPSE_TURNS = 3

/**
 * Has glibc take blocks of 128 KiB and more from the system one by one, so that their pages go back when they are freed. It begins like
 * that, but at the first such block that is freed it puts the limit up, to 32 MiB in the end; blocks below it are cut out of heaps, which
 * keep their pages. False where that is not possible; never throws.
 */
export async function mapLargeBlocks(): Promise<boolean> {
  if (process.platform !== 'linux') return false
  try {
    const koffi = await loadKoffi()
    const mallopt = koffi.load(null).func('int mallopt(int parameter, int value)') as unknown as Mallopt
    return mallopt(M_MMAP_THRESHOLD, 2 ** 17) === 1
  } catch {
    return false // another C library, or no koffi
  }
}

type Mallopt = (parameter: number, value: number) => number

const M_MMAP_THRESHOLD = -3

export interface ByteRange {
  readonly from: number
  readonly to: number
}

async function advise(
  memory: ArrayBufferLike,
  advice: number,
  ranges: readonly ByteRange[] = [{ from: 0, to: memory.byteLength }],
): Promise<boolean> {
  if (process.platform !== 'linux') return false
  try {
    const koffi = await loadKoffi()
    madvise ??= koffi.load(null).func('int madvise(uintptr_t address, size_t bytes, int advice)') as unknown as Advise
    const address = Number(koffi.address(new Uint8Array(memory)))
    let isDone = ranges.length > 0
    for (const range of ranges) {
      const from = Math.ceil((address + range.from) / PAGE_BYTES) * PAGE_BYTES
      const to = Math.floor((address + range.to) / PAGE_BYTES) * PAGE_BYTES
      isDone = to > from && madvise(from, to - from, advice) === 0 && isDone
    }
    return isDone
  } catch {
    return false // only slower
  }
}

type Advise = (address: number, bytes: number, advice: number) => number
let madvise: Advise | undefined

export const PAGE_BYTES = 4096
const MADV_DONTNEED = 4
const MADV_HUGEPAGE = 14
const MADV_COLLAPSE = 25
