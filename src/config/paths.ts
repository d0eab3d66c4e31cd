/**
 * Settings that are paths. One rule for all: in a file they are relative to the experiment file's folder, on the
 * command line to the current one. Pure but for the current folder; main thread.
 */
import { resolve } from 'node:path'
import { parseOverride, withValue } from './overrides.js'
import { valueAt } from './problems.js'

export const PATH_SETTINGS = ['data.path', 'data.testPath', 'compute.library'] as const

/** The override with its paths made absolute, wherever in its value they are: `data={"path": …}` as well. */
export function fromCurrentFolder(override: string, cwd = process.cwd()): string {
  const parsed = parseOverride(override)
  if ('message' in parsed) return override // reported when it is applied
  const keys = parsed.path.map(String)
  let { value } = parsed
  let changed = false
  for (const setting of PATH_SETTINGS) {
    const path = setting.split('.')
    if (!keys.every((key, i) => key === path[i])) continue
    const rest = path.slice(keys.length)
    const found = valueAt(value, rest)
    if (typeof found !== 'string' || found === '') continue
    // A library without a slash is a name for the dynamic linker; "auto" and the like are names too.
    if (setting === 'compute.library' && !/[/\\]/.test(found)) continue
    value = withValue(value, rest, resolve(cwd, found))
    changed = true
  }
  return changed ? `${keys.join('.')}=${JSON.stringify(value)}` : override
}
