/** Memory that the workers copy the state into, and that checkpoints are written from. Main thread. */
import { adviseHugePages } from '../ffi/memory.js'
import { DIRECT_FROM_BYTES } from '../files/stream.js'
import { createArena } from '../tensor/arena.js'

/** Size above which huge pages are worth their request, for which a module must be loaded. */
export const HUGE_BYTES = 2 ** 23

/** Shared memory for a copy of the state. A large one is memory of WebAssembly, which begins with a page, so that the disk can read it without another copy. */
export async function createSnapshot(bytes: number): Promise<SharedArrayBuffer> {
  if (bytes < DIRECT_FROM_BYTES) return new SharedArrayBuffer(bytes)
  let buffer: SharedArrayBuffer
  try {
    buffer = createArena(bytes).buffer as unknown as SharedArrayBuffer
  } catch {
    buffer = new SharedArrayBuffer(bytes) // needs less address space, which may be limited
  }
  if (bytes > HUGE_BYTES) await adviseHugePages(buffer)
  return buffer
}
