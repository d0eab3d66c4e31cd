/**
 * Training state in a checkpoint, besides its tensors: everything that decides what happens next, and what the summary
 * adds up. Stored as JSON in the metadata of the file; validated when it is read. Pure.
 */
import { inspect } from 'node:util'
import { z } from 'zod'
import { valueAt } from '../config/problems.js'
import { SCORE_NAMES } from '../config/scores.js'
import { CheckpointError } from '../formats/safetensors.js'

const score = z.strictObject({
  loss: z.number(),
  accuracy: z.number().optional(),
  ...Object.fromEntries(SCORE_NAMES.map(name => [name, z.number().nullable().optional()])),
  reasons: z.record(z.string(), z.string()).optional(),
})

const trainingState = z.strictObject({
  /** Sums over the rows of the epoch so far. */
  sums: z.strictObject({ loss: z.number(), correct: z.number(), rows: z.number() }),
  /** Score of the last finished epoch; null: none yet, not finite, or no validation split. */
  validation: score.nullable(),
  /** The checkpoint with the best score so far, this one included. */
  best: z.strictObject({ step: z.int().min(0), metric: z.string(), value: z.number() }).nullable(),
  /** The checkpoint to roll back to: the newest that the policy asked for by steps or epochs. */
  rollback: z.int().min(0).nullable(),
  /** The one on schedule before that. */
  rollbackBefore: z.int().min(0).nullable().default(null),
  /** Early stopping and plateaus; see coordinator/early-stopping.ts. */
  standing: z.strictObject({
    /** The epoch with the best score: the step it ended at. */
    best: z.strictObject({ step: z.int().min(0), value: z.number() }).nullable(),
    /** Epochs since; and epochs since then or since the last reduction of the learning rate, which its factor counts. */
    waited: z.int().min(0),
    plateau: z.int().min(0),
    rateFactor: z.number().min(0),
  }),
  /** Skips and rollbacks so far, and the resulting factor on the learning rate. */
  nonFinite: z.int().min(0),
  rateFactor: z.number().positive(),
  /** Seconds of training before this step, and training samples seen in them. */
  seconds: z.number().min(0),
  rows: z.int().min(0),
  /** Facts that determine the bits before this step; with others, it would not be the same run. */
  bits: z.strictObject({
    backend: z.string(),
    library: z.string().nullable(),
    allReduce: z.string(),
    shardRows: z.int(),
    /** Digests of the data files, in order. */
    data: z.array(z.string()),
  }),
})

export type TrainingState = z.infer<typeof trainingState>
export type BestCheckpoint = NonNullable<TrainingState['best']>

/** Facts that determine the bits of a checkpoint's weights, from its training state; null where they are not recorded. */
export function bitsOf(value: unknown): TrainingState['bits'] | null {
  return trainingState.shape.bits.safeParse((value as { bits?: unknown } | null | undefined)?.bits).data ?? null
}

/** Throws CheckpointError if the file holds weights alone, or something else. */
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
