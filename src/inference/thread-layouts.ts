/**
 * Memory of a network that several threads run at a time: one copy of the weights, and for each thread batch buffers and scratch
 * memory of its own. Computed from the plan alone, by every thread for itself. Pure; any thread.
 */
import type { Backend } from '../kernels/backend.js'
import type { Slot } from '../tensor/arena.js'
import type { Dtype } from '../tensor/tensor.js'
import { type Layout, type MatrixSlot, planLayout } from '../worker/plan/layout.js'
import type { RunPlan } from '../worker/plan/run-plan.js'

/**
 * Most samples of a pass, of which `evaluate` takes as many: where the bits of a product depend on its rows, answers are those that it
 * scores. A caller that divides samples among threads must divide them at multiples of this.
 */
export const PASS_ROWS = 256

export interface ThreadLayouts {
  /** Layout of each thread; the plan has a worker for each. The last one is that of a pass that they run together. */
  readonly layouts: readonly Layout[]
  /** Bytes of the memory for all of them. */
  readonly bytes: number
}

/** Bytes that the gather of a last, short row may read past its end. */
const END_BYTES = 64

export function threadLayouts(plan: RunPlan, backend: Backend): ThreadLayouts {
  const first = planLayout(plan, backend)
  const { reservations } = first
  const layouts = Array.from({ length: plan.workers + 1 }, (_, thread): Layout => {
    if (thread === 0) return first
    const again = <T extends Dtype, S extends Slot<T>>(slot: S): S => ({
      ...slot,
      ...reservations.reserve(`${slot.name} of thread ${thread}`, slot.dtype, slot.shape),
    })
    const matrix = (of: MatrixSlot): MatrixSlot => ({ ...of, slot: again(of.slot) })
    const { batch, embedded, labels, targets, features } = first
    return {
      ...first,
      batch: {
        ...batch,
        samples: again(batch.samples),
        losses: again(batch.losses),
        correct: again(batch.correct),
      },
      activations: first.activations.map(matrix),
      layers: first.layers.map(layer => ({
        ...layer,
        inner: layer.inner && { outputs: matrix(layer.inner.outputs), deltas: null },
      })),
      embedded: embedded && { ...embedded, indices: again(embedded.indices) },
      labels: { ...labels, test: again(labels.test) },
      targets: { ...targets, test: again(targets.test) },
      features: { ...features, test: again(features.test) },
    }
  })
  reservations.reserve('end of all threads', 'uint8', [END_BYTES])
  return { layouts, bytes: reservations.bytes }
}

/** Layout whose batch buffers all threads share. */
export const sharedLayout = (plan: RunPlan, backend: Backend): Layout =>
  threadLayouts(plan, backend).layouts[plan.workers]
