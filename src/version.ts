/** Version of gradloom. Separate from run/machine.ts, so that `--version` loads nothing else. Any thread. */
import { readFileSync } from 'node:fs'

export function gradloomVersion(): string {
  // Path from dist/src to the package root.
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return manifest.version
}
