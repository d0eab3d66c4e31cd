/** Refusal of content that is not plain, and reading that refuses a file which has become shorter. Any thread. */
import { readSync } from 'node:fs'

/** Content that is left to DuckDB; it may be right or wrong. */
export class NotPlain extends Error {
  override readonly name = 'NotPlain'
}

/** True for an error of the system, such as a file that is gone. */
export const isSystemError = (error: unknown): boolean => error instanceof Error && 'syscall' in error

/** True for errors after which DuckDB reads the files: it says what they lack. */
export const isLeftToDuckDB = (error: unknown): boolean => error instanceof NotPlain || isSystemError(error)

/** Fills `length` bytes from byte `from` of a file on. Throws NotPlain if the file is shorter than it was. */
export function readAll(handle: number, bytes: Uint8Array, length: number, from: number): void {
  for (let got = 0; got < length; ) {
    const count = readSync(handle, bytes, got, length - got, from + got)
    if (count === 0) throw new NotPlain()
    got += count
  }
}
