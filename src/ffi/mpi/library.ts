/**
 * MPI through koffi: the calls that a run over ranks makes, for the two families of binary interfaces. Runs in the communication thread
 * (machines/comm-thread.ts), which alone may call it; `bindAbort` alone is for the main thread.
 *
 * The families differ in the C type of handles and in their values. MPICH, Intel MPI and MVAPICH have integers; in Open MPI handles are
 * addresses of data that the library exports. Both answer 0, or an error code that `MPI_Error_string` explains: errors are returned, not
 * fatal, once `init` has been called.
 */
import type { Koffi, LibraryHandle } from '../koffi.js'
import type { MpiFamily } from './launcher.js'

/** Names for the dynamic linker. Never `libmpi.so` alone, which may belong to the other family. */
const NAMES: Readonly<Record<MpiFamily, readonly string[]>> = {
  'open-mpi': ['libmpi.so.40'],
  mpich: ['libmpich.so.12', 'libmpi.so.12'],
}

export const PACKAGES: Readonly<Record<MpiFamily, string>> = {
  'open-mpi': 'libopenmpi3 of Debian, or Open MPI 3 to 5',
  mpich: 'libmpich12 of Debian, or MPICH, Intel MPI or MVAPICH',
}

const THREAD_FUNNELED = 1
const VERSION_BYTES = 8192
const ERROR_BYTES = 512

/** Handles and constants in which the families differ. */
interface Handles {
  /** C type of a handle. */
  readonly type: 'void*' | 'int'
  readonly world: bigint | number
  readonly byte: bigint | number
  readonly errorsReturn: bigint | number
  /** In place of a send buffer, and of a status. */
  readonly inPlace: bigint
  readonly statusIgnore: bigint
}

const MPICH_HANDLES: Handles = {
  type: 'int',
  world: 0x44000000,
  byte: 0x4c00010d,
  errorsReturn: 0x54000001,
  inPlace: 0xffffffffffffffffn,
  statusIgnore: 1n,
}

function openMpiHandles(library: LibraryHandle): Handles {
  const symbol = (name: string): bigint => (library as unknown as { symbol(name: string): bigint }).symbol(name)
  return {
    type: 'void*',
    world: symbol('ompi_mpi_comm_world'),
    byte: symbol('ompi_mpi_byte'),
    errorsReturn: symbol('ompi_mpi_errors_return'),
    inPlace: 1n,
    statusIgnore: 0n,
  }
}

/** Requests in progress: their memory must stay alive until `test` has answered true. */
export interface MpiRequest {
  readonly handles: readonly BigUint64Array[]
  /** Number of the first ones that are known to be done. */
  done: number
}

/** Bytes of memory that threads share, or of a buffer. */
export type Bytes = Uint8Array

/** Bytes and places of parts by rank. */
export type Parts = readonly [Int32Array, Int32Array]

export interface Mpi {
  /** First line of what the library says about itself. */
  readonly version: string
  /** Starts MPI, with errors that are returned. Answers what it says about this process. */
  init(): { readonly rank: number; readonly size: number }
  /** Begins: each rank has its own part of `all`, at places[rank], and gets those of the others. Memory must be shared or large. */
  allgatherv(all: Bytes, counts: Int32Array, places: Int32Array): MpiRequest
  /** Begins the same, but only rank 0 gets the parts of the others. */
  gatherv(all: Bytes, rank: number, counts: Int32Array, places: Int32Array): MpiRequest
  /**
   * Begins: this rank sends every other one a part of the memory, and gets one. Parts that come must not overlap with others; those that are
   * sent may be one and the same.
   */
  exchange(memory: Bytes, rank: number, sent: Parts, coming: Parts, tag: number): MpiRequest
  /** Begins: every rank gets the bytes of rank 0. */
  broadcast(bytes: Bytes): MpiRequest
  /** Begins a barrier. */
  barrier(): MpiRequest
  isend(bytes: Bytes, to: number, tag: number): MpiRequest
  /** True when the request is done. Never blocks. */
  test(request: MpiRequest): boolean
  /** True if a message of this rank and tag is here. Never blocks. */
  probe(from: number, tag: number): boolean
  /** Receives a message, which should be here or on its way. Blocks. */
  receive(bytes: Bytes, from: number, tag: number): void
  finalize(): void
}

/** A library that was found. */
export interface FoundMpi {
  readonly library: LibraryHandle
  readonly name: string
}

/** Loads the library of a family. Throws an Error that names what was tried. */
export function loadMpi(koffi: Koffi, family: MpiFamily, names = NAMES[family]): FoundMpi {
  const reasons: string[] = []
  for (const name of names) {
    try {
      return { library: koffi.load(name), name }
    } catch (error) {
      reasons.push((error as Error).message.split('\n')[0])
    }
  }
  throw new Error(`none of ${names.join(', ')} can be loaded, expected ${PACKAGES[family]}; ${reasons.join('; ')}`)
}

const handlesOf = (family: MpiFamily, library: LibraryHandle): Handles =>
  family === 'open-mpi' ? openMpiHandles(library) : MPICH_HANDLES

