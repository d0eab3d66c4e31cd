/** Memory and module of a plan, before any worker opens it; also copies of its data. Main thread, while no worker runs. */
import { adviseHugePages } from '../ffi/memory.js'
import type { Backend } from '../kernels/backend.js'
import { loadBackend } from '../kernels/backends.js'
import { openNative } from '../kernels/native/open.js'
import { createArena, type Slot, viewSlot } from '../tensor/arena.js'
import type { Layout } from '../worker/plan/layout.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import { HUGE_BYTES } from './snapshot-memory.js'

export interface RunMemory {
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
  return { backend, memory, module: await backend.compile() }
}

interface Place {
  readonly layout: Layout
  readonly memory: WebAssembly.Memory
}

/**
 * Copies the loaded data (features, labels, targets, weights, scaling, sample indices) to the memory of another plan of the same run: those
 * slots have the same shapes with every backend and any number of workers.
 */
export function copyData(from: Place, to: Place): void {
  for (const [source, target] of dataSlots(from.layout).map((slot, i) => [slot, dataSlots(to.layout)[i]] as const)) {
    if (source && target) viewSlot(to.memory, target).data.set(viewSlot(from.memory, source).data)
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
