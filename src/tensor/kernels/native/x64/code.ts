/**
 * Machine code in memory that may be executed, and calls of it. Linux on x86-64; any thread. The memory is written, then
 * made read-only: it is never writable and executable at once.
 */
import { type Koffi, loadKoffi } from '../koffi.js'

const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4]
const MAP_PRIVATE_ANONYMOUS = 0x22
const PAGE = 4096
const MAP_FAILED = -1n

/** Called with the address of its arguments. */
export type NativeFunction = (args: number) => number

/** Functions of the given code, in its order. Null where the system does not let memory become code. It is never given back: the process ends with it. */
export async function loadCode(functions: readonly Uint8Array[]): Promise<NativeFunction[] | null> {
  const koffi = await loadKoffi()
  const libc = koffi.load(null)
  const mmap = libc.func(
    'intptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int file, int64_t offset)',
  )
  const mprotect = libc.func('int mprotect(uintptr_t address, size_t bytes, int protection)')
  const starts: number[] = []
  let length = 0
  for (const code of functions) {
    starts.push(length)
    length += Math.ceil(code.length / 64) * 64
  }
  const bytes = Math.ceil(length / PAGE) * PAGE
  const base = BigInt(mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0) as number | bigint)
  if (base === MAP_FAILED) return null
  const target = new Uint8Array(koffi.view(base, bytes))
  for (const [i, code] of functions.entries()) target.set(code, starts[i])
  if (mprotect(base, bytes, PROT_READ | PROT_EXEC) !== 0) return null
  return starts.map(start => callable(koffi, base + BigInt(start)))
}

function callable(koffi: Koffi, address: bigint): NativeFunction {
  const type = koffi.proto('int (uintptr_t args)')
  return koffi.decode(address, type) as NativeFunction
}
