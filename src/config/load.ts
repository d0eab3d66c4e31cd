/**
 * Loads a file, or an object, into a complete experiment; throws one error with every problem.
 * Runs on the main thread, before any other thread starts.
 */
import { basename, dirname, resolve } from 'node:path'
import { ConfigError } from '../errors.js'
import { allRowsAdvice } from './all-rows.js'
import { readText } from './file.js'
import { applyOverride, type Override, parseOverride } from './overrides.js'
import { ExperimentError, type PlacedProblem, type Problem, problemsOf, show, valueAt } from './problems.js'
import { withoutRetired } from './retired.js'
import { type Experiment, experimentSchema, NAME_PATTERN, settled } from './schema.js'
import { expectation, nodeAt, variantIn } from './settings.js'
import { type JsonText, parseJson } from './syntax.js'

/** A complete experiment and its source. */
export interface LoadedExperiment {
  /** Every default filled in; frozen. */
  readonly experiment: Experiment
  /** The file's text as given, without overrides; for an object, its JSON. */
  readonly source: string
  /** Absolute path of the file, or null for an object. */
  readonly path: string | null
  /** Absolute folder that relative paths in the experiment start at. */
  readonly baseDir: string
}

const NAMELESS = 'experiment'

/**
 * Reads an experiment file. `overrides` are texts such as "train.epochs=3", later ones winning.
 * Throws a ConfigError: an ExperimentError if the file is JSON but not a valid experiment.
 */
export async function loadExperiment(path: string, overrides: readonly string[] = []): Promise<LoadedExperiment> {
  const source = await readText(path)
  const text = parseJson(source.replace(/^\ufeff/, ''), path)
  const experiment = complete(text.value, { where: path, overrides, text, defaultName: nameFrom(path) })
  const absolute = resolve(path)
  return { experiment, source, path: absolute, baseDir: dirname(absolute) }
}

/** Resolves an object instead of a file. `where` begins its messages; relative paths start at `baseDir`, or the current folder. */
export function resolveExperiment(
  input: unknown,
  options: { where?: string; overrides?: readonly string[]; baseDir?: string } = {},
): LoadedExperiment {
  const { where = NAMELESS, overrides = [], baseDir = '.' } = options
  const experiment = complete(input, { where, overrides, text: null, defaultName: NAMELESS })
  // `input` is valid here without overrides; with them, parts of it may not have been checked.
  const source = `${stringify(input, where)}\n`
  return { experiment, source, path: null, baseDir: resolve(baseDir) }
}

interface Context {
  readonly where: string
  readonly overrides: readonly string[]
  readonly text: JsonText | null
  readonly defaultName: string
}

function complete(given: unknown, { where, overrides, text, defaultName }: Context): Experiment {
  const problems: PlacedProblem[] = [...(text?.duplicates ?? [])]
  const applied: Override[] = []
  let input = withoutRetired(given)
  for (const override of overrides) {
    const parsed = parseOverride(override)
    const result = 'message' in parsed ? parsed : applyOverride(input, parsed)
    if ('message' in result) problems.push({ ...result, line: null, override })
    else input = result.input
    if (!('message' in parsed)) applied.push(parsed)
  }

  const parsed = experimentSchema.safeParse(input)
  const found = parsed.success ? [] : problemsOf(parsed.error.issues, input)
  problems.push(...found.map(problem => place(problem, applied, text)))
  // Sort in the order of the file, then overrides.
  problems.sort((a, b) => (a.line ?? Number.POSITIVE_INFINITY) - (b.line ?? Number.POSITIVE_INFINITY) || 0)
  if (!parsed.success || problems.length > 0)
    throw new ExperimentError(where, problems, hintFor(problems, applied, input))

  const experiment = settled(parsed.data)
  return deepFreeze({ ...experiment, name: valueAt(input, ['name']) !== undefined ? experiment.name : defaultName })
}

/** Source of a problem: the last override that wrote its path, else the file. */
function place(problem: Problem, overrides: readonly Override[], text: JsonText | null): PlacedProblem {
  const override = overrides.findLast(({ path }) => path.every((key, i) => key === problem.keys[i]))
  if (override) return { ...problem, line: null, override: override.text }
  return { ...problem, line: text?.lineOf(problem.keys) ?? null, override: null }
}

/** Command that helps if an override clashes with the file, or is read as something else than was meant. */
function hintFor(
  problems: readonly PlacedProblem[],
  overrides: readonly Override[],
  input: unknown,
): string | undefined {
  if (problems.some(({ keys }) => keys.join('.') === 'data.testFraction')) {
    const advice = allRowsAdvice(String(valueAt(input, ['data', 'dataset'])))
    if (advice !== undefined) return advice
  }
  for (const { path, value } of overrides) {
    const [section] = path
    const clash = problems.some(({ keys, override }) => override === null && keys.length > 1 && keys[0] === section)
    const variant = variantIn(String(section), valueAt(input, [section]))
    if (path[1] === 'type' && variant !== null && clash) {
      return `to replace the whole ${section}: --set ${section}='${JSON.stringify({ type: value })}'`
    }
    const refused = problems.some(({ keys }) => keys.join('.') === path.join('.'))
    if (refused && typeof value === 'number' && expectation(nodeAt(path.join('.'), null)).includes('text')) {
      return `text that reads as a number needs quotes of its own: --set ${path.join('.')}='"${value}"'`
    }
  }
  return undefined
}

/** Default name of an experiment: its file's name, as far as it may be part of a directory's name. */
function nameFrom(path: string): string {
  const name = basename(path)
    .replace(/(?<=.)\.json$/i, '')
    .replace(/[^\p{L}\p{N}_ .+-]/gu, '-')
    .replace(/^[^\p{L}\p{N}_]+/u, '')
    .slice(0, 100)
  return NAME_PATTERN.test(name) ? name : NAMELESS
}

function stringify(input: unknown, where: string): string {
  try {
    return JSON.stringify(input, null, 2)
  } catch (cause) {
    throw new ConfigError(`${where}: it is ${show(input)}, expected a value that JSON can hold`, { cause })
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) deepFreeze(child)
  return Object.freeze(value)
}
