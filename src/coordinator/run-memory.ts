/** Memory and module of a plan, before any worker opens it; also copies of its data. Main thread, while no worker runs. */
import { adviseHugePages, hugeOffset, PAGE_BYTES, releaseRanges } from '../ffi/memory.js'
import type { Backend } from '../kernels/backend.js'
import { loadBackend } from '../kernels/backends.js'
import { openNative } from '../kernels/native/open.js'
import { createArena, type Slot, viewSlot } from '../tensor/arena.js'
import { bytesPerElement } from '../tensor/tensor.js'
import { type Layout, planLayout } from '../worker/plan/layout.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import { HUGE_BYTES } from './snapshot-memory.js'

export interface RunMemory {
  /** The plan and its layout; where ranks share memory, they follow from where the arena begins. */
  readonly plan: RunPlan
  readonly layout: Layout
  readonly backend: Backend
  readonly memory: WebAssembly.Memory
  readonly module: WebAssembly.Module | null
}

/**
 * Allocates the arena, or takes one that is there and has the same layout; opens the plan's library in this thread and compiles the
 * module. Throws RunError where memory is refused.
 */
export async function openMemory(plan: RunPlan, layout: Layout, there?: WebAssembly.Memory): Promise<RunMemory> {
  const backend = await loadBackend(plan.backend, plan.precision)
  const memory = there ?? createArena(layout.bytes)
  const { library } = plan
  if (!there && (library || layout.bytes > HUGE_BYTES)) await adviseHugePages(memory.buffer)
  if (library) {
    // Open the library before any worker does: see kernels/native/open.ts.
    await openNative(library)
  }
  const { host } = plan
  const placed = host ? { ...plan, host: { ...host, hugeOffset: await hugeOffset(memory) } } : plan
  return {
    ...{ plan: placed, layout: host ? planLayout(placed, backend) : layout, backend, memory },
    module: await backend.compile(),
  }
}

interface Place {
  readonly layout: Layout
  readonly memory: WebAssembly.Memory
}

/** Bytes that are moved at a time. */
const MOVED_BYTES = 2 ** 22

/**
 * Moves the loaded data (features, labels, targets, weights, scaling, sample indices) to the memory of another plan of the same run: those
 * slots have the same shapes with every backend and any number of workers. What has been moved is given back to the system, so that the
 * data are not twice in memory; nobody may read `from` any more.
 */
export async function moveData(from: Place, to: Place): Promise<void> {
  for (const [source, target] of dataSlots(from.layout).map((slot, i) => [slot, dataSlots(to.layout)[i]] as const)) {
    if (!source || !target) continue
    const into = viewSlot(to.memory, target).data
    const { data } = viewSlot(from.memory, source)
    const bytes = bytesPerElement[source.dtype]
    const most = MOVED_BYTES / bytes
    for (let at = 0; at < data.length; at += most) {
      const piece = data.subarray(at, at + most)
      into.set(piece, at)
      const begin = source.byteOffset + bytes * at
      // With the page that the piece before has a part of.
      const first = Math.max(source.byteOffset, begin - PAGE_BYTES)
      await releaseRanges(from.memory.buffer, [{ from: first, to: begin + piece.byteLength }])
    }
  }
}

/** Slots of the loaded data, the same list for every plan of a run; null: the run has none. */
export function dataSlots({ features, labels, targets, weights, scaling, sampleIndices }: Layout): (Slot | null)[] {
  return [
    ...[features.train, features.test, labels.train, labels.test, targets.train, targets.test, weights],
    ...[scaling?.offset ?? null, scaling?.factor ?? null],
    ...[sampleIndices.train, sampleIndices.validation, sampleIndices.test],
  ]
}
