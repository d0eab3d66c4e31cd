/** Shortest input that resolves to an experiment: the settings that differ from the defaults. Pure; runs on any thread. */
import { isDeepStrictEqual } from 'node:util'
import { withValue } from './overrides.js'
import { valueAt } from './problems.js'
import { taskOf } from './schema/data.js'
import type { Experiment, ExperimentInput } from './schema.js'
import { settings, variantIn } from './settings.js'
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
    if (value !== undefined && !isDeepStrictEqual(value, usual)) different = withValue(different, keys, value)
  }
  return different as ExperimentInput
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
