/** Thread that makes lines of predictions: piscina calls the default export with one chunk after the other. */
import { workerData } from 'node:worker_threads'
import { type Outcome, outcomeOf } from '../outcome.js'
import { openForward, type ThreadData } from '../predict-thread.js'
import { LineMaker, type LinesSpec } from './lines.js'
import type { OutputValues } from './predictions.js'
import { chunkOf, type SharedChunk } from './shared-chunk.js'

/** Data of every thread of a pool. */
export interface LinesThreadData extends ThreadData {
  readonly spec: LinesSpec
}

export interface LinesTask {
  readonly chunk: SharedChunk
  /** Place of the lines. */
  readonly into: SharedArrayBuffer
}

/** Lines that are in `into`, or in a larger place where they had no room in it. */
export interface LinesDone {
  readonly bytes: number
  readonly into: SharedArrayBuffer | null
  readonly types: readonly OutputValues['type'][]
}

let opening: Promise<LineMaker> | undefined

export default function makeLines({ chunk, into }: LinesTask): Promise<Outcome<LinesDone>> {
  return outcomeOf(async () => {
    opening ??= open(workerData as LinesThreadData)
    const { bytes, types } = (await opening).lines(chunkOf(chunk))
    const isRoomy = bytes.length <= into.byteLength
    const room = isRoomy ? into : new SharedArrayBuffer(bytes.length + bytes.length / 8)
    new Uint8Array(room).set(bytes)
    return { bytes: bytes.length, into: isRoomy ? null : room, types }
  })
}

async function open(data: LinesThreadData): Promise<LineMaker> {
  return new LineMaker(data.spec, await openForward(data))
}
