/**
 * `data fetch`: downloads the four files of a known set into a folder. Correct files are kept. A download goes
 * to a temporary name of its own, is checked, synced and renamed, so two fetches at once each place a whole file.
 * Main thread; writes only to the folder it is given.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError, GradloomError } from '../errors.js'
import { syncDirectory } from '../files/atomic.js'
import { contentInfo, digestContent, fileError } from './content.js'
import { type DownloadProgress, type DownloadTrouble, download } from './download.js'
import { BASE_NAMES, type KnownDataset, type KnownFile, ROLES, type Role } from './known.js'
import { findFile } from './places.js'

export type FetchEvent =
  | ({ readonly type: 'progress'; readonly file: string } & DownloadProgress)
  | ({ readonly type: 'trouble'; readonly file: string } & DownloadTrouble)
  /** An existing file of that name was wrong; it was kept as `keptAs`. */
  | { readonly type: 'replaced'; readonly file: string; readonly reason: string; readonly keptAs: string }
  | ({ readonly type: 'file' } & FetchedFile)

export interface FetchedFile {
  readonly file: string
  readonly path: string
  readonly status: 'present' | 'downloaded'
  /** URL that it was fetched from; null if it was already there. */
  readonly url: string | null
}

export interface FetchOptions {
  /** The folder to fill. */
  readonly to: string
  /** URL to use instead of the public mirrors: the folder with the four files, or the folder that has it under the set's name. */
  readonly baseUrl?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: FetchEvent) => void) | undefined
  readonly stallMs?: number
  readonly attempts?: number
  readonly retryDelayMs?: number
}

const STALL_MS = 30_000
const ATTEMPTS = 4
const RETRY_DELAY_MS = 500

interface Settings {
  readonly dataset: string
  readonly to: string
  readonly bases: readonly string[]
  readonly signal: AbortSignal
  readonly onEvent: (event: FetchEvent) => void
  readonly stallMs: number
  readonly attempts: number
  readonly retryDelayMs: number
}

export async function fetchDataset(dataset: KnownDataset, options: FetchOptions): Promise<FetchedFile[]> {
  const settings: Settings = {
    to: options.to,
    dataset: dataset.name,
    bases: options.baseUrl === undefined ? dataset.mirrors : basesOf(options.baseUrl, dataset.name),
    signal: options.signal ?? new AbortController().signal,
    onEvent: options.onEvent ?? (() => undefined),
    stallMs: options.stallMs ?? STALL_MS,
    attempts: options.attempts ?? ATTEMPTS,
    retryDelayMs: options.retryDelayMs ?? RETRY_DELAY_MS,
  }
  try {
    await mkdir(settings.to, { recursive: true })
    const fetched: FetchedFile[] = []
    for (const role of ROLES) {
      settings.signal.throwIfAborted()
      const result = await fetchFile(role, dataset.files[role], settings)
      settings.onEvent({ type: 'file', ...result })
      fetched.push(result)
    }
    return fetched
  } catch (error) {
    const fromDisk = (error as NodeJS.ErrnoException).syscall !== undefined
    throw fromDisk ? fileError(settings.to, 'cannot be used as a data folder', error) : error
  }
}

function basesOf(baseUrl: string, name: string): string[] {
  const usable = URL.canParse(baseUrl) && /^https?:$/.test(new URL(baseUrl).protocol)
  if (!usable) throw new DataError(`base URL is '${baseUrl}', expected http://... or https://...`)
  const base = baseUrl.endsWith('/') ? baseUrl : `${baseUrl}/`
  return [base, `${base}${name}/`]
}

async function fetchFile(role: Role, known: KnownFile, settings: Settings): Promise<FetchedFile> {
  const file = BASE_NAMES[role]
  const { to, onEvent } = settings
  const before = await findFile(to, role)
  const damage = before === null ? null : await wrongWith(before, known)
  if (before !== null && damage === null) return { file, path: before, status: 'present', url: null }

  const partial = await adoptPartial(to, file, 2 * settings.stallMs)
  let url: string
  try {
    const result = await download({
      ...settings,
      urls: settings.bases.map(base => `${base}${file}.gz`),
      partial,
      maxBytes: known.bytes + Math.ceil(known.bytes / 100) + 65_536, // no compressor makes it larger
      check: () => wrongWith(partial, known),
      onProgress: progress => onEvent({ type: 'progress', file, ...progress }),
      onTrouble: trouble => onEvent({ type: 'trouble', file, ...trouble }),
    })
    if ('failures' in result) throw gaveUp(file, result.failures, settings)
    url = result.url
  } catch (error) {
    await releasePartial(to, file, partial)
    throw error
  }
  const path = join(to, (await contentInfo(partial)).gzipped ? `${file}.gz` : file)
  if (before !== null && damage !== null) {
    const keptAs = `${before}.replaced`
    await rename(before, keptAs)
    onEvent({ type: 'replaced', file, reason: damage, keptAs })
  }
  await rename(partial, path)
  await syncDirectory(to)
  return { file, path, status: 'downloaded', url }
}

function gaveUp(file: string, failures: readonly string[], { to, dataset }: Settings): DataError {
  const list = failures.map(failure => `\n  ${failure}`).join('')
  return new DataError(`${file}.gz could not be fetched, expected it from one of ${failures.length} places:${list}`, {
    hint:
      `npx gradloom data fetch ${dataset} --to ${to} continues where it stopped; --base-url URL or GRADLOOM_MIRROR ` +
      'selects another server; if you have the files already: --set data.path=FOLDER',
  })
}

/** Problem with a file's content, or null. Never reads much more than the content should be. */
async function wrongWith(file: string, known: KnownFile): Promise<string | null> {
  try {
    const { bytes, md5 } = await digestContent(file, known.bytes)
    if (bytes === known.bytes && md5 === known.md5) return null
    return `content is ${bytes} bytes with MD5 ${md5}, expected ${known.bytes} with ${known.md5}`
  } catch (error) {
    if (error instanceof GradloomError) return error.message.replace(`${file}: `, '')
    throw error
  }
}

/*
 * Partial files. Each fetch writes to a name of its own, `.<file>.<random>.part`. One that ends in good order leaves
 * its partial as `.<file>.part`. A later fetch takes either over by renaming it, which only one can: the first kind
 * only after it has been idle so long that its owner, had it lived, would have given up.
 */

/** Path of this fetch's own partial file, which may begin with what an earlier fetch left. */
async function adoptPartial(dir: string, file: string, idleMs: number): Promise<string> {
  const own = join(dir, `.${file}.${randomBytes(6).toString('hex')}.part`)
  const leftovers = (await readdir(dir)).filter(name => name.startsWith(`.${file}.`) && name.endsWith('.part'))
  for (const name of leftovers) {
    const leftover = join(dir, name)
    try {
      const { mtimeMs } = await stat(leftover)
      if (name !== `.${file}.part` && Date.now() - mtimeMs < idleMs) continue
      await rename(leftover, own)
      return own
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error // else another fetch was faster
    }
  }
  return own
}

/** Keeps the partial file for a later fetch. Runs while another error is being thrown, which must not be replaced. */
async function releasePartial(dir: string, file: string, own: string): Promise<void> {
  try {
    if ((await stat(own)).size > 0) await rename(own, join(dir, `.${file}.part`))
    else await rm(own)
  } catch {
    // The file is missing, or the disk has failed already.
  }
}
