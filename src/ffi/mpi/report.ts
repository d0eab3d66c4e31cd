/** Which libraries of MPI are here, and what started this process: for `doctor`. Loads them, and starts nothing. Main thread. */
import { formatBytes, formatCounted } from '../../format.js'
import { loadKoffi } from '../koffi.js'
import { launchedBy, type MpiFamily } from './launcher.js'
import { loadMpi, versionOf } from './library.js'

/** The ranks that the launcher started. */
export interface RanksState {
  /** The library that all use. */
  readonly library: string
  readonly hosts: readonly { readonly host: string; readonly ranks: number; readonly cores: number }[]
  /** Ranks that their launcher left one core of several. */
  readonly boundToOneCore: number
  /** Time of an exchange with next to nothing in it, and bytes that each rank receives in a second of a large one. */
  readonly latencyUs: number
  readonly bytesPerSecond: number
}

export interface MpiState {
  readonly libraries: readonly {
    readonly family: MpiFamily
    /** Its name for the dynamic linker, and what it says about itself; null: it cannot be loaded. */
    readonly library: { readonly name: string; readonly version: string } | null
  }[]
  /** Launcher that started this process; null: no launcher, or one that started one process. */
  readonly launcher: string | null
  /** Ranks of that launcher, with what was measured between them, or why they do not find each other; absent: no launcher. */
  readonly ranks?: RanksState | { readonly problem: string }
}

export async function reportMpi(ranks?: MpiState['ranks']): Promise<MpiState> {
  // See machines/machines.ts.
  process.env.UCX_ERROR_SIGNALS ??= ''
  process.env.UCX_MEM_MMAP_HOOK_MODE ??= 'none'
  const koffi = await loadKoffi().catch(() => null)
  const libraries = (['open-mpi', 'mpich'] as const).map(family => {
    try {
      if (!koffi) return { family, library: null }
      const found = loadMpi(koffi, family)
      return { family, library: { name: found.name, version: versionOf(found) } }
    } catch {
      return { family, library: null }
    }
  })
  const launched = launchedBy(process.env)
  return {
    libraries,
    launcher: launched && `${launched.launcher}, rank ${launched.rank} of ${launched.size ?? 'several'}`,
    ...(ranks && { ranks }),
  }
}

/** Lines about MPI. */
export function mpiLines({ libraries, launcher, ranks }: MpiState): string[] {
  const there = libraries.flatMap(({ library }) => (library ? [`${library.version} (${library.name})`] : []))
  return [
    `mpi        ${there.length > 0 ? there.join('; ') : 'no library found: one machine only; docs/machines.md says how to use several'}`,
    ...(launcher === null ? [] : [`launcher   ${launcher}`]),
    ...(ranks === undefined ? [] : 'problem' in ranks ? [`ranks      ${ranks.problem}`] : ranksLines(ranks)),
  ]
}

function ranksLines({ library, hosts, boundToOneCore, latencyUs, bytesPerSecond }: RanksState): string[] {
  const count = hosts.reduce((sum, { ranks }) => sum + ranks, 0)
  const list = hosts.map(
    ({ host, ranks, cores }) => `${host}: ${formatCounted(ranks, 'rank')} with ${formatCounted(cores, 'core')}`,
  )
  return [
    `ranks      ${formatCounted(count, 'rank')} on ${formatCounted(hosts.length, 'host')} (${list.join('; ')}), by ${library}`,
    `exchange   ${latencyUs < 10 ? latencyUs.toFixed(1) : Math.round(latencyUs)} µs for a small one, ${formatBytes(bytesPerSecond)}/s received by each rank in a large one`,
    ...(boundToOneCore === 0
      ? []
      : [
          `binding    ${formatCounted(boundToOneCore, 'rank')} bound to one core: mpirun --bind-to none, or --map-by slot:PE=4, leaves more`,
        ]),
  ]
}
