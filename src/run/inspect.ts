/**
 * Contents of a file of tensors: header, sizes, digests, position, and statistics of every tensor. Main thread; reads
 * piece by piece, so that memory does not grow with the file.
 */
import { stat } from 'node:fs/promises'
import type { TensorEntry } from '../formats/safetensors.js'
import { TensorFile } from '../formats/tensor-file.js'
import { floatsOf } from '../tensor/bf16.js'
import { type Checkpoint, checkpointOf, isMoment, verifyDigests } from './checkpoint-file.js'

export interface TensorStatistics {
  readonly name: string
  /** Data type as the file names it; an unknown one has no statistics. */
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: number
  /** Statistics of the finite values; null if there are none, or if the type is neither F32 nor BF16. */
  readonly min: number | null
  readonly max: number | null
  readonly mean: number | null
  readonly nan: number
  readonly infinite: number
}

export interface Inspection {
  readonly file: string
  readonly bytes: number
  /** Metadata of the checkpoint. */
  readonly checkpoint: Checkpoint
  /** Number of values in parameters, and in the optimizer's moments. */
  readonly parameters: number
  readonly moments: number
  readonly tensors: readonly TensorStatistics[]
}

/** Inspects a checkpoint. Rejects with CheckpointError if the file is not one, or its header does not fit its size. */
export async function inspectCheckpoint(file: string): Promise<Inspection> {
  const tensors = await TensorFile.open(file)
  try {
    const checkpoint = checkpointOf(tensors)
    const statistics: TensorStatistics[] = []
    for (const entry of tensors.header.tensors.values()) statistics.push(await statisticsOf(tensors, entry))
    const count = (wanted: (name: string) => boolean) =>
      statistics.reduce((sum, { name, shape }) => sum + (wanted(name) ? shape.reduce((a, b) => a * b, 1) : 0), 0)
    return {
      file,
      bytes: (await stat(file)).size,
      checkpoint,
      parameters: count(name => !isMoment(name)),
      moments: count(isMoment),
      tensors: statistics,
    }
  } finally {
    await tensors.close()
  }
}

/** Reads the whole file and checks its digests. Rejects with CheckpointError if something is wrong. */
export async function verifyCheckpoint(file: string): Promise<Checkpoint> {
  const tensors = await TensorFile.open(file)
  try {
    return await verifyDigests(tensors)
  } finally {
    await tensors.close()
  }
}

async function statisticsOf(tensors: TensorFile, entry: TensorEntry): Promise<TensorStatistics> {
  const { name, dtype, shape, begin, end } = entry
  let [min, max, sum, finite, nan, infinite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0, 0]
  if (dtype === 'F32' || dtype === 'BF16') {
    for await (const piece of tensors.pieces(name)) {
      for (const value of floatsOf(piece, dtype)) {
        if (Number.isFinite(value)) {
          min = Math.min(min, value)
          max = Math.max(max, value)
          sum += value
          finite++
        } else if (Number.isNaN(value)) nan++
        else infinite++
      }
    }
  }
  const some = finite > 0
  return {
    ...{ name, dtype, shape, bytes: end - begin },
    ...{ min: some ? min : null, max: some ? max : null, mean: some ? sum / finite : null },
    ...{ nan, infinite },
  }
}
