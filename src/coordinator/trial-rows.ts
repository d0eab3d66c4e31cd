/**
 * Samples that a trial trains on: a few of the run's own training samples, so that products meet the zeros that they will meet.
 * Main thread, after the data are loaded.
 */
import { type Slot, viewSlot } from '../tensor/arena.js'
import type { Dtype, TensorData } from '../tensor/tensor.js'
import { rowsPerStep } from '../worker/plan/clock.js'
import type { Layout } from '../worker/plan/layout.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import { placeOfKept } from '../worker/plan/windows.js'

/** A plan with its data in memory. */
export interface Loaded {
  /** With the rows of the splits. */
  readonly plan: RunPlan
  readonly layout: Layout
  readonly memory: WebAssembly.Memory
}

/** Rows from which the shuffle at the start of an epoch is a small part of its steps. */
const ENOUGH_ROWS = 2048

/** Plan of a trial: whole steps of the run over few of its rows, all in memory, from weights that are drawn in little time. */
export function trialPlan(plan: RunPlan, trainRows: number): RunPlan {
  const rows = rowsPerStep(plan)
  const steps = Math.min(Math.floor(trainRows / rows), Math.max(2, Math.ceil(ENOUGH_ROWS / rows)))
  const train = steps === 0 ? trainRows : steps * rows // fewer rows than a step has: one short step, as in the run
  return {
    ...plan,
    rows: { train, validation: 0, test: 0 },
    images: { train, test: 0 },
    windows: null,
    init: 'he-uniform',
  }
}

/** Copies samples, evenly spaced over the rows in memory, to the memory of a trial. */
export function copySamples(from: Loaded, to: Loaded): void {
  const rows = to.plan.rows.train
  const places = placesOf(from)
  const slots = [from.layout, to.layout] as const
  const viewsOf = <T extends Dtype>(slotOf: (layout: Layout) => Slot<T>): readonly [TensorData[T], TensorData[T]] => [
    viewSlot(from.memory, slotOf(slots[0])).data,
    viewSlot(to.memory, slotOf(slots[1])).data,
  ]
  const features = viewsOf<'uint8' | 'float32'>(({ features }) => features.train)
  const labels = viewsOf(({ labels }) => labels.train)
  const targets = viewsOf(({ targets }) => targets.train)
  const weights = from.layout.weights && viewsOf(({ weights }) => weights!)
  const indices = viewSlot(to.memory, to.layout.sampleIndices.train).data
  const hasTargets = to.layout.targets.train.shape[0] > 0
  for (let row = 0; row < rows; row++) {
    indices[row] = row
    const { sample, place } = places(row / rows)
    if (place === null) fillRow(features[1], row, from.plan.features)
    else copyRow(features, place, row, from.plan.features)
    copyRow(labels, sample, row, 1)
    if (hasTargets) copyRow(targets, sample, row, to.layout.targets.train.shape[1])
    if (weights) copyRow(weights, sample, row, 1)
  }
  if (!from.layout.scaling) return
  for (const name of ['offset', 'factor'] as const) {
    const [source, target] = viewsOf(({ scaling }) => scaling![name])
    target.set(source)
  }
}

/**
 * Returns what gives the sample at a fraction from 0 to 1 of the samples in memory: its index, and the row of its features there. Where
 * training rows are loaded in windows, none is in memory yet, and validation rows stand in for them; null: there are none either.
 */
function placesOf({ plan, layout, memory }: Loaded): (at: number) => { sample: number; place: number | null } {
  const { windows, rows } = plan
  const split = windows === null ? 'train' : 'validation'
  const indices = viewSlot(memory, layout.sampleIndices[split]).data
  return at => {
    const i = Math.floor(at * rows[split])
    if (windows === null) return { sample: indices[i], place: indices[i] }
    return rows[split] === 0 ? { sample: 0, place: null } : { sample: indices[i], place: placeOfKept(windows) + i }
  }
}

type Data = TensorData[Dtype]

function copyRow([source, target]: readonly [Data, Data], from: number, to: number, width: number): void {
  target.set(source.subarray(from * width, (from + 1) * width), to * width)
}

/** Numbers of no pattern between -1 and 1, none of them 0: rows of a table that is not in memory. */
function fillRow(target: Uint8Array | Float32Array, row: number, width: number): void {
  for (let i = row * width; i < (row + 1) * width; i++) target[i] = ((i * 2_654_435_761) % 2_001) / 1000.5 - 1
}
