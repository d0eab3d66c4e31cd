/**
 * Machine code in memory that may be executed, and calls of it. Linux on x86-64; any thread. The memory is written, then
 * made read-only: it is never writable and executable at once.
 *
 * GRADLOOM_X64_DUMP=dir writes each mapping there; README.md in this folder says how to read it.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { loadKoffi } from '../../ffi/koffi.js'
import { atThreadEnd } from '../../tensor/thread-end.js'
import type { Assembler } from './assembler.js'

const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4]
const MAP_PRIVATE_ANONYMOUS = 0x22
const PAGE = 4096
const MAP_FAILED = -1n
/** Alignment of functions: a cache line, with which their loops were measured. */
const ALIGNMENT = 64
const INT3 = 0xcc

/** Called with the address of its argument block. */
export type NativeFunction = (args: number) => number
/** A function, and its own address, for machine code that calls it. */
export interface LoadedCode {
  readonly run: NativeFunction
  readonly address: number
}

/** Machine code of the calling thread; its functions may be called until the thread ends. */
export interface CodeMemory {
  /** Makes functions of complete code, in one mapping. */
  load(codes: readonly Assembler[]): LoadedCode[]
  /** Makes functions whose code comes later, of `slotBytes` bytes each at most; they must not be called before. */
  reserve(slots: number, slotBytes: number): Reserved
}

export interface Reserved {
  readonly functions: readonly LoadedCode[]
  /** Writes the code of one function. Calls the system in plain calls alone: safe in a thread that is being ended. */
  fill(slot: number, code: Assembler): void
}

let opened: Promise<CodeMemory | null> | undefined

/** Null where the system does not let memory become code. Asked once per thread. */
export function openCode(): Promise<CodeMemory | null> {
  opened ??= open()
  return opened
}

/**
 * koffi's addon ends the whole process where it cannot throw into a thread that is being ended (seen on Node 26): when
 * functions are declared, decoded or viewed, not in plain calls. So all of that is done when a thread opens its plan.
 */
async function open(): Promise<CodeMemory | null> {
  const koffi = await loadKoffi()
  const libc = koffi.load(null)
  const mmap = libc.func(
    'intptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int file, int64_t offset)',
  )
  const munmap = libc.func('int munmap(uintptr_t address, size_t bytes)')
  const mprotect = libc.func('int mprotect(uintptr_t address, size_t bytes, int protection)')
  const type = koffi.proto('int (uintptr_t args)')

  interface Mapping {
    readonly memory: Uint8Array
    readonly unmap: () => void
    /** True if the system lets the memory be written, or executed: never both. */
    readonly protect: (to: 'write' | 'execute') => boolean
    readonly functionAt: (offset: number) => LoadedCode
  }
  /** Memory that is filled with traps, to be written; null where there is none. */
  const map = (size: number): Mapping | null => {
    const bytes = Math.ceil(size / PAGE) * PAGE
    const base = BigInt(mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0) as number | bigint)
    if (base === MAP_FAILED) return null
    return {
      memory: new Uint8Array(koffi.view(base, bytes)).fill(INT3),
      unmap: () => munmap(base, bytes),
      protect: to => mprotect(base, bytes, PROT_READ | (to === 'write' ? PROT_WRITE : PROT_EXEC)) === 0,
      functionAt: offset => ({
        run: koffi.decode(base + BigInt(offset), type) as NativeFunction,
        address: Number(base) + offset,
      }),
    }
  }
  // The first mapping worked a moment ago: the process has run out of memory, or of mappings.
  const fail = (): never => {
    throw new Error('x64: the system gives no memory for machine code; GRADLOOM_X64=0 turns machine code off')
  }
  const kept = (size: number): Mapping => {
    const mapping = map(size) ?? fail()
    atThreadEnd(mapping.unmap)
    return mapping
  }

  const trial = map(PAGE)
  const works = trial?.protect('execute') ?? false
  trial?.unmap()
  if (!works) return null
  return {
    load(codes) {
      const { bytes, starts } = layOut(codes.map(code => code.finish()))
      dump(bytes)
      const mapping = kept(bytes.length)
      mapping.memory.set(bytes)
      if (!mapping.protect('execute')) fail()
      return starts.map(mapping.functionAt)
    },
    reserve(slots, slotBytes) {
      const { memory, protect, functionAt } = kept(slots * slotBytes)
      return {
        functions: Array.from({ length: slots }, (_, slot) => functionAt(slot * slotBytes)),
        fill(slot, code) {
          const bytes = code.finish()
          if (slot >= slots || bytes.length > slotBytes) {
            throw new RangeError(
              `x64: ${bytes.length} bytes of code in slot ${slot}, expected ${slots} of ${slotBytes}`,
            )
          }
          dump(bytes)
          if (!protect('write')) fail()
          memory.set(bytes, slot * slotBytes)
          if (!protect('execute')) fail()
        },
      }
    },
  }
}

/** Functions one after another, each at a cache line; what lies between them traps. */
function layOut(codes: readonly Uint8Array[]): { bytes: Uint8Array; starts: readonly number[] } {
  const starts: number[] = []
  let end = 0
  for (const code of codes) {
    starts.push(end)
    end += Math.ceil(code.length / ALIGNMENT) * ALIGNMENT
  }
  const bytes = new Uint8Array(end).fill(INT3)
  for (const [i, code] of codes.entries()) bytes.set(code, starts[i])
  return { bytes, starts }
}

let dumped = 0
function dump(bytes: Uint8Array): void {
  const dir = process.env.GRADLOOM_X64_DUMP
  if (dir) writeFileSync(join(dir, `x64-${process.pid}-${threadId}-${dumped++}.bin`), bytes)
}
