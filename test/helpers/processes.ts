/** Processes of this machine, as Linux lists them in /proc. */
import { readdirSync, readFileSync } from 'node:fs'

/** Numbers of the processes whose command line, arguments separated by NUL, is wanted. Those that end meanwhile are left out. */
export function processesWhere(isWanted: (commandLine: string, pid: string) => boolean): string[] {
  return readdirSync('/proc').filter(pid => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return isWanted(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), pid)
    } catch {
      return false
    }
  })
}
