/** `gradloom doctor` in several processes: rank 0 reports for all, and all measure the exchanges between them. Main thread. */
import type { SharedRun } from '../coordinator/ranks.js'
import { ConfigError } from '../errors.js'
import { launchedBy } from '../ffi/mpi/launcher.js'
import type { MpiState, RanksState } from '../ffi/mpi/report.js'
import { OtherLauncherError } from '../machines/machines.js'
import { overMachines } from './machines.js'

/** Message of rank 0 to the others. */
type Told = { readonly call: 'measure' } | { readonly call: 'end'; readonly exitCode: number }

/** Has rank 0 report, with what was measured or why the ranks do not find each other. */
export async function overRanks(report: (ranks: MpiState['ranks']) => Promise<void>): Promise<void> {
  let hasMet = false
  try {
    await overMachines(
      { machines: 'auto' },
      async ranks => {
        hasMet = true
        await report(await measured(ranks!))
      },
      follow,
    )
  } catch (error) {
    if (hasMet || !(error instanceof ConfigError)) throw error
    if (launchedBy(process.env)!.rank === 0) await report({ problem: error.message })
    // Rank 0 has found the same. Another failure is this rank's own.
    else if (!(error instanceof OtherLauncherError)) throw error
  }
}

async function measured(ranks: SharedRun): Promise<RanksState> {
  ranks.tell({ call: 'measure' } satisfies Told)
  const { latencyMs, bytesPerMs } = await ranks.measure()
  const hosts = new Map<string, { host: string; ranks: number; cores: number }>()
  for (const { host, cores } of ranks.facts) {
    const known = hosts.get(host)
    hosts.set(host, { host, ranks: (known?.ranks ?? 0) + 1, cores: (known?.cores ?? 0) + cores })
  }
  const boundToOneCore = ranks.facts.filter(({ isBound, cores }) => isBound && cores === 1).length
  return {
    library: ranks.library,
    hosts: [...hosts.values()],
    boundToOneCore,
    latencyUs: 1000 * latencyMs,
    bytesPerSecond: 1000 * bytesPerMs,
  }
}

async function follow(ranks: SharedRun): Promise<number> {
  for (;;) {
    const told = (await ranks.next()).message as Told
    if (told.call === 'end') return told.exitCode
    await ranks.measure()
  }
}
