/**
 * Two hosts on one machine: network namespaces joined by a pair of virtual interfaces, each with its own name, from which launchers start
 * ranks without ssh. Linux, root; needs `ip` (iproute2) and `unshare` (util-linux), for limits of bandwidth `tc`.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MpiName } from './mpi.js'

const DEVICE = 'eth0'
/** Seconds in which mpirun of Open MPI notices that it has lost a host, in place of eight minutes, and before gradloom does: docs/machines.md. */
const KEEPALIVE = ['time', '2', 'intvl', '1', 'probes', '2']

function run(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`)
}

/** Starts a command on a host as ssh does: host, then words that a shell reads. */
const agent = (hidden: string, without: string) => `#!/bin/sh
while case "$1" in -*) true ;; *) false ;; esac; do shift; done
host=$1
shift
exec ip netns exec "$host" unshare --uts --mount sh -c '
hostname "$1"
if [ "$1" = "${without}" ] && [ -n "${hidden}" ]; then mount -t tmpfs none "${hidden}"; fi
shift
exec sh -c "$*"' sh "$host" "$@"
`

export class TwoHosts {
  readonly names: readonly [string, string]
  readonly #folder = mkdtempSync(join(tmpdir(), 'gradloom-hosts-'))
  readonly #agent = join(this.#folder, 'agent')

  /** `hidden`: a folder that the second host does not see. Throws where namespaces cannot be made. */
  constructor({ hidden = '' }: { readonly hidden?: string } = {}) {
    this.names = [`gl${process.pid}a`, `gl${process.pid}b`]
    const [a, b] = this.names
    writeFileSync(this.#agent, agent(hidden, b))
    chmodSync(this.#agent, 0o755)
    try {
      for (const name of this.names) run('ip', 'netns', 'add', name)
      run('ip', 'link', 'add', `${a}0`, 'type', 'veth', 'peer', 'name', `${b}0`)
      for (const [i, name] of this.names.entries()) {
        run('ip', 'link', 'set', `${name}0`, 'netns', name, 'name', DEVICE)
        run('ip', '-n', name, 'addr', 'add', `10.77.0.${i + 1}/24`, 'dev', DEVICE)
        for (const device of [DEVICE, 'lo']) run('ip', '-n', name, 'link', 'set', device, 'up')
        // ip netns exec shows it as /etc/hosts.
        mkdirSync(`/etc/netns/${name}`, { recursive: true })
        writeFileSync(`/etc/netns/${name}/hosts`, `127.0.0.1 localhost\n10.77.0.1 ${a}\n10.77.0.2 ${b}\n`)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Command on the first host that has a launcher start `ranks` ranks, by turns on both, of the command that follows. */
  launch(mpi: MpiName, ranks: number): readonly string[] {
    const [a, b] = this.names
    const slots = [Math.ceil(ranks / 2), Math.floor(ranks / 2)]
    const list = `${a}:${slots[0]},${b}:${slots[1]}`
    const launcher =
      mpi === 'openmpi'
        ? [
            ...['mpirun.openmpi', '--allow-run-as-root', '--bind-to', 'none', '--mca', 'plm_rsh_agent', this.#agent],
            ...KEEPALIVE.flatMap((word, i) =>
              i % 2 === 0 ? ['--mca', `oob_tcp_keepalive_${word}`, KEEPALIVE[i + 1]] : [],
            ),
            ...['-host', list, '-n', String(ranks)],
          ]
        : // UCX sees that both are one machine, and then sends nothing through the link.
          [
            ...['env', 'UCX_TLS=tcp,self', 'mpirun.mpich', '-launcher', 'ssh', '-launcher-exec', this.#agent],
            ...['-hosts', list, '-n', String(ranks)],
          ]
    const start = 'hostname "$1"; shift; exec "$@"'
    return ['ip', 'netns', 'exec', a, 'unshare', '--uts', 'sh', '-c', start, 'sh', a, ...launcher]
  }

  /** Limits what each host sends, with a queue as long as that of a network card, so that little is lost. */
  limit(bitsPerSecond: number): void {
    // A token bucket must hold what comes between two ticks of the kernel's timer.
    const burst = Math.max(131072, Math.ceil(bitsPerSecond / 8 / 250))
    for (const name of this.names) {
      const rate = ['root', 'tbf', 'rate', `${bitsPerSecond}bit`, 'burst', String(burst), 'latency', '50ms']
      run('ip', 'netns', 'exec', name, 'tc', 'qdisc', 'replace', 'dev', DEVICE, ...rate)
    }
  }

  /** Cuts the link between the hosts, or mends it. */
  cut(isCut = true): void {
    run('ip', '-n', this.names[1], 'link', 'set', DEVICE, isCut ? 'down' : 'up')
  }

  /** Ends all processes of both: a launcher's daemon outlives a link that was cut. */
  killAll(): void {
    for (const name of this.names) {
      const { stdout = '' } = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' })
      for (const pid of stdout.split('\n').filter(Boolean)) spawnSync('kill', ['-KILL', pid])
    }
  }

  close(): void {
    this.killAll()
    for (const name of this.names) {
      spawnSync('ip', ['netns', 'del', name])
      rmSync(`/etc/netns/${name}`, { recursive: true, force: true })
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
