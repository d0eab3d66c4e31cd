/** A process as Linux describes it in /proc/<pid>/stat. Reads that file; any thread. */
import { readFileSync } from 'node:fs'

export interface ProcessStat {
  /** Name of the program, of which Linux keeps 15 characters. */
  readonly name: string
  /** Letter of its state; Z: a zombie, whose parent has not yet asked for the exit code. */
  readonly state: string
  readonly parent: number
  readonly threads: number
  /** CPU time in hundredths of a second, whatever the kernel's own clock. */
  readonly cpuTicks: number
  /** Start of the process, as the system counts it; distinguishes it from a later process with the same number. */
  readonly started: string
}

/** Null if there is no such process, or no such file. */
export function readProcessStat(pid: number): ProcessStat | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in parentheses, which may hold spaces and parentheses; the third one is `fields[0]`.
    const end = stat.lastIndexOf(')')
    const fields = stat.slice(end + 2).split(' ')
    return {
      name: stat.slice(stat.indexOf('(') + 1, end),
      state: fields[0],
      parent: Number(fields[1]),
      threads: Number(fields[17]),
      cpuTicks: Number(fields[11]) + Number(fields[12]),
      started: fields[19],
    }
  } catch {
    return null
  }
}
