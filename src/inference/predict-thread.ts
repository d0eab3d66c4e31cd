/** Thread that predicts for a `Predictor`: piscina calls the default export with samples, one task after the other. */
import { workerData } from 'node:worker_threads'
import type { Features } from '../data/source.js'
import { RunError } from '../errors.js'
import { Forward, type SharedModel } from './forward.js'
import { type Outcome, outcomeOf } from './outcome.js'

/** Data of every thread of a pool. */
export interface ThreadData {
  readonly model: SharedModel
  /** Number of threads that have begun: each takes the next batch buffers. */
  readonly begun: Int32Array // (1)
}

/** Opens the network for this thread. The thread that opened the model is number 0. */
export function openForward({ model, begun }: ThreadData): Promise<Forward> {
  const thread = 1 + Atomics.add(begun, 0, 1)
  if (thread < model.plan.workers) return Forward.open(model, thread)
  throw new RunError('a thread of the predictor has ended, expected all to run until `close`', {
    hint: 'open the model again',
  })
}

let opening: Promise<Forward> | undefined

/** Outputs (B, K) of samples (B, F); for null, nothing, after the pass that all threads run together. */
export default function outputs(samples: Features | null): Promise<Outcome<Float32Array | null>> {
  return outcomeOf(async () => {
    opening ??= openForward(workerData as ThreadData)
    const forward = await opening
    if (samples !== null) return forward.outputs(samples)
    forward.join()
    return null
  })
}
