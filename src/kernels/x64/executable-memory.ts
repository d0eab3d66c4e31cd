/**
 * Machine code in memory that may be executed, and calls of it. Linux on x86-64; any thread. The memory is written, then
 * made read-only: it is never writable and executable at once.
 */
import { atThreadEnd } from '../../tensor/thread-end.js'
import { loadKoffi } from '../ffi/koffi.js'
import type { Assembler } from './assembler.js'

const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4]
const MAP_PRIVATE_ANONYMOUS = 0x22
const PAGE = 4096
const MAP_FAILED = -1n
const RETURN = Uint8Array.of(0xc3)

/** Called with the address of its arguments. */
export type NativeFunction = (args: number) => number

/** Makes a function of code, for the calling thread, to whose end it may be called. */
export type LoadCode = (code: Assembler) => NativeFunction

/** Null where the system does not let memory become code. */
export async function openCode(): Promise<LoadCode | null> {
  const koffi = await loadKoffi()
  const libc = koffi.load(null)
  const mmap = libc.func(
    'intptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int file, int64_t offset)',
  )
  const munmap = libc.func('int munmap(uintptr_t address, size_t bytes)')
  const mprotect = libc.func('int mprotect(uintptr_t address, size_t bytes, int protection)')
  const type = koffi.proto('int (uintptr_t args)')

  const load = (code: Uint8Array): { run: NativeFunction; unload: () => void } | null => {
    const bytes = Math.ceil(code.length / PAGE) * PAGE
    const base = BigInt(mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0) as number | bigint)
    if (base === MAP_FAILED) return null
    new Uint8Array(koffi.view(base, bytes)).set(code)
    const unload = () => munmap(base, bytes)
    if (mprotect(base, bytes, PROT_READ | PROT_EXEC) === 0) return { run: koffi.decode(base, type), unload }
    unload()
    return null
  }
  const tried = load(RETURN)
  if (!tried) return null
  tried.unload()
  return code => {
    const loaded = load(code.finish())
    // It did a moment ago: the process has run out of memory, or of mappings.
    if (!loaded) throw new Error('no memory for machine code; GRADLOOM_X64=0 does without')
    atThreadEnd(loaded.unload)
    return loaded.run
  }
}

const LINE_BYTES = 64

/** Memory for a block of arguments, zeros, which begins at `offset`: there a cache line does. */
export async function alignedBlock(bytes: number): Promise<{ memory: ArrayBuffer; offset: number; address: number }> {
  const koffi = await loadKoffi()
  const memory = new ArrayBuffer(bytes + LINE_BYTES)
  const at = Number(koffi.address(memory))
  const offset = LINE_BYTES - (at % LINE_BYTES)
  return { memory, offset, address: at + offset }
}
