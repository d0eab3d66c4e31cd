/**
 * Converts zod's issues to messages for people: each problem with its path, the value received and what was expected,
 * and all of them in one error. Runs on the main thread.
 */
import { inspect } from 'node:util'
import type * as z from 'zod'
import { ConfigError } from '../errors.js'
import { alternatives, expectation, isKnown, keysOf, nodeAt, objectForm, variantIn, variantsWith } from './settings.js'
import { nearest, nearestPath } from './suggest.js'

/** One problem of an experiment. */
export interface Problem {
  /** Path in the experiment; empty for the whole of it. Not dotted, because an unknown key may have dots in it. */
  readonly keys: readonly PropertyKey[]
  /** Names the path, the value received and what was expected. */
  readonly message: string
}

/** Problem and its source. */
export interface PlacedProblem extends Problem {
  /** Line in the file, from 1; null if there is none. */
  readonly line: number | null
  /** The `--set` that wrote the value, or null. */
  readonly override: string | null
}

/** Every problem of one experiment, as one ConfigError and as a list. */
export class ExperimentError extends ConfigError {
  readonly problems: readonly PlacedProblem[]

  constructor(where: string, problems: readonly PlacedProblem[], hint?: string) {
    super(summarize(where, problems), { hint })
    this.problems = problems
  }
}

function summarize(where: string, problems: readonly PlacedProblem[]): string {
  if (problems.length === 1) {
    const [{ line, override, message }] = problems
    if (override !== null) return `${where}: --set ${override}: ${message}`
    return line === null ? `${where}: ${message}` : `${where}:${line}: ${message}`
  }
  const place = ({ line, override }: PlacedProblem) => {
    if (override !== null) return `--set ${override}: `
    return line === null ? '' : `line ${line}: `
  }
  const lines = problems.map(problem => `  ${place(problem)}${problem.message}`)
  return [`${problems.length} problems in ${where}:`, ...lines].join('\n')
}

/** A value as received, shortened to fit on a line. */
export function show(value: unknown): string {
  const options = { depth: 1, breakLength: Number.POSITIVE_INFINITY, maxArrayLength: 8, maxStringLength: 80 }
  const text = inspect(value, { ...options, customInspect: false })
  return text.length > 160 ? `${text.slice(0, 157)}...` : text
}

/** zod's issues about `input`, in gradloom's words, one per path. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], input: unknown): Problem[] {
  const problems = issues.flatMap(issue => problemsIn(issue, input))
  const same = (a: Problem, b: Problem) => a.keys.join('.') === b.keys.join('.')
  return problems.filter((problem, i) => problems.findIndex(other => same(other, problem)) === i)
}

function problemsIn(issue: z.core.$ZodIssue, input: unknown): Problem[] {
  const { path: keys } = issue
  if (issue.code === 'unrecognized_keys') return issue.keys.map(key => unknownKey(input, keys, key))
  const value = valueAt(input, keys)
  if (issue.code === 'invalid_union') {
    // Report the faults of the form that an object has: they say more than that none of several forms fits.
    const own = issue.errors.find(([first]) => first && (first.path.length > 0 || first.code === 'unrecognized_keys'))
    if (own) return own.flatMap(inner => problemsIn({ ...inner, path: [...keys, ...inner.path] }, input))
  }
  // `data` is the one required section: report its required key as missing.
  const path = keys.join('.') === 'data' && value === undefined ? 'data.dataset' : keys.join('.')
  const section = keys.slice(0, 1)
  const outer = objectForm(nodeAt(keys.slice(0, -1).join('.'), null))?.properties[String(keys.at(-1))]
  const node = outer ?? nodeAt(path, variantIn(section.join('.'), valueAt(input, section)))
  const phrased = issue.code === 'custom' || issue.code === 'invalid_format'
  const wanted = phrased ? issue.message : expectation(node)
  if (value === undefined && path !== '') return [{ keys, message: `${path} is missing, expected ${wanted}` }]
  // The number is too large to be exact: that limit matters only here, so no other message mentions it.
  const inexact = node.maximum === Number.MAX_SAFE_INTEGER && typeof value === 'number' && value > node.maximum
  const limit = inexact ? ` and <= ${node.maximum}` : ''
  const guess = typeof value === 'string' ? nearest(value, node.enum?.map(String) ?? []) : undefined
  // A known value that does not fit the rest of the experiment is not a typo.
  const evidence = guess === undefined || guess === value ? '' : `; did you mean "${guess}"?`
  return [{ keys, message: `${path || 'the experiment'} is ${show(value)}, expected ${wanted}${limit}${evidence}` }]
}

function unknownKey(input: unknown, parent: readonly PropertyKey[], key: string): Problem {
  const section = parent.join('.')
  const path = section === '' ? key : `${section}.${key}`
  const keys = [...parent, key]
  const variants = key.includes('.') ? [] : variantsWith(path)
  if (variants.length === 0) return { keys, message: `unknown key ${JSON.stringify(path)}; ${advice(section, key)}` }
  const chosen = `${section}.type "${variantIn(section, valueAt(input, parent))}"`
  const owners = alternatives(
    variants.map(variant => `"${variant}"`),
    'and',
  )
  const evidence = `${owners} ${variants.length > 1 ? 'have' : 'has'} it`
  return { keys, message: `${path} is ${show(valueAt(input, keys))}, expected no ${key} with ${chosen}; ${evidence}` }
}

function advice(section: string, key: string): string {
  const path = section === '' ? key : `${section}.${key}`
  if (key.includes('.') && isKnown(path)) {
    const parts = path.split('.').slice(section === '' ? 0 : section.split('.').length)
    const nested = parts.reduceRight((inner, part) => `{ ${JSON.stringify(part)}: ${inner} }`, '...')
    return `in a file, write it as ${nested}`
  }
  const form = section === '' ? undefined : objectForm(nodeAt(section, null))
  if (form) {
    const names = Object.keys(form.properties)
    const like = nearest(key, names)
    return like === undefined ? `known in ${section}: ${names.join(', ')}` : `did you mean "${section}.${like}"?`
  }
  const guess = nearestPath(section, key)
  if (guess !== undefined && guess !== path) return `did you mean "${guess}"?`
  return `known ${section === '' ? 'at the top' : `in ${section}`}: ${keysOf(section).join(', ')}`
}

/** Value of `input` at `path`, own properties only; undefined if there is none. */
export function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<PropertyKey, unknown>)[key]
  }
  return value
}
