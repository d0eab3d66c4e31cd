/**
 * Commands that several ranks run together: rank 0 leads, prints and sets the exit code, the others follow. Main thread; without a
 * launcher it looks at some variables of the environment, and loads nothing.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Experiment } from '../config/schema.js'
import type { SharedRun, Told } from '../coordinator/ranks.js'
import { GradloomError } from '../errors.js'
import { launchedBy } from '../ffi/mpi/launcher.js'
import { watchInterrupts } from './interrupt.js'

/** Time for rank 0 to end a run that has failed here: more than it leaves itself. */
const ENDED_MS = 8000

/** Settings of a run that count before its ranks have met. `machinesTimeout`: undefined where this process does not know the experiment. */
export interface StartSettings {
  readonly machines: Experiment['compute']['machines']
  readonly machinesTimeout?: number | undefined
}

/** Settings that the command line alone states. */
export function startSettingsOf(overrides: readonly string[]): StartSettings {
  const last = (name: string): string | undefined => {
    const path = `compute.${name}=`
    return overrides.findLast(text => text.startsWith(path))?.slice(path.length)
  }
  const seconds = Number(last('machinesTimeout'))
  return {
    machines: /^"?off"?$/.test(last('machines') ?? '') ? 'off' : 'auto',
    machinesTimeout: seconds >= 1 ? seconds : undefined,
  }
}

/**
 * Has rank 0 run `lead`, and the others `follow` it to its end. Without a launcher, or with `off`, this process leads none. Rejects with
 * the error of the run; then all ranks end with this process.
 */
export async function overMachines(
  { machines, machinesTimeout }: StartSettings,
  lead: (ranks: SharedRun | undefined) => Promise<void>,
  follow: (ranks: SharedRun, signal: AbortSignal) => Promise<number> = followTraining,
): Promise<void> {
  const launched = machines === 'off' ? null : launchedBy(process.env)
  if (launched === null) return lead(undefined)
  const [{ Machines }, { startMsOf }] = await Promise.all([
    import('../machines/machines.js'),
    import('../machines/exit.js'),
  ])
  const ranks = await Machines.join(launched, startMsOf(machinesTimeout))
  try {
    if (ranks.rank === 0) {
      await lead(ranks)
      end(ranks, Number(process.exitCode ?? 0))
    } else process.exitCode = await followed(ranks, follow)
    await ranks.end()
  } catch (error) {
    if (ranks.rank === 0 && !ranks.isBroken) await politely(ranks, error)
    if (ranks.rank > 0) await endFollower(ranks, error)
    ranks.release()
    throw error
  }
}

/** Rank 0 says what went wrong, and ends all; should it be gone, this rank does both. */
async function endFollower({ failure }: SharedRun, error: unknown): Promise<never> {
  if (!failure) await delay(ENDED_MS)
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}

const end = (ranks: SharedRun, exitCode: number): void => ranks.tell({ call: 'end', exitCode } satisfies Told)

/** Ends the others of a run that cannot be trained, before anything has failed between them. */
async function politely(ranks: SharedRun, error: unknown): Promise<void> {
  try {
    end(ranks, error instanceof GradloomError ? error.exitCode : 1)
    await ranks.end()
  } catch {
    // They end with this process.
  }
}

async function followTraining(ranks: SharedRun, signal: AbortSignal): Promise<number> {
  return (await import('../coordinator/follow.js')).follow(ranks, { signal })
}

async function followed(
  ranks: SharedRun,
  follow: (ranks: SharedRun, signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const stop = new AbortController()
  const interrupt = watchInterrupts(
    () => stop.abort(),
    () => {},
  )
  try {
    return await follow(ranks, stop.signal)
  } finally {
    interrupt.dispose()
  }
}
