/**
 * Files that are whole or absent: written under a temporary name, synced, renamed, directory synced. Main thread.
 */
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Calls `write` with a handle on a temporary file beside `file`, then puts it in the place of `file`. If anything
 * fails, `file` is as it was, the temporary file is gone, and the error is the first one. A device or a pipe, as
 * /dev/stdout, is written to: a rename would put a file in its place.
 */
export async function writeAtomically(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  if (await isDevice(file)) {
    const handle = await open(file, 'w')
    try {
      await write(handle)
    } finally {
      await handle.close()
    }
    return
  }
  const temporary = join(dirname(file), `.${basename(file)}.${process.pid}.tmp`)
  try {
    const handle = await open(temporary, 'w')
    try {
      await write(handle)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined) // the first error is the informative one
    throw error
  }
  await syncDirectory(dirname(file))
}

const isDevice = (file: string): Promise<boolean> =>
  stat(file).then(
    found => !found.isFile() && !found.isDirectory(),
    () => false,
  )

/** `text` as the whole content of `file`. */
export async function writeTextAtomically(file: string, text: string): Promise<void> {
  await writeAtomically(file, handle => handle.writeFile(text))
}

/** Makes a rename survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return // Windows opens no directories, and NTFS journals renames
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
