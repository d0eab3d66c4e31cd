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

/** Time for MPI_Abort to end the process before an alarm does; it does not return where the link to the launcher is gone. */
const ALARM_SECONDS = { 'open-mpi': 2, mpich: 1 } as const
/** Most time for the launcher to read the last message, and time for it to pass that on. */
const FLUSH_MS = 1000
const FLUSH_STEP_MS = 10
const FORWARD_MS = 150
/** Time for MPI to start, where nothing else is said, and the least, since ranks never start at once; others than rank 0 wait longer: its message is enough. */
export const START_MS = 8000
const LEAST_START_MS = 5000
const START_LATER_MS = 1500
const START_STEP_MS = 100
/** Another time for MPI to start, in seconds, for all commands. */
const START_VARIABLE = 'GRADLOOM_MPI_START_SECONDS'

/** Time in which MPI must start. `timeoutSeconds`: `compute.machinesTimeout`, where this process knows the experiment. */
export function startMsOf(timeoutSeconds: number | undefined, env: NodeJS.ProcessEnv = process.env): number {
  const text = env[START_VARIABLE]
  if (text === undefined)
    return timeoutSeconds === undefined ? START_MS : Math.max(LEAST_START_MS, 1000 * timeoutSeconds)
  const seconds = Number(text)
  if (seconds > 0 && seconds <= 3600) return 1000 * seconds
  throw new ConfigError(`${START_VARIABLE} is ${JSON.stringify(text)}, expected seconds: more than 0, at most 3600`)
}

export interface StartWatch {
  /** MPI has started. */
  started(): void
  /** Another way to end this process is in place. */
  end(): void
}

/**
 * Ends this process where its communication thread waits in MPI_Init: after a time, for ranks that do not come, since they have ended without
 * a word, or stand still, which no launcher notices; or at once, if it fails, exits or loses its launcher meanwhile. The time begins anew
 * when the thread enters MPI_Init, so that loading the library, on a busy machine or from a slow file system, does not count.
 */
export function watchStart(
  startMs: number,
  { launcher, rank, family }: Launched,
  libc: LibraryHandle,
  entered: Int32Array,
  isLauncherGone: () => boolean,
): StartWatch {
  const unread = unreadOutput(libc)
  const exit = libc.func('void _exit(int code)')
  const leave = (code: number) => {
    flush(unread)
    // MPICH's launcher takes the exit of a process that has not started MPI for a success, whatever the code, and leaves the others waiting.
    if (family === 'mpich') process.kill(process.pid, 'SIGKILL')
    exit(code === 0 ? 1 : code)
  }
  const giveUp = (reason: string) => {
    clearInterval(timer)
    process.stderr.write(`machines: rank ${rank}: ${reason}\n`, () => leave(1))
    setTimeout(leave, FLUSH_MS, 1)
  }
  let since = performance.now()
  let isInside = false
  const patienceMs = startMs + (rank === 0 ? 0 : START_LATER_MS)
  const timer = setInterval(() => {
    const now = performance.now()
    if (!isInside && Atomics.load(entered, 0) !== 0) [isInside, since] = [true, now]
    if (isLauncherGone()) giveUp(launcherGone(launcher))
    else if (now - since > patienceMs) {
      giveUp(
        `MPI has not started after ${startMs / 1000} s, expected all ranks that ${launcher} started to do so; one has ended or stands still, ` +
          'or its host cannot be reached\n' +
          `hint: compute.machines must be the same for all; compute.machinesTimeout, or ${START_VARIABLE}, gives them more time; ` +
          'docs/machines.md has what keeps MPI from reaching a host',
      )
    }
  }, START_STEP_MS).unref()
  process.on('exit', leave)
  return { started: () => clearInterval(timer), end: () => void process.off('exit', leave) }
}

/** Cause of the end of a rank whose launcher has ended. */
export const launcherGone = (launcher: string): string => `${launcher}, which started this process, has ended`

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
      flush(unread)
      alarm(ALARM_SECONDS[family])
      abort(code)
      exit(code)
    },
    alone: code => void exit(code),
  }
}

/** Waits until the launcher has read and passed on the message that says why: MPICH's ends without what it has not read yet. */
function flush(unread: () => number): void {
  for (let waited = 0; waited < FLUSH_MS && unread() > 0; waited += FLUSH_STEP_MS) sleep(FLUSH_STEP_MS)
  sleep(FORWARD_MS)
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
