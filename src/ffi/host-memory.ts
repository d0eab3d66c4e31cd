/**
 * Memory that processes of one host have together: a file without a name (`memfd_create`, Linux), which others open through /proc, and which
 * each maps over pages of its arena. It is gone when the last of them has ended, however it ends. Main thread.
 */
import { closeSync, fstatSync, openSync, readFileSync, readlinkSync, writeSync } from 'node:fs'
import { RunError } from '../errors.js'
import { formatBytes } from '../format.js'
import { loadKoffi } from './koffi.js'
import { addressOf, collapsePages } from './memory.js'

/** Facts with which another process opens the file. */
export interface OfferedMemory {
  /** Host and namespaces: a number of a process means something within them alone, and hosts of a test differ by them. */
  readonly host: string
  readonly pid: number
  readonly fd: number
  /** Identity of the file. */
  readonly dev: number
  readonly ino: number
}

/** Makes a file in memory; null where the system has none. Never throws. */
export async function createHostMemory(): Promise<{ readonly fd: number; readonly offer: OfferedMemory } | null> {
  if (process.platform !== 'linux') return null
  try {
    const koffi = await loadKoffi()
    const create = koffi.load(null).func('int memfd_create(const char *name, unsigned int flags)')
    const host = hostIdentity()
    const fd = (create as unknown as (name: string, flags: number) => number)('gradloom', MFD_CLOEXEC)
    if (fd < 0) return null
    const { dev, ino } = fstatSync(fd)
    return { fd, offer: { host, pid: process.pid, fd, dev, ino } }
  } catch {
    return null // another C library, no koffi, or no /proc
  }
}

/** Opens the file of another process; null if that is not on this host, or not to be reached. Never throws. */
export function openHostMemory({ host, pid, fd: theirs, dev, ino }: OfferedMemory): number | null {
  if (process.platform !== 'linux') return null
  try {
    if (hostIdentity() !== host) return null
    const fd = openSync(`/proc/${pid}/fd/${theirs}`, 'r+')
    const found = fstatSync(fd)
    if (found.dev === dev && found.ino === ino) return fd
    closeSync(fd)
  } catch {
    // Another user's process, or one that cannot be seen from here.
  }
  return null
}

const hostIdentity = (): string =>
  [
    readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
    readlinkSync('/proc/self/ns/net'),
    readlinkSync('/proc/self/ns/pid'),
  ].join(' ')

/**
 * Maps the file over a range of the arena, in whole pages; what was there is gone. Closes the file. Throws RunError where the system refuses it.
 * While it runs nobody may use the range.
 */
export async function mapHostMemory(
  memory: WebAssembly.Memory,
  { byteOffset, bytes }: { readonly byteOffset: number; readonly bytes: number },
  fd: number,
): Promise<void> {
  const koffi = await loadKoffi()
  const mmap = koffi
    .load(null)
    .func('intptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int file, int64_t offset)')
  const address = (await addressOf(memory)) + byteOffset
  try {
    // All write the same last byte, which makes the file large enough and never smaller.
    writeSync(fd, new Uint8Array(1), 0, 1, bytes - 1)
    const at = (mmap as unknown as Mmap)(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0)
    if (Number(at) !== address) throw new Error('mmap has failed')
  } catch (cause) {
    throw new RunError(
      `memory: the system refuses ${formatBytes(bytes)} that the ranks of this host would share (${(cause as Error).message}); ` +
        'GRADLOOM_HOST_MEMORY=0 in the environment of rank 0 has them send everything',
      { cause },
    )
  } finally {
    closeSync(fd)
  }
  if (bytes >= MIN_HUGE_BYTES) await collapsePages(memory.buffer, { from: byteOffset, to: byteOffset + bytes })
}

/** Less is not worth huge pages. */
const MIN_HUGE_BYTES = 2 ** 25

type Mmap = (
  address: number,
  bytes: number,
  protection: number,
  flags: number,
  file: number,
  offset: number,
) => number | bigint

const MFD_CLOEXEC = 1
const [PROT_READ, PROT_WRITE] = [1, 2]
const [MAP_SHARED, MAP_FIXED] = [0x01, 0x10]
