/**
 * Chooses the files of a folder of pictures to read: files of the operating system are ignored, files of other formats
 * are counted, so that they can be reported. Main thread; reads names, and the first bytes of files with unusual names.
 */
import { open, readdir, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { isRegularFile } from '../files/regular.js'
import { kindOf, SIGNATURE_BYTES } from '../picture/kinds.js'
import { fileError } from './content.js'

/** Names of formats that are read; the content decides when the file is decoded. */
const PICTURE = /\.(png|jpe?g|jpe|jfif|webp|avif|tiff?|gif)$/i
/** Names that systems and editors keep in folders: never data. Names that begin with a dot are hidden everywhere. */
const OF_THE_SYSTEM = new Set(['__macosx', '@eadir', '$recycle.bin', 'system volume information', 'thumbs.db'])
for (const name of ['ehthumbs.db', 'ehthumbs_vista.db', 'desktop.ini', 'icon\r']) OF_THE_SYSTEM.add(name)

const isHidden = (name: string): boolean => name.startsWith('.') || OF_THE_SYSTEM.has(name.toLowerCase())

/** Content of a folder, without hidden names; sorted by character codes. */
export interface FolderContent {
  readonly folders: readonly string[]
  readonly files: readonly string[]
}

export async function contentOfFolder(folder: string): Promise<FolderContent> {
  try {
    const entries = (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !isHidden(name))
    const folders = new Set<string>()
    for (const entry of entries) {
      const isFolder = entry.isSymbolicLink()
        ? await stat(join(folder, entry.name)).then(
            found => found.isDirectory(),
            () => false,
          )
        : entry.isDirectory()
      if (isFolder) folders.add(entry.name)
    }
    const names = entries.map(({ name }) => name).sort()
    return { folders: names.filter(name => folders.has(name)), files: names.filter(name => !folders.has(name)) }
  } catch (cause) {
    throw fileError(folder, 'cannot be read', cause)
  }
}

/** True if a file is read as a picture: by its name, or by its first bytes if the name is no help. */
export async function isPictureFile(file: string): Promise<boolean> {
  if (PICTURE.test(file)) return true
  const start = new Uint8Array(SIGNATURE_BYTES)
  if (!(await isRegularFile(file))) return false
  const handle = await open(file, 'r').catch(() => null)
  if (handle === null) return false
  try {
    const { bytesRead } = await handle.read(start, 0, SIGNATURE_BYTES, 0)
    return kindOf(start.subarray(0, bytesRead))?.isRead ?? false
  } catch {
    return false
  } finally {
    await handle.close()
  }
}

/** Files that are not read, counted by the ends of their names. */
export class LeftOut {
  readonly #byKind = new Map<string, { count: number; readonly first: string }>()

  add(folder: string, name: string, kind = extname(name).toLowerCase() || 'without an ending'): void {
    const known = this.#byKind.get(kind)
    if (known) known.count++
    else this.#byKind.set(kind, { count: 1, first: join(folder, name) })
  }

  /** `20 .bmp (c/001.bmp, …)`; null if nothing was ignored. */
  get text(): string | null {
    if (this.#byKind.size === 0) return null
    return [...this.#byKind]
      .map(([kind, { count, first }]) => `${count} ${kind} (${first}${count > 1 ? ', …' : ''})`)
      .join('; ')
  }
}
