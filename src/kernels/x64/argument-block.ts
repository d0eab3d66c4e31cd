/**
 * Argument blocks in memory, and functions bound to them: the one place where a block is allocated, aligned and given the
 * arena's address. Any thread; a block belongs to the thread that opened it.
 */
import { loadKoffi } from '../../ffi/koffi.js'
import { addressOf } from '../../ffi/memory.js'
import { checkArguments } from './argument-check.js'
import { CALL_LIST, callList, ENTRY_ADDRESS_AT, ENTRY_ARGUMENTS, ENTRY_BYTES } from './call-list.js'
import { ARGUMENTS_WORD, type Loadable, wordsOf } from './calling-convention.js'
import { isChecking } from './cpu.js'
import { type LoadedCode, openCode } from './executable-memory.js'
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
  /**
   * Lists the calls that `work` asks for, which are not made and seem to return 0. What it returns makes them all in one call, and
   * returns what the last of them does. Null where there are too many, where no room is left, and where every call is checked.
   */
  record(work: () => void): BoundKernel | null
}

/** Calls in a list, at most: of more, what JavaScript does between them is a small part. */
const MOST_CALLS = 64
const LIST = wordsOf(CALL_LIST)

/**
 * A block of zeros that begins with the arena's address, at a cache line. `listedCalls`: room for lists. Null where the system does not
 * let memory become code.
 */
export async function openBlock(
  memory: WebAssembly.Memory,
  bytes: number,
  listedCalls = 0,
): Promise<ArgumentBlock | null> {
  const code = await openCode()
  if (!code) return null
  const koffi = await loadKoffi()
  const base = await addressOf(memory)
  const listsAt = Math.ceil(bytes / LINE_BYTES) * LINE_BYTES
  const allBytes = listsAt + listedCalls * ENTRY_BYTES
  const buffer = new ArrayBuffer(allBytes + LINE_BYTES)
  const at = Number(koffi.address(buffer))
  const offset = LINE_BYTES - (at % LINE_BYTES)
  const words = new Uint32Array(buffer, offset, allBytes / 4)
  const view = new DataView(buffer, offset, allBytes)
  view.setBigUint64(0, BigInt(base), true)
  const arena = new Uint32Array(memory.buffer)
  const lists = listedCalls === 0 || isChecking() ? null : openLists(view, words, listsAt)
  const bound = (signature: Signature, { run, address }: LoadedCode): BoundKernel => {
    if (isChecking()) {
      return () => {
        checkArguments(signature, { arena, block: words })
        return run(at + offset)
      }
    }
    if (lists === null || signature.arguments.length > ENTRY_ARGUMENTS) return () => run(at + offset)
    return () => (lists.isOpen ? lists.add(address) : run(at + offset))
  }
  const bind = (kernels: readonly Loadable[]) => {
    const functions = code.load(kernels.map(({ code }) => code))
    return kernels.map(({ signature }, i) => bound(signature, functions[i]))
  }
  const [runList] = lists === null ? [] : bind([callList()])
  return {
    ...{ words, view, base, bind, floats: new Float32Array(buffer, offset, allBytes / 4) },
    reserve(slots, slotBytes) {
      const { functions, fill } = code.reserve(slots, slotBytes)
      let next = 0
      return kernel => {
        const slot = next++
        fill(slot, kernel.code)
        return bound(kernel.signature, functions[slot])
      }
    },
    record(work) {
      const list = lists?.record(work)
      if (!list) return null
      return () => {
        words[LIST.list] = list.at
        words[LIST.calls] = list.calls
        return runList()
      }
    },
  }
}

/** Lists in a block, from a byte of it on: they stay as long as the block. */
function openLists(view: DataView, words: Uint32Array, from: number) {
  let [next, first] = [from, from]
  const isFull = () => next - first >= MOST_CALLS * ENTRY_BYTES || next + ENTRY_BYTES > view.byteLength
  const lists = {
    isOpen: false,
    isWhole: true,
    /** Adds a call with the arguments that are in the block. */
    add(address: number): number {
      if (isFull()) lists.isWhole = false
      else {
        words.copyWithin(next / 4, ARGUMENTS_WORD, ARGUMENTS_WORD + ENTRY_ARGUMENTS)
        view.setBigUint64(next + ENTRY_ADDRESS_AT, BigInt(address), true)
        next += ENTRY_BYTES
      }
      return 0
    },
    record(work: () => void): { readonly at: number; readonly calls: number } | null {
      first = next
      lists.isWhole = true
      lists.isOpen = true
      try {
        work()
      } finally {
        lists.isOpen = false
      }
      const calls = (next - first) / ENTRY_BYTES
      if (!lists.isWhole) next = first
      return lists.isWhole && calls > 0 ? { at: first, calls } : null
    },
  }
  return lists
}
