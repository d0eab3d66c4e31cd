/**
 * The launcher of this process, as one of its ancestors: a rank that outlives it trains on without anyone to end it, and keeps the lock of its
 * run. Neither MPI tells a rank in every case: after the end of MPICH's hydra_pmi_proxy it hears nothing. Main thread.
 *
 * On Linux all processes between the two are watched, since npx or a shell may stand there; elsewhere the parent alone, whose number changes
 * when it has ended.
 */
import { type ProcessStat, readProcessStat } from '../files/process-stat.js'

/** A process. A zombie is none: it has ended. */
export type Ancestor = Pick<ProcessStat, 'name' | 'parent' | 'started'>

export type ReadAncestor = (pid: number) => Ancestor | null

/** Programs that start ranks on a host. */
const LAUNCHERS = /^(mpirun|mpiexec|orterun|orted|prterun|prted|hydra_pmi_proxy|slurmstepd)/

/** Finds the launcher of this process. Returns what answers whether it, or a process between them, has ended since. */
export function watchLauncher(
  read: ReadAncestor = readAncestor,
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

function readAncestor(pid: number): Ancestor | null {
  const stat = readProcessStat(pid)
  return stat === null || stat.state === 'Z' || stat.state === 'X' ? null : stat
}
