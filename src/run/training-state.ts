/**
 * What a checkpoint says about a run beside its tensors: all that decides what happens next, and what the summary sums
 * up. Stored as JSON in the metadata of the file; checked when it is read. Pure.
 */
import { inspect } from 'node:util'
import { z } from 'zod'
import { CheckpointError } from '../formats/safetensors.js'

const score = z.strictObject({
  loss: z.number(),
  accuracy: z.number().optional(),
  r2: z.number().nullable().optional(),
  rmse: z.number().optional(),
})

const trainingState = z.strictObject({
  /** Sums over the rows of the epoch so far. */
  sums: z.strictObject({ loss: z.number(), correct: z.number(), rows: z.number() }),
  /** Score of the last finished epoch; null: none yet, not finite, or no validation rows. */
  validation: score.nullable(),
  /** The checkpoint with the best score so far, this one included. */
  best: z.strictObject({ step: z.int().min(0), metric: z.string(), value: z.number() }).nullable(),
  /** The checkpoint to go back to when numbers overflow: the newest that the policy asked for by steps or epochs. */
  rollback: z.int().min(0).nullable(),
  /** Early stopping and plateaus; see coordinator/early-stopping.ts. */
  standing: z.strictObject({
    /** The epoch with the best score: the step it ended at. */
    best: z.strictObject({ step: z.int().min(0), value: z.number() }).nullable(),
    /** Epochs since, and since then or the last fall of the learning rate, which its factor counts. */
    waited: z.int().min(0),
    plateau: z.int().min(0),
    rateFactor: z.number().min(0),
  }),
  /** Skips and rollbacks so far, and what multiplies the learning rate since. */
  nonFinite: z.int().min(0),
  rateFactor: z.number().positive(),
  /** Seconds of training before this step, and training rows seen in them. */
  seconds: z.number().min(0),
  rows: z.int().min(0),
  /** What the bits before this step came from; a run that goes on elsewhere would not be the same run. */
  bits: z.strictObject({
    backend: z.string(),
    library: z.string().nullable(),
    allReduce: z.string(),
    shardRows: z.int(),
    /** Of the data files that were read, in order. */
    data: z.array(z.string()),
  }),
})

export type TrainingState = z.infer<typeof trainingState>
export type BestCheckpoint = NonNullable<TrainingState['best']>

/** Throws CheckpointError where the file holds weights alone, or something else. */
export function parseTrainingState(file: string, value: unknown): TrainingState {
  if (value === null || value === undefined) {
    throw new CheckpointError(`${file}: has weights but no training state, expected a checkpoint to resume from`, {
      hint: 'npx gradloom train <experiment> --from <checkpoint> starts a new run from these weights',
    })
  }
  const { data, error } = trainingState.safeParse(value)
  if (data) return data
  const [{ path, message }] = error.issues
  throw new CheckpointError(
    `${file}: metadata training.${path.join('.')}: ${message}; it is ${inspect(valueAt(value, path))}`,
  )
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value)
}
