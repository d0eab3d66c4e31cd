/** Shortest input that resolves to an experiment: the settings that differ from the defaults. Pure; runs on any thread. */
import { isDeepStrictEqual } from 'node:util'
import { withValue } from './overrides.js'
import { valueAt } from './problems.js'
import { taskOf } from './schema/data.js'
import type { Experiment, ExperimentInput } from './schema.js'
import { type SchemaNode, settings, variantIn } from './settings.js'
import { lossOfTask } from './tasks.js'

/**
 * Settings that an experiment's file must contain. `defaultName` is the name that can be left out; the data set never can.
 * A section with a `type` is compared with the defaults of its type.
 */
export function differences(experiment: Experiment, defaultName?: string): ExperimentInput {
  let different: unknown = {}
  for (const { path, variant, node } of settings()) {
    const keys = path.split('.')
    if (variant !== null && variantIn(keys[0], valueAt(experiment, keys.slice(0, 1))) !== variant) continue
    const value = valueAt(experiment, keys)
    const usual = usualOf(path, node.default, experiment, defaultName)
    if (value === undefined || isDeepStrictEqual(value, usual)) continue
    different = withValue(different, keys, withoutDefaults(value, node))
  }
  return different as ExperimentInput
}

/** A list without the settings of its entries that have their defaults; any other value as it is. */
function withoutDefaults(value: unknown, { items }: SchemaNode): unknown {
  if (!Array.isArray(value) || !items?.properties) return value
  return value.map(entry => shortened(entry, items))
}

function shortened(value: unknown, node: SchemaNode): unknown {
  const form = node.properties ? node : node.anyOf?.find(({ properties }) => properties)
  if (!form?.properties || typeof value !== 'object' || value === null) return value
  const { properties } = form
  const kept = Object.entries(value).filter(([key, of]) => !isDeepStrictEqual(of, properties[key]?.default))
  return Object.fromEntries(kept.map(([key, of]) => [key, properties[key] ? shortened(of, properties[key]) : of]))
}

function usualOf(path: string, standard: unknown, { data }: Experiment, defaultName: string | undefined): unknown {
  if (path === 'name') return defaultName
  if (path === 'data.task') return taskOf({ ...data, task: 'auto' })
  return path === 'train.loss' ? lossOfTask(data.task) : standard
}

/** A setting that is not the same in two experiments. */
export interface Change {
  readonly path: string
  readonly before: unknown
  readonly after: unknown
  /** `path: before -> after`. */
  readonly text: string
}

/** Settings in which two complete experiments differ, in the schema's order. */
export function differencesBetween(before: Experiment, after: Experiment): Change[] {
  const paths = [...new Set(settings().map(({ path }) => path))]
  return paths.flatMap(path => {
    const [old, now] = [before, after].map(experiment => valueAt(experiment, path.split('.')))
    if (isDeepStrictEqual(old, now)) return []
    return [{ path, before: old, after: now, text: `${path}: ${JSON.stringify(old)} -> ${JSON.stringify(now)}` }]
  })
}
