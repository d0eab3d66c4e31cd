/**
 * Downloads a file from one of several URLs, appended to a partial file until its content is right. Continues after a
 * broken connection if the server honours Range, and starts again if not. Main thread; writes only the partial file.
 */
import { type FileHandle, open, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { DataError } from '../errors.js'
import { fileError } from './content.js'

export interface DownloadOptions {
  /** URLs, tried in this order. */
  readonly urls: readonly string[]
  /** The partial file; what it already holds is kept if it proves right. Afterwards it is whole. */
  readonly partial: string
  /** Limit of the length; a longer answer is refused. */
  readonly maxBytes: number
  /** Checks the complete file; returns the problem, or null. */
  readonly check: () => Promise<string | null>
  /** Longest wait for the next bytes. */
  readonly stallMs: number
  /** Failures in a row without a byte of progress before the next URL is tried. */
  readonly attempts: number
  /** Wait before the second attempt; doubles each time. */
  readonly retryDelayMs: number
  readonly signal: AbortSignal
  readonly onProgress: (progress: DownloadProgress) => void
  readonly onTrouble: (trouble: DownloadTrouble) => void
}

export interface DownloadProgress {
  readonly url: string
  readonly bytes: number
  /** null if the server does not report it. */
  readonly totalBytes: number | null
}

export interface DownloadTrouble {
  readonly url: string
  readonly reason: string
  /** Reaction to the failure. */
  readonly next: 'retry' | 'restart' | 'next mirror' | 'give up'
}

export type DownloadResult = { readonly url: string } | { readonly failures: readonly string[] }

/** Failure of a transfer. `permanent`: asking this server again is no use. */
class TransferError extends Error {
  constructor(
    message: string,
    readonly permanent: boolean,
  ) {
    super(message)
  }
}

/** Resolves to the URL that completed the file, or to one failure per URL. Rejects on an abort or a full disk. */
export async function download(options: DownloadOptions): Promise<DownloadResult> {
  const failures: string[] = []
  for (const url of options.urls) {
    const last = url === options.urls.at(-1)
    const failure = await fromOneUrl(url, last ? 'give up' : 'next mirror', options)
    if (failure === null) return { url }
    failures.push(`${url}: ${failure}`)
  }
  return { failures }
}

/** Downloads from one URL. Returns null, or the reason why this URL was given up. */
async function fromOneUrl(
  url: string,
  whenGivenUp: 'next mirror' | 'give up',
  options: DownloadOptions,
): Promise<string | null> {
  const { partial, attempts, retryDelayMs, signal, onTrouble } = options
  let most = await sizeOf(partial)
  let restarted = false
  for (let failed = 0; ; ) {
    const had = await sizeOf(partial)
    let reason: string
    let permanent = false
    try {
      await transfer(url, had, options)
      const wrong = await options.check()
      if (wrong === null) return null
      await truncate(partial)
      most = 0
      if (had > 0 && !restarted) {
        restarted = true
        // The beginning may be another mirror's, or damaged: only a whole download proves this one wrong.
        onTrouble({ url, reason: wrong, next: 'restart' })
        continue
      }
      reason = wrong
      permanent = true
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof TransferError)) throw error
      reason = error.message
      permanent = error.permanent
    }
    const size = await sizeOf(partial)
    failed = size > most ? 0 : failed + 1
    most = Math.max(most, size)
    if (permanent || failed >= attempts) {
      onTrouble({ url, reason, next: whenGivenUp })
      return reason
    }
    onTrouble({ url, reason, next: 'retry' })
    await sleep(retryDelayMs * 2 ** Math.max(0, failed - 1), undefined, { signal })
  }
}

