/** Reads regular files alone: opening a pipe waits for its writer, in a thread that keeps the process alive. Main thread. */
import { readFile, stat } from 'node:fs/promises'

/** The whole file. Rejects with an error of the system, or for anything else than a regular file. */
export async function readRegularFile(path: string): Promise<Buffer> {
  const found = await stat(path)
  // The system says it of a folder itself.
  if (!found.isFile() && !found.isDirectory()) throw new Error('it is a pipe or a device, expected a regular file')
  return readFile(path)
}

/** False for pipes, devices and folders, and where nothing is to be found. */
export const isRegularFile = (path: string): Promise<boolean> =>
  stat(path).then(
    found => found.isFile(),
    () => false,
  )
