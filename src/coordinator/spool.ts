/**
 * Spool: encoded training rows in a temporary file, from which windows are read in any order. The file has no name while it is
 * used, where the system allows that, so nothing is left of it however the process ends. Main thread.
 *
 * Letters: `F` features.
 */
import { randomBytes } from 'node:crypto'
import { readSync } from 'node:fs'
import { type FileHandle, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { RunError } from '../errors.js'
import { formatBytes } from '../format.js'

export class Spool {
  #rows = 0

  private constructor(
    readonly path: string,
    readonly features: number,
    readonly handle: FileHandle,
    /** True if the file still has its name. */
    readonly isNamed: boolean,
  ) {}

  /** Opens a file in `folder` for `rows` rows of F features. Throws RunError if there is no room for them. */
  static async create(folder: string, rows: number, features: number): Promise<Spool> {
    const bytes = rows * features * Float32Array.BYTES_PER_ELEMENT
    const path = join(folder, `.rows-${process.pid}-${randomBytes(4).toString('hex')}.tmp`)
    try {
      const { bavail, bsize } = await statfs(folder)
      if (bavail * bsize < bytes) {
        throw new RunError(
          `${folder}: has ${formatBytes(bavail * bsize)} free, expected ${formatBytes(bytes)} for the training rows, which do not fit into memory`,
          { hint: 'a run directory on another disk: --run-dir FOLDER' },
        )
      }
      const handle = await open(path, 'wx+', 0o600)
      const removed = await rm(path).then(
        () => true,
        () => false, // Windows: while it is open, it has a name
      )
      return new Spool(path, features, handle, !removed)
    } catch (error) {
      if (error instanceof RunError) throw error
      throw fault(path, 'created', error)
    }
  }

  /** Appends rows (N, F). */
  async append(rows: Float32Array): Promise<void> {
    const bytes = Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength)
    const at = this.#rows * this.#rowBytes
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, at + done)
        done += bytesWritten
      }
    } catch (error) {
      throw fault(this.path, 'written', error)
    }
    this.#rows += rows.length / this.features
  }

  /**
   * Overwrites `into` (N, F) with the rows from `row` on, synchronously: reading a file that was just written takes less time than a
   * message to another thread and back, which waits while the workers keep all cores busy. Throws RunError if the file has not so many.
   */
  read(row: number, into: Float32Array): void {
    const bytes = Buffer.from(into.buffer, into.byteOffset, into.byteLength)
    const at = row * this.#rowBytes
    for (let done = 0; done < bytes.length; ) {
      let bytesRead: number
      try {
        bytesRead = readSync(this.handle.fd, bytes, done, bytes.length - done, at + done)
      } catch (error) {
        throw fault(this.path, 'read', error)
      }
      if (bytesRead === 0) throw new RunError(`${this.path}: ends at row ${this.#rows}, expected row ${row}`)
      done += bytesRead
    }
  }

  async close(): Promise<void> {
    await this.handle.close()
    if (this.isNamed) await rm(this.path, { force: true })
  }

  get #rowBytes(): number {
    return this.features * Float32Array.BYTES_PER_ELEMENT
  }
}

function fault(path: string, done: string, cause: unknown): RunError {
  const reason = cause instanceof Error ? cause.message : inspect(cause)
  return new RunError(`${path}: the training rows cannot be ${done}: ${reason}`, { cause })
}
