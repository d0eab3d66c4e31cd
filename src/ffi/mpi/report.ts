/** Which libraries of MPI are here, and what started this process: for `doctor`. Loads them, and starts nothing. Main thread. */
import { loadKoffi } from '../koffi.js'
import { launchedBy, type MpiFamily } from './launcher.js'
import { loadMpi, versionOf } from './library.js'

export interface MpiState {
  readonly libraries: readonly {
    readonly family: MpiFamily
    /** Its name for the dynamic linker, and what it says about itself; null: it cannot be loaded. */
    readonly library: { readonly name: string; readonly version: string } | null
  }[]
  /** Launcher that started this process; null: no launcher, or one that started one process. */
  readonly launcher: string | null
}

export async function reportMpi(): Promise<MpiState> {
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
  }
}

/** Lines about MPI. */
export function mpiLines({ libraries, launcher }: MpiState): string[] {
  const there = libraries.flatMap(({ library }) => (library ? [`${library.version} (${library.name})`] : []))
  return [
    `mpi        ${there.length > 0 ? there.join('; ') : 'no library found: one machine only; docs/machines.md says how to use several'}`,
    ...(launcher === null ? [] : [`launcher   ${launcher}`]),
  ]
}
