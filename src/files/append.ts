/** A file that grows during a run: data are appended in order, one write at a time; the writer of an event never waits. Main thread. */
import { type FileHandle, open } from 'node:fs/promises'

export class AppendLog {
  #pending: Uint8Array[] = []
  #writing: Promise<void> | undefined
  #lost = 0
  #closing: Promise<void> | undefined

  private constructor(
    readonly file: string,
    private handle: FileHandle,
    private readonly what: string,
    private readonly onWarning: (message: string) => void,
  ) {}

  /** Opens the file. A failed write loses its data, not the run: `onWarning` hears of the first one, and at the end how many. */
  static async open(file: string, what: string, onWarning: (message: string) => void): Promise<AppendLog> {
    return new AppendLog(file, await open(file, 'a'), what, onWarning)
  }

  append(piece: Uint8Array): void {
    if (this.#closing) throw new Error(`${this.file}: append after close: ${piece.length} bytes`)
    this.#pending.push(piece)
    this.#writing ??= this.#drain()
  }

  /** Everything appended so far is on its way to the disk when this resolves. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing
  }

  /** Reopens the file after another one has replaced it. Nothing may be appended meanwhile. */
  async reopen(): Promise<void> {
    await this.handle.close()
    this.handle = await open(this.file, 'a')
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish()
    return this.#closing
  }

  async #finish(): Promise<void> {
    await this.flush()
    await this.handle.close().catch(error => this.#lose(0, error))
    if (this.#lost > 0) this.onWarning(`${this.file}: ${this.#lost} events are missing`)
  }

  /** Writes what is pending, in batches, until nothing is. Never rejects. */
  async #drain(): Promise<void> {
    await undefined // what is appended in the same turn goes out in one write
    while (this.#pending.length > 0) {
      const pieces = this.#pending
      this.#pending = []
      await this.handle.appendFile(Buffer.concat(pieces)).catch(error => this.#lose(pieces.length, error))
    }
    this.#writing = undefined
  }

  #lose(pieces: number, error: unknown): void {
    if (this.#lost === 0) this.onWarning(`${this.file}: ${this.what} cannot be written: ${(error as Error).message}`)
    this.#lost += pieces
  }
}
