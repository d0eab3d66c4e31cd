/** The network and the mini-batch that the speed bars are about. Constants only; any thread. */
import type { BackendChoice } from './backends.js'
import { type LabOptions, REFERENCE_HIDDEN } from './lab.js'

/** Units at every layer boundary. */
export const REFERENCE_WIDTHS: readonly number[] = [784, ...REFERENCE_HIDDEN, 10]
export const REFERENCE_BATCH = 256
export const REFERENCE_DROPOUT = 0.3
export const REFERENCE_L2 = 0.05

/** A lab that trains it. */
export const referenceLab = (workers: number, backend: BackendChoice): LabOptions => ({
  hidden: REFERENCE_HIDDEN,
  batchSize: REFERENCE_BATCH,
  workers,
  dropout: REFERENCE_DROPOUT,
  l2: REFERENCE_L2,
  backend,
})
