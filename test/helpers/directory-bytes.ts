/** Everything in a directory, to the byte, for tests that say that nothing was changed. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join, relative } from 'node:path'

/** By relative path: the SHA-256 of a file, the target of a link, "directory". */
export function directoryBytes(dir: string): Record<string, string> {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true })
  return Object.fromEntries(
    entries
      .map(entry => {
        const path = join(entry.parentPath, entry.name)
        const content = entry.isSymbolicLink()
          ? `-> ${readlinkSync(path)}`
          : entry.isDirectory()
            ? 'directory'
            : createHash('sha256').update(readFileSync(path)).digest('hex')
        return [relative(dir, path), content] as const
      })
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )
}
