/**
 * Writes bytes to an open file one after the other. Those of a large file go past the page cache where Linux, the file system and
 * their place in memory allow it: filling fresh pages of the cache takes a core for as long as several steps of training.
 * Main thread.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/** Unit in which direct writes, their places in the file and in memory are counted: a multiple of every sector's size. */
export const DIRECT_BYTES = 4096
/** Size from which a file is worth direct writes: smaller ones are soon read again, and cost little. */
export const DIRECT_FROM_BYTES = 16 * 2 ** 20
/** Bytes of a write at most: large enough to be fast, small enough to share the disk. */
const WRITE_BYTES = 4 * 2 ** 20

export class FileStream {
  #position = 0
  /** Bytes that are still to be written: less than a unit of shared memory, which what comes next may complete. */
  #pending: Uint8Array | null = null

  private constructor(
    private readonly handle: FileHandle,
    /** A regular file has places to write at; a pipe or a device has none. */
    private readonly regular: boolean,
    private direct: FileHandle | null,
  ) {}

  /** A stream at the beginning of a file that will be of about this size. End it; the handle stays open, and is not synced. */
  static async on(handle: FileHandle, bytes: number): Promise<FileStream> {
    const regular = (await handle.stat()).isFile()
    return new FileStream(handle, regular, regular && bytes >= DIRECT_FROM_BYTES ? await openDirect(handle) : null)
  }

  /** Bytes of shared memory must stay as they are until the end of the stream; others are written before this resolves. */
  async append(bytes: Uint8Array): Promise<void> {
    const joined = this.#pending && followed(this.#pending, bytes)
    if (!joined && this.#pending) await this.#flush()
    this.#pending = joined ?? bytes
    if (this.direct && bytes.buffer instanceof SharedArrayBuffer) {
      while (this.#pending.byteLength >= DIRECT_BYTES) await this.#writeSome(this.#pending.byteLength)
    } else await this.#flush()
  }

  /** Writes what is left, and closes what the stream opened. */
  async end(): Promise<void> {
    try {
      await this.#flush()
    } finally {
      await this.direct?.close()
      this.direct = null
    }
  }

  /** Closes what the stream opened, after an error. */
  async abandon(): Promise<void> {
    this.#pending = null
    await this.end()
  }

  async #flush(): Promise<void> {
    while (this.#pending && this.#pending.byteLength > 0) await this.#writeSome(this.#pending.byteLength)
    this.#pending = null
  }

  /** Writes at least one of the pending bytes, in one call. */
  async #writeSome(pending: number): Promise<void> {
    const bytes = this.#pending!
    const most = Math.min(pending, WRITE_BYTES)
    const whole = most - (most % DIRECT_BYTES)
    // Shared memory of WebAssembly begins with a page; other buffers may not, and their bytes go the ordinary way.
    const inPlace = bytes.buffer instanceof SharedArrayBuffer && bytes.byteOffset % DIRECT_BYTES === 0
    const fits = inPlace && this.#position % DIRECT_BYTES === 0 && whole > 0
    const written = (fits && (await this.#writeDirect(bytes, whole))) || (await this.#write(bytes, most))
    this.#position += written
    this.#pending = bytes.subarray(written)
  }

  /** Number of bytes written; 0 if the file system, or the place of the bytes in memory, does not allow it. */
  async #writeDirect(bytes: Uint8Array, length: number): Promise<number> {
    if (!this.direct) return 0
    try {
      return (await this.direct.write(bytes, 0, length, this.#position)).bytesWritten
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error
      await this.direct.close()
      this.direct = null
      return 0
    }
  }

  async #write(bytes: Uint8Array, length: number): Promise<number> {
    const place = this.regular ? this.#position : null
    return (await this.handle.write(bytes, 0, length, place)).bytesWritten
  }
}

/** The bytes of both in one view, if the second begin where the first end; else null. */
function followed(first: Uint8Array, second: Uint8Array): Uint8Array | null {
  if (first.buffer !== second.buffer || first.byteOffset + first.byteLength !== second.byteOffset) return null
  return new Uint8Array(first.buffer, first.byteOffset, first.byteLength + second.byteLength)
}

/** Another handle on the same file, whose writes leave out the page cache; null where that is not possible. */
async function openDirect(handle: FileHandle): Promise<FileHandle | null> {
  if (process.platform !== 'linux') return null
  return open(`/proc/self/fd/${handle.fd}`, constants.O_WRONLY | constants.O_DIRECT).catch(() => null)
}
