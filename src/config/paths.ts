/**
 * Settings that are paths. One rule for all: written in a file they start at the experiment file's folder, typed on the
 * command line at the current one. Pure but for the current folder; main thread.
 */
import { resolve } from 'node:path'
import { parseOverride, withValue } from './overrides.js'
import { valueAt } from './problems.js'

export const PATH_SETTINGS = ['data.path', 'data.testPath', 'compute.library'] as const

/** The same override with absolute paths, wherever in its value they are: `data={"path": …}` as well. */
export function fromCurrentFolder(override: string, cwd = process.cwd()): string {
  const parsed = parseOverride(override)
  if ('message' in parsed) return override // said when it is applied
  const keys = parsed.path.map(String)
  let { value } = parsed
  let changed = false
  for (const setting of PATH_SETTINGS) {
    const path = setting.split('.')
    if (!keys.every((key, i) => key === path[i])) continue
    const rest = path.slice(keys.length)
    const found = valueAt(value, rest)
    if (typeof found !== 'string' || found === '') continue
    // A library without a slash is a name for the dynamic linker; its reader knows "auto" and the like by name as well.
    if (setting === 'compute.library' && !/[/\\]/.test(found)) continue
    value = withValue(value, rest, resolve(cwd, found))
    changed = true
  }
  return changed ? `${keys.join('.')}=${JSON.stringify(value)}` : override
}
