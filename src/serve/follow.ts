/**
 * Follows a run's `metrics.jsonl` as it grows: whole lines from a position on. The reader keeps the position, so that a browser
 * that lost its connection continues where it was, also with another server. Server's thread; reads only.
 */
import { constants, type FileHandle, open } from 'node:fs/promises'
import { FILES } from '../run/manifest.js'
import { fileOf } from './registry.js'

/** Position of a reader. A resumed run replaces the file by a truncated copy with another inode. */
export interface Place {
  readonly inode: number
  readonly offset: number
}

export interface Read {
  /** JSON texts, one per event. */
  readonly lines: readonly string[]
  readonly place: Place | null
  /** True where the file was replaced or is shorter; lines then start at its beginning. */
  readonly restarted: boolean
}

/** Bytes per read, so that memory does not grow with the file; no event is nearly as long. */
const CHUNK_BYTES = 256 * 1024
const NEWLINE = 0x0a

export async function readMetrics(dir: string, place: Place | null): Promise<Read> {
  const handle = await openMetrics(dir)
  if (handle === null) return { lines: [], place: null, restarted: place !== null }
  try {
    const { ino: inode, size } = await handle.stat()
    const same = place !== null && place.inode === inode && place.offset <= size && (await afterLine(handle, place))
    const from = same ? place.offset : 0
    const buffer = Buffer.alloc(Math.min(CHUNK_BYTES, size - from))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from)
    const bytes = buffer.subarray(0, bytesRead)
    const end = bytes.lastIndexOf(NEWLINE) + 1 // what is after it is still being written
    // A line that fills the chunk was not written by a run; it is skipped.
    const taken = end === 0 && bytesRead === CHUNK_BYTES ? bytesRead : end
    const lines = bytes.toString('utf8', 0, end).split('\n').filter(isEvent)
    return { lines, place: { inode, offset: from + taken }, restarted: place !== null && !same }
  } finally {
    await handle.close()
  }
}

async function openMetrics(dir: string): Promise<FileHandle | null> {
  try {
    return await open(await fileOf(dir, FILES.metrics), constants.O_RDONLY)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

async function afterLine(handle: FileHandle, { offset }: Place): Promise<boolean> {
  if (offset === 0) return true
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, offset - 1)
  return buffer[0] === NEWLINE
}

/** Parses a line; a damaged one, as after a power failure, is skipped. */
function isEvent(line: string): boolean {
  if (line === '') return false
  try {
    const event: unknown = JSON.parse(line)
    return typeof event === 'object' && event !== null
  } catch {
    return false
  }
}