/** One request; appends its body to the partial file, or overwrites it if the server starts from the beginning. */
async function transfer(url: string, had: number, options: DownloadOptions): Promise<void> {
  const { partial } = options
  const patience = new Patience(options.stallMs, options.signal)
  try {
    const response = await patience.wait(
      fetch(url, {
        headers: { 'accept-encoding': 'identity', ...(had > 0 && { range: `bytes=${had}-` }) },
        signal: patience.signal,
      }),
    )
    const reader = response.body?.getReader()
    try {
      if (response.status === 416 && had > 0) return // nothing after what we have: the file may be complete
      const start = startOf(response, had)
      const file = await onDisk(partial, () => open(partial, start === 0 ? 'w' : 'a'))
      try {
        const length = lengthOf(response)
        const read = reader ? () => patience.wait(reader.read()) : async () => ({ done: true }) as const
        await appendBody(read, file, { url, start, totalBytes: length === null ? null : start + length }, options)
        await onDisk(partial, () => file.sync())
      } finally {
        await file.close()
      }
    } finally {
      // Frees the connection in any case; not awaited, because it may wait for the server.
      reader?.cancel().catch(() => undefined)
    }
  } catch (error) {
    if (error instanceof TransferError || error instanceof DataError) throw error
    throw new TransferError(networkReason(error), false)
  } finally {
    patience.end()
  }
}

/**
 * Waits for a server, each time for `stallMs` at most, and until `signal` aborts. Every wait ends, whatever the request does: in Node 20
 * an abort does not reach the body of a `fetch` whose controller has been collected as garbage, and the read then waits for ever.
 */
class Patience {
  readonly #request = new AbortController()
  readonly #stop: AbortSignal
  readonly #stallMs: number

  constructor(stallMs: number, stop: AbortSignal) {
    this.#stallMs = stallMs
    this.#stop = stop
  }

  /** Signal for the request. */
  get signal(): AbortSignal {
    return this.#request.signal
  }

  async wait<T>(answer: Promise<T>): Promise<T> {
    let end = () => {}
    const interrupted = new Promise<never>((_, reject) => {
      const stop = () => reject(this.#stop.reason)
      const timer = setTimeout(() => reject(new Error(`no data for ${this.#stallMs / 1000} s`)), this.#stallMs)
      this.#stop.addEventListener('abort', stop)
      if (this.#stop.aborted) stop()
      end = () => {
        clearTimeout(timer)
        this.#stop.removeEventListener('abort', stop)
      }
    })
    try {
      return await Promise.race([answer, interrupted])
    } finally {
      end()
    }
  }

  end(): void {
    this.#request.abort()
  }
}

/** Offset of the body in the file. */
function startOf(response: Response, had: number): number {
  const { status } = response
  if (status === 200) return 0
  if (status === 206 && had > 0) {
    const range = response.headers.get('content-range')
    if (range?.startsWith(`bytes ${had}-`)) return had
    throw new TransferError(`Content-Range is ${inspect(range)}, expected to start at ${had}`, true)
  }
  const busy = status === 408 || status === 429 || status >= 500
  throw new TransferError(`HTTP status is ${status} ${response.statusText}, expected 200`, !busy)
}

/** Bytes that the body has by its headers; null if unknown. */
function lengthOf({ headers }: Response): number | null {
  const length = headers.get('content-length')
  // A content encoding makes the length count other bytes than those we see.
  return length === null || headers.has('content-encoding') ? null : Number(length)
}

type Read = () => Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>

async function appendBody(
  read: Read,
  file: FileHandle,
  { url, start, totalBytes }: { readonly url: string; readonly start: number; readonly totalBytes: number | null },
  options: DownloadOptions,
): Promise<void> {
  let bytes = start
  options.onProgress({ url, bytes, totalBytes })
  for (let chunk = await read(); chunk.value; chunk = await read()) {
    const { value } = chunk
    bytes += value.length
    if (bytes > options.maxBytes) {
      throw new TransferError(`sends more than ${options.maxBytes} bytes, expected fewer`, true)
    }
    await onDisk(options.partial, () => file.writeFile(value))
    options.onProgress({ url, bytes, totalBytes })
  }
  if (totalBytes !== null && bytes !== totalBytes) {
    throw new TransferError(`connection ended after ${bytes} bytes, expected ${totalBytes}`, false)
  }
}

/** Distinguishes a failing disk, which ends everything, from a failing network, which does not. */
async function onDisk<T>(file: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw fileError(file, 'cannot be written', error)
  }
}

/** Reason of a network error: fetch's message is "fetch failed" or "terminated", and the reason is in `cause`. */
function networkReason(error: unknown): string {
  if (!(error instanceof Error)) return inspect(error)
  const { cause } = error
  const detail = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : undefined
  return detail ? `${error.message} (${detail})` : error.message
}

async function truncate(file: string): Promise<void> {
  const handle = await open(file, 'w')
  await handle.close()
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw fileError(file, 'cannot be read', error)
  }
}
