/**
 * Facts that the launcher of an MPI program states in the environment, before any library is loaded: which of the two families of MPI must be
 * loaded, which rank this process is, and of how many. Pure but for one look at a descriptor; main thread.
 *
 * A library of the other family would start as a program of its own of size 1, without a message. So the family follows from the
 * launcher, and what the library says after its start is compared with what stands here.
 */
import { fstatSync } from 'node:fs'

export type MpiFamily = 'open-mpi' | 'mpich'

export interface Launched {
  readonly family: MpiFamily
  /** Name of the launcher, for people. */
  readonly launcher: string
  readonly rank: number
  /** null: the launcher does not say. */
  readonly size: number | null
  /** Ranks on this host; null: the launcher does not say. */
  readonly localSize: number | null
}

type Environment = Readonly<Record<string, string | undefined>>

/** Launcher of this process; null: none, or one that started a single process. */
export function launchedBy(env: Environment): Launched | null {
  const launched = openMpi(env) ?? slurmPmix(env) ?? mpich(env)
  return launched?.size === 1 ? null : launched
}

function openMpi(env: Environment): Launched | null {
  const rank = number(env.OMPI_COMM_WORLD_RANK)
  const size = number(env.OMPI_COMM_WORLD_SIZE)
  if (rank === null || size === null) return null
  return {
    ...{ family: 'open-mpi', launcher: 'mpirun of Open MPI', rank, size },
    localSize: number(env.OMPI_COMM_WORLD_LOCAL_SIZE),
  }
}

function slurmPmix(env: Environment): Launched | null {
  const rank = number(env.PMIX_RANK)
  const size = number(env.SLURM_STEP_NUM_TASKS)
  if (rank === null || size === null) return null
  return { family: 'open-mpi', launcher: 'srun --mpi=pmix', rank, size, localSize: tasksHere(env) }
}

function mpich(env: Environment): Launched | null {
  const [rank, size] = [number(env.PMI_RANK), number(env.PMI_SIZE)]
  const localSize = number(env.MPI_LOCALNRANKS)
  if (rank !== null && size !== null) {
    const isSlurm = number(env.SLURM_PROCID) !== null && number(env.SLURM_STEP_NUM_TASKS) !== null
    return isSlurm
      ? { family: 'mpich', launcher: 'srun --mpi=pmi2', rank, size, localSize: tasksHere(env) }
      : { family: 'mpich', launcher: 'mpirun of MPICH', rank, size, localSize }
  }
  const id = number(env.PMI_ID)
  if (env.PMI_PORT === undefined || id === null) return null
  return { family: 'mpich', launcher: 'mpirun -pmi-port of MPICH', rank: id, size: null, localSize }
}

/** Tasks of this step on this node, from a list such as `2(x3),1`; null: Slurm does not say. */
function tasksHere(env: Environment): number | null {
  const node = number(env.SLURM_NODEID)
  const list = env.SLURM_STEP_TASKS_PER_NODE
  if (node === null || list === undefined) return null
  const tasks = list.split(',').flatMap(part => {
    const [, count, times = '1'] = /^(\d+)(?:\(x(\d+)\))?$/.exec(part) ?? []
    return count === undefined ? [] : new Array<number>(Number(times)).fill(Number(count))
  })
  return tasks[node] ?? null
}

/**
 * Problem that keeps a program from reaching its launcher; null: none. MPICH talks to it through a descriptor, which Node.js closes in
 * the processes that it starts, npx and npm among them.
 */
export function lostLauncher(env: Environment, isOpen: (fd: number) => boolean = isSocket): string | null {
  const fd = number(env.PMI_FD)
  if (fd === null || isOpen(fd)) return null
  return `PMI_FD is ${fd}, expected an open connection to MPICH's launcher: it is lost where npx, npm or another Node.js process starts this one`
}

export const HOW_TO_START_MPICH = 'mpirun -n 4 node node_modules/.bin/gradloom train ..., or mpirun -pmi-port'

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket()
  } catch {
    return false
  }
}

/** True if the launcher bound each rank to cores of its own; MPICH does not unless it is asked. */
export const bindsRanks = (env: Environment): boolean =>
  env.OMPI_MCA_orte_bound_at_launch === '1' || /mask|map|rank|cores|sockets|ldoms/.test(env.SLURM_CPU_BIND_TYPE ?? '')

/** Cores for the workers of this rank: those that it was bound to, or its share of those of the host. */
export function coresOfRank(available: number, isBound: boolean, localSize: number | null): number {
  return isBound ? available : Math.max(1, Math.floor(available / (localSize ?? 1)))
}

function number(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null
}
