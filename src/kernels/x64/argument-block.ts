/**
 * Argument blocks in memory, and functions bound to them: the one place where a block is allocated, aligned and given the
 * arena's address. Any thread; a block belongs to the thread that opened it.
 */
import { loadKoffi } from '../ffi/koffi.js'
import { addressOf } from '../ffi/memory.js'
import { checkArguments } from './argument-check.js'
import type { Loadable } from './calling-convention.js'
import { isChecking } from './cpu.js'
import { type LoadCode, openCode } from './executable-memory.js'

const LINE_BYTES = 64

/** A kernel over the block: runs with the arguments that lie there, and returns EAX. */
export type BoundKernel = () => number

export interface ArgumentBlock {
  /** The same bytes: 32-bit words, floats, and for anything else. */
  readonly words: Uint32Array
  readonly floats: Float32Array
  readonly view: DataView
  /** Address of the arena's first byte. */
  readonly base: number
  /** Makes functions of code; all lie in one mapping. They live as long as the thread. */
  bind(kernels: readonly Loadable[]): BoundKernel[]
}

/** A block of zeros that begins with the arena's address, at a cache line. Null where the system does not let memory become code. */
export async function openBlock(memory: WebAssembly.Memory, bytes: number): Promise<ArgumentBlock | null> {
  const load = await openCode()
  if (!load) return null
  const koffi = await loadKoffi()
  const base = await addressOf(memory)
  const buffer = new ArrayBuffer(bytes + LINE_BYTES)
  const at = Number(koffi.address(buffer))
  const offset = LINE_BYTES - (at % LINE_BYTES)
  const words = new Uint32Array(buffer, offset, bytes / 4)
  const view = new DataView(buffer, offset, bytes)
  view.setBigUint64(0, BigInt(base), true)
  const arena = new Uint32Array(memory.buffer)
  return {
    ...{ words, view, base, floats: new Float32Array(buffer, offset, bytes / 4) },
    bind: kernels => bind(load, kernels, at + offset, { arena, block: words }),
  }
}

function bind(
  load: LoadCode,
  kernels: readonly Loadable[],
  address: number,
  memory: { arena: Uint32Array; block: Uint32Array },
): BoundKernel[] {
  const checking = isChecking()
  return load(kernels.map(({ code }) => code)).map((run, i) => {
    if (!checking) return () => run(address)
    return () => {
      checkArguments(kernels[i].signature, memory)
      return run(address)
    }
  })
}
