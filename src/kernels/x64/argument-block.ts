/**
 * Argument blocks in memory, and functions bound to them: the one place where a block is allocated, aligned and given the
 * arena's address. Any thread; a block belongs to the thread that opened it.
 */
import { loadKoffi } from '../../ffi/koffi.js'
import { addressOf } from '../../ffi/memory.js'
import { checkArguments } from './argument-check.js'
import type { Loadable } from './calling-convention.js'
import { isChecking } from './cpu.js'
import { type NativeFunction, openCode } from './executable-memory.js'
import type { Signature } from './signature.js'

const LINE_BYTES = 64

/** A kernel over the block: runs with the arguments that lie there, and returns EAX. */
export type BoundKernel = () => number

export interface ArgumentBlock {
  /** Views of the same bytes: as 32-bit words, as floats, and for anything else. */
  readonly words: Uint32Array
  readonly floats: Float32Array
  readonly view: DataView
  /** Address of the arena's first byte. */
  readonly base: number
  /** Makes functions of code; all lie in one mapping. They live as long as the thread. */
  bind(kernels: readonly Loadable[]): BoundKernel[]
  /** Makes room for functions that are bound later, in a step: one call of what it returns for each. */
  reserve(slots: number, slotBytes: number): (kernel: Loadable) => BoundKernel
}

/** A block of zeros that begins with the arena's address, at a cache line. Null where the system does not let memory become code. */
export async function openBlock(memory: WebAssembly.Memory, bytes: number): Promise<ArgumentBlock | null> {
  const code = await openCode()
  if (!code) return null
  const koffi = await loadKoffi()
  const base = await addressOf(memory)
  const buffer = new ArrayBuffer(bytes + LINE_BYTES)
  const at = Number(koffi.address(buffer))
  const offset = LINE_BYTES - (at % LINE_BYTES)
  const words = new Uint32Array(buffer, offset, bytes / 4)
  const view = new DataView(buffer, offset, bytes)
  view.setBigUint64(0, BigInt(base), true)
  const arena = new Uint32Array(memory.buffer)
  const bound = (signature: Signature, run: NativeFunction): BoundKernel => {
    if (!isChecking()) return () => run(at + offset)
    return () => {
      checkArguments(signature, { arena, block: words })
      return run(at + offset)
    }
  }
  return {
    ...{ words, view, base, floats: new Float32Array(buffer, offset, bytes / 4) },
    bind(kernels) {
      const functions = code.load(kernels.map(({ code }) => code))
      return kernels.map(({ signature }, i) => bound(signature, functions[i]))
    },
    reserve(slots, slotBytes) {
      const { functions, fill } = code.reserve(slots, slotBytes)
      let next = 0
      return kernel => {
        const slot = next++
        fill(slot, kernel.code)
        return bound(kernel.signature, functions[slot])
      }
    },
  }
}
