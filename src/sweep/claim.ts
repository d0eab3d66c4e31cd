/**
 * A sweep's directory: locked by one process, with the plan of its runs in `sweep.json`. The same plan may continue, one
 * that has grown at its end too; any other is refused, with what differs. Main thread.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { differencesBetween } from '../config/diff.js'
import { resolveExperiment } from '../config/load.js'
import type { Experiment } from '../config/schema.js'
import { ConfigError, GradloomError } from '../errors.js'
import { writeTextAtomically } from '../files/atomic.js'
import { LOCK_FILE, RunLock } from '../run/lock.js'
import { readRunJson } from '../run/open.js'
import { makeRunDirectory, orRunError } from '../run/write-errors.js'

export const PLAN = 'sweep.json'

/** A run of the plan, as `sweep.json` has it. */
export interface PlannedRun {
  readonly index: number
  readonly settings: Readonly<Record<string, unknown>>
  readonly experiment: Experiment
}

/** Maximum number of differences to name. */
const NAMED = 3

/**
 * Locks the directory, made if it is missing, and notes the plan there. Throws ConfigError where it holds something else,
 * RunError where another process has it or it cannot be written.
 */
export async function claimSweep(dir: string, plan: readonly PlannedRun[]): Promise<RunLock> {
  await makeRunDirectory(dir)
  const file = join(dir, PLAN)
  const names = await orRunError(dir, () => readdir(dir))
  const other = names.find(name => !name.startsWith(LOCK_FILE) && !(name.startsWith('.') && name.endsWith('.tmp')))
  if (other !== undefined && !names.includes(PLAN)) {
    throw new ConfigError(
      `${dir}: holds ${inspect(other)} and no ${PLAN}, expected a new or empty directory, or that of this sweep`,
      { hint: 'name another with --run-dir' },
    )
  }
  const lock = await RunLock.take(dir, 'sweep')
  try {
    const text = `${JSON.stringify(plan, null, 2)}\n`
    const before = await readRunJson(file)
    if (before !== undefined) refuseOtherPlan(dir, before, plan)
    if (before === undefined || `${JSON.stringify(before, null, 2)}\n` !== text) {
      await orRunError(file, () => writeTextAtomically(file, text))
    }
    return lock
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** `before`: content of the file, which may be anything. */
function refuseOtherPlan(dir: string, before: unknown, plan: readonly PlannedRun[]): void {
  if (!Array.isArray(before)) {
    throw new ConfigError(
      `${join(dir, PLAN)}: is ${inspect(before, { depth: 0 })}, expected a list of runs; the file is damaged`,
      {
        hint: 'name another directory with --run-dir',
      },
    )
  }
  const different = [
    ...(before.length > plan.length ? [`had ${before.length} runs, has ${plan.length}`] : []),
    ...plan.slice(0, before.length).flatMap((run, i) => {
      const change = changeOf(before[i], run)
      return change === null ? [] : [`run ${run.index}: ${change}`]
    }),
  ]
  if (different.length === 0) return
  const more = different.length > NAMED ? `; and ${different.length - NAMED} more` : ''
  throw new ConfigError(
    `${dir}: holds another sweep, expected the same or a new directory; ${different.slice(0, NAMED).join('; ')}${more}`,
    {
      hint: 'undo the change of the sweep or experiment file to continue, or name another directory with --run-dir; more runs at the end are accepted',
    },
  )
}

/** Null where both are the same run. */
function changeOf(before: Partial<PlannedRun> | null, now: PlannedRun): string | null {
  try {
    // Settings that a newer version has added get their defaults.
    const { experiment } = resolveExperiment(before?.experiment)
    const changes = differencesBetween(experiment, now.experiment).map(({ text }) => text)
    return changes.length === 0 ? null : changes.join(', ')
  } catch (error) {
    if (error instanceof GradloomError) return 'its experiment is not valid in this version'
    throw error
  }
}
