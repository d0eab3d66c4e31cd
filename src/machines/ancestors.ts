/**
 * The launcher of this process, as one of its ancestors: a rank that outlives it trains on without anyone to end it, and keeps the lock of its
 * run. Neither MPI tells a rank in every case: after the end of MPICH's hydra_pmi_proxy it hears nothing. Main thread.
 *
 * On Linux all processes between the two are watched, since npx or a shell may stand there; elsewhere the parent alone, whose number changes
 * when it has ended.
 */
import { readFileSync } from 'node:fs'

/** A process. A zombie is none: it has ended. */
export interface Ancestor {
  readonly name: string
  readonly parent: number
  /** Start of the process, as the system counts it; distinguishes it from a later process with the same number. */
  readonly started: string
}

export type ReadAncestor = (pid: number) => Ancestor | null

/** Programs that start ranks on a host. Linux keeps 15 characters of a name. */
const LAUNCHERS = /^(mpirun|mpiexec|orterun|orted|prterun|prted|hydra_pmi_proxy|slurmstepd)/

/** Finds the launcher of this process. Returns what answers whether it, or a process between them, has ended since. */
export function watchLauncher(
  read: ReadAncestor = readProc,
  parentNow: () => number = () => process.ppid,
): () => boolean {
  const parent = parentNow()
  const chain: (Ancestor & { readonly pid: number })[] = []
  let pid = parent
  for (let of = read(pid); of !== null; of = read(pid)) {
    chain.push({ ...of, pid })
    if (LAUNCHERS.test(of.name)) break
    pid = of.parent
  }
  const hasLauncher = chain.length > 0 && LAUNCHERS.test(chain[chain.length - 1].name)
  const watched = hasLauncher ? chain : chain.slice(0, 1)
  return () => parentNow() !== parent || watched.some(({ pid, started }) => read(pid)?.started !== started)
}

/** Reads /proc/<pid>/stat; null: there is no such process, or no such file. */
function readProc(pid: number): Ancestor | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in parentheses, which may hold spaces and parentheses.
    const end = stat.lastIndexOf(')')
    const fields = stat.slice(end + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X'
      ? null
      : { name: stat.slice(stat.indexOf('(') + 1, end), parent: Number(fields[1]), started: fields[19] }
  } catch {
    return null
  }
}
