/**
 * How a rank ends where the others may not answer: `process.exit` does not end a process whose communication thread is inside a native call.
 * Main thread.
 */
import { ConfigError } from '../errors.js'
import { type Koffi, type KoffiMissing, type LibraryHandle, loadKoffi } from '../ffi/koffi.js'
import type { Launched } from '../ffi/mpi/launcher.js'
import { bindAbort, loadMpi } from '../ffi/mpi/library.js'

export interface Exits {
  /** Ends all ranks. */
  all(code: number): void
  /** Ends this process, whatever its threads do. */
  alone(code: number): void
}

/** Time for MPI_Abort to end the process before an alarm does. */
const ALARM_SECONDS = 4
/** Most time for the launcher to read the last message, and time for it to pass that on. */
const FLUSH_MS = 1000
const FLUSH_STEP_MS = 10
const FORWARD_MS = 150
/** Time for all ranks to start MPI, and more of it for others than rank 0, whose message is enough. */
export const START_MS = 60_000
const START_LATER_MS = 3000

/**
 * Ends this process where its communication thread waits in MPI_Init: after a time, for ranks that do not come, since they have ended without
 * a word, or stand still, which no launcher notices; or at once, if it fails or exits meanwhile. Returns what ends this watch.
 */
export function watchStart(startMs: number, { launcher, rank }: Launched, libc: LibraryHandle): () => void {
  const exit = libc.func('void _exit(int code)')
  const giveUp = () => {
    process.stderr.write(
      `machines: rank ${rank}: MPI has not started after ${startMs / 1000} s, expected all ranks that ${launcher} started to do so; ` +
        'one has ended or stands still, or its host cannot be reached\n' +
        'hint: compute.machines must be the same for all; docs/machines.md has what keeps MPI from reaching a host\n',
      () => exit(1),
    )
    setTimeout(() => exit(1), FLUSH_MS)
  }
  const timer = setTimeout(giveUp, startMs + (rank === 0 ? 0 : START_LATER_MS)).unref()
  const leave = (code: number) => void exit(code)
  process.on('exit', leave)
  return () => {
    clearTimeout(timer)
    process.off('exit', leave)
  }
}

/** Functions of the C library. Throws ConfigError without koffi. */
export const libcOf = async (): Promise<LibraryHandle> => (await koffiOf()).load(null)

const koffiOf = (): Promise<Koffi> =>
  loadKoffi().catch((error: KoffiMissing) => {
    throw new ConfigError(error.message)
  })

/** How this process ends all ranks: loaded now, since at the end nothing may be loaded any more. */
export async function exitsOf({ family }: Launched): Promise<Exits> {
  const koffi = await koffiOf()
  const abort = bindAbort(family, loadMpi(koffi, family))
  const libc = koffi.load(null)
  const alarm = libc.func('unsigned int alarm(unsigned int seconds)')
  const exit = libc.func('void _exit(int code)')
  const unread = unreadOutput(libc)
  return {
    all(code) {
      alarm(ALARM_SECONDS)
      // MPICH's launcher ends without what it has not read yet: the message that says why.
      for (let waited = 0; waited < FLUSH_MS && unread() > 0; waited += FLUSH_STEP_MS) sleep(FLUSH_STEP_MS)
      sleep(FORWARD_MS)
      abort(code)
      exit(code)
    },
    alone: code => void exit(code),
  }
}

/** Linux's ioctl that counts the bytes in a pipe. */
const FIONREAD = 0x541b

/** Bytes of stdout and stderr that the launcher has yet to read; 0 where that cannot be told. */
function unreadOutput(libc: LibraryHandle): () => number {
  if (process.platform !== 'linux') return () => 0
  const ioctl = libc.func('int ioctl(int file, unsigned long request, _Out_ int* bytes)')
  const of = (file: number): number => {
    const bytes = [0]
    return ioctl(file, FIONREAD, bytes) === 0 ? bytes[0] : 0
  }
  return () => of(1) + of(2)
}

const sleep = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
