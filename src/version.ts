/** Which gradloom this is. Apart from machine.ts, so that `--version` loads nothing else. Any thread. */
import { readFileSync } from 'node:fs'

export function gradloomVersion(): string {
  // From dist/src/run, as installed.
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return manifest.version
}
