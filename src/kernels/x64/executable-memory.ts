/**
 * Machine code in memory that may be executed, and calls of it. Linux on x86-64; any thread. The memory is written, then
 * made read-only: it is never writable and executable at once.
 *
 * GRADLOOM_X64_DUMP=dir writes each mapping there; README.md in this folder says how to read it.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { atThreadEnd } from '../../tensor/thread-end.js'
import { loadKoffi } from '../ffi/koffi.js'
import { Assembler } from './assembler.js'

const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4]
const MAP_PRIVATE_ANONYMOUS = 0x22
const PAGE = 4096
const MAP_FAILED = -1n
/** Functions begin at a multiple of this: a cache line, as loops in them were measured. */
const ALIGNMENT = 64
const INT3 = 0xcc

/** Called with the address of its argument block. */
export type NativeFunction = (args: number) => number

/** Makes functions of code, in one mapping, for the calling thread, to whose end they may be called. */
export type LoadCode = (codes: readonly Assembler[]) => NativeFunction[]

let opened: Promise<LoadCode | null> | undefined

/** Null where the system does not let memory become code. Asked once per thread. */
export function openCode(): Promise<LoadCode | null> {
  opened ??= open()
  return opened
}

async function open(): Promise<LoadCode | null> {
  const koffi = await loadKoffi()
  const libc = koffi.load(null)
  const mmap = libc.func(
    'intptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int file, int64_t offset)',
  )
  const munmap = libc.func('int munmap(uintptr_t address, size_t bytes)')
  const mprotect = libc.func('int mprotect(uintptr_t address, size_t bytes, int protection)')
  const type = koffi.proto('int (uintptr_t args)')

  const map = (code: Uint8Array): { base: bigint; unmap: () => void } | null => {
    const bytes = Math.ceil(code.length / PAGE) * PAGE
    const base = BigInt(mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0) as number | bigint)
    if (base === MAP_FAILED) return null
    new Uint8Array(koffi.view(base, bytes)).set(code)
    const unmap = () => munmap(base, bytes)
    if (mprotect(base, bytes, PROT_READ | PROT_EXEC) === 0) return { base, unmap }
    unmap()
    return null
  }
  const trial = new Assembler()
  trial.ret()
  const tried = map(trial.finish())
  if (!tried) return null
  tried.unmap()
  return codes => {
    const { bytes, starts } = layOut(codes.map(code => code.finish()))
    dump(bytes)
    const mapped = map(bytes)
    // It did a moment ago: the process has run out of memory, or of mappings.
    if (!mapped) throw new Error('no memory for machine code; GRADLOOM_X64=0 does without')
    atThreadEnd(mapped.unmap)
    return starts.map(start => koffi.decode(mapped.base + BigInt(start), type) as NativeFunction)
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
