/** `--set path=value`: parses one override and applies it to a copy of the experiment's input. Main thread. */
import { type Problem, show, valueAt } from './problems.js'
import { isKnown, nodeAt, recordAt } from './settings.js'
import { nearestWhole } from './suggest.js'

/** A change to one path, and the text it came from. */
export interface Override {
  /** Text as typed, for messages. */
  readonly text: string
  readonly path: readonly (string | number)[]
  readonly value: unknown
}

/** Override, or the problem with its text. A value that is not JSON is taken as text. */
export function parseOverride(text: string): Override | Problem {
  const equals = text.indexOf('=')
  if (equals <= 0) return { keys: [], message: `it is ${show(text)}, expected path=value, as in train.epochs=3` }
  const path = text.slice(0, equals).trim()
  if (!isKnown(path)) {
    const guess = nearestWhole(path)
    const evidence = guess === undefined ? '`gradloom config schema --markdown` lists all' : `did you mean "${guess}"?`
    return { keys: [path], message: `unknown key ${JSON.stringify(path)}; ${evidence}` }
  }
  const record = recordAt(path)
  const keys = record
    ? [...record.setting.path.split('.'), record.key]
    : path.split('.').map(key => (/^\d+$/.test(key) ? Number(key) : key))
  return { text, path: keys, value: parseValue(text.slice(equals + 1)) }
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** A copy of `input` with the override in it, or the problem that keeps it from fitting. `input` is not changed. */
export function applyOverride(input: unknown, { path, value }: Override): { input: unknown } | Problem {
  const last = path[path.length - 1]
  const outside = entryOutside(input, path)
  if (outside) return outside
  if (typeof last !== 'number') return { input: withValue(input, path, value) }
  // One entry of a list: if the file has no list, start from the default one.
  const listPath = path.slice(0, -1)
  const joined = listPath.join('.')
  const list = valueAt(input, listPath) ?? nodeAt(joined, null).default
  if (!Array.isArray(list)) return { input } // The list itself is reported as not being a list.
  if (last > list.length) {
    const message = `${path.join('.')} is past the end, expected an index <= ${list.length}; ${joined} is ${show(list)}`
    return { keys: path, message }
  }
  return { input: withValue(input, listPath, [...list.slice(0, last), value, ...list.slice(last + 1)]) }
}

/** The problem of a path through an entry that a list does not have. */
function entryOutside(input: unknown, path: readonly (string | number)[]): Problem | undefined {
  const at = path.slice(0, -1).findIndex(key => typeof key === 'number')
  if (at < 0) return undefined
  const listPath = path.slice(0, at)
  const list = valueAt(input, listPath) ?? nodeAt(listPath.join('.'), null).default
  if (!Array.isArray(list) || (path[at] as number) < list.length) return undefined
  const [entry, joined] = [path.slice(0, at + 1).join('.'), listPath.join('.')]
  return { keys: path, message: `${entry} is not there, expected an entry of ${joined}, which has ${list.length}` }
}

/** A copy of `input` with `value` at the path; copies only the nodes on the path. Paths are known ones, so no key here can reach a prototype. */
export function withValue(input: unknown, [key, ...rest]: readonly (string | number)[], value: unknown): unknown {
  if (key === undefined) return value
  if (input === undefined) return { [key]: withValue(undefined, rest, value) }
  if (Array.isArray(input)) return input.map((entry, i) => (i === key ? withValue(entry, rest, value) : entry))
  // A node on the path is not an object, and is reported as such.
  if (typeof input !== 'object' || input === null) return input
  return { ...input, [key]: withValue(valueAt(input, [key]), rest, value) }
}