/** The library's text about itself; it may be asked for before MPI is started. */
export function versionOf({ library }: FoundMpi): string {
  const get = library.func('int MPI_Get_library_version(void* text, _Out_ int* length)')
  const text = Buffer.alloc(VERSION_BYTES)
  const length = [0]
  get(text, length)
  const [line] = text.toString('latin1', 0, length[0]).replace(/\0.*$/s, '').split('\n')
  return line
    .replace(/, package: .*/, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
}

/** Ends all ranks, this one too, with an exit code. The one call that another thread may make: the others may be inside a collective. */
export function bindAbort(family: MpiFamily, { library }: FoundMpi): (code: number) => void {
  const { type, world } = handlesOf(family, library)
  const abort = library.func(`int MPI_Abort(${type} comm, int code)`)
  return code => void abort(world, code)
}

export function bindMpi(family: MpiFamily, found: FoundMpi): Mpi {
  const { library } = found
  const { type: H, world, byte, errorsReturn, inPlace, statusIgnore } = handlesOf(family, library)
  const declare = (name: string, args: string) => {
    const call = library.func(`int ${name}(${args})`) as unknown as (...of: unknown[]) => number
    return (...of: unknown[]): void => {
      const code = call(...of)
      if (code !== 0) throw new Error(`${name}: ${explain(code)}`)
    }
  }
  const errorString = library.func('int MPI_Error_string(int code, void* text, _Out_ int* length)')
  const explain = (code: number): string => {
    const text = Buffer.alloc(ERROR_BYTES)
    const length = [0]
    return errorString(code, text, length) === 0 ? text.toString('latin1', 0, length[0]) : `code ${code}`
  }
  const initThread = declare('MPI_Init_thread', 'void* argc, void* argv, int wanted, _Out_ int* given')
  const setHandler = declare('MPI_Comm_set_errhandler', `${H} comm, ${H} handler`)
  const commRank = declare('MPI_Comm_rank', `${H} comm, _Out_ int* rank`)
  const commSize = declare('MPI_Comm_size', `${H} comm, _Out_ int* size`)
  const parts = 'const int* counts, const int* places'
  const end = `${H} comm, void* request`
  const iallgatherv = declare('MPI_Iallgatherv', `void* s, int n, ${H} st, void* r, ${parts}, ${H} rt, ${end}`)
  const igatherv = declare('MPI_Igatherv', `void* s, int n, ${H} st, void* r, ${parts}, ${H} rt, int root, ${end}`)
  const ibcast = declare('MPI_Ibcast', `void* bytes, int n, ${H} type, int root, ${end}`)
  const ibarrier = declare('MPI_Ibarrier', end)
  const isend = declare('MPI_Isend', `void* bytes, int n, ${H} type, int to, int tag, ${end}`)
  const irecv = declare('MPI_Irecv', `void* bytes, int n, ${H} type, int from, int tag, ${end}`)
  const test = declare('MPI_Test', 'void* request, _Out_ int* flag, void* status')
  const iprobe = declare('MPI_Iprobe', `int from, int tag, ${H} comm, _Out_ int* flag, void* status`)
  const recv = declare('MPI_Recv', `void* bytes, int n, ${H} type, int from, int tag, ${H} comm, void* status`)
  const finalize = declare('MPI_Finalize', '')
  const flag = [0]
  /** Memory of handles, which does not move: the library keeps its address. */
  const handlesFor = (count: number) => new BigUint64Array(new SharedArrayBuffer(8 * count))
  const begin = (call: (...of: unknown[]) => void, ...of: unknown[]): MpiRequest => {
    const handle = handlesFor(1)
    call(...of, handle)
    return { handles: [handle], done: 0 }
  }

  return {
    version: versionOf(found),
    init() {
      const [given, rank, size] = [[0], [0], [0]]
      initThread(null, null, THREAD_FUNNELED, given)
      setHandler(world, errorsReturn)
      if (given[0] < THREAD_FUNNELED)
        throw new Error(`MPI_Init_thread: the level of threads is ${given[0]}, expected 1`)
      commRank(world, rank)
      commSize(world, size)
      return { rank: rank[0], size: size[0] }
    },
    allgatherv: (all, counts, places) => begin(iallgatherv, inPlace, 0, byte, all, counts, places, byte, world),
    gatherv(all, rank, counts, places) {
      if (rank === 0) return begin(igatherv, inPlace, 0, byte, all, counts, places, byte, 0, world)
      const own = all.subarray(places[rank], places[rank] + counts[rank])
      return begin(igatherv, own, counts[rank], byte, null, counts, places, byte, 0, world)
    },
    exchange(memory, rank, sent, coming, tag) {
      const size = sent[0].length
      const all = handlesFor(2 * size)
      const handles: BigUint64Array[] = []
      // Sends first: a peer is then told of a part before it is asked for its own, whose bytes would delay its answer until all are through.
      // With the receives first, as MPI_Iallgatherv of Open MPI 4.1.4 has them, one of two ranks at a time sent over TCP.
      for (const [call, [counts, places]] of [
        [isend, sent],
        [irecv, coming],
      ] as const) {
        for (let i = 1; i < size; i++) {
          const other = call === isend ? (rank + i) % size : (rank + size - i) % size
          if (counts[other] === 0) continue
          const bytes = memory.subarray(places[other], places[other] + counts[other])
          const handle = all.subarray(handles.length, handles.length + 1)
          call(bytes, bytes.length, byte, other, tag, world, handle)
          handles.push(handle)
        }
      }
      return { handles, done: 0 }
    },
    broadcast: bytes => begin(ibcast, bytes, bytes.length, byte, 0, world),
    barrier: () => begin(ibarrier, world),
    isend: (bytes, to, tag) => begin(isend, bytes, bytes.length, byte, to, tag, world),
    test(request) {
      for (; request.done < request.handles.length; request.done++) {
        test(request.handles[request.done], flag, statusIgnore)
        if (flag[0] === 0) return false
      }
      return true
    },
    probe(from, tag) {
      iprobe(from, tag, world, flag, statusIgnore)
      return flag[0] !== 0
    },
    receive: (bytes, from, tag) => recv(bytes, bytes.length, byte, from, tag, world, statusIgnore),
    finalize: () => finalize(),
  }
}
