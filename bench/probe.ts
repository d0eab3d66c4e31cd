/**
 * Peaks of the machine with all threads at once: GFLOP/s of the fastest code for a data type, and GB/s
 * of memory. Main thread; probe-thread.ts measures, in threads of its own that sleep between two samples.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { RunError } from '../src/errors.js'
import { openNative } from '../src/kernels/native/open.js'
import type { Variant } from './backends.js'
import { lastLevelBytes } from './cpu.js'
import type { Answer, Question, ThreadData } from './probe-thread.js'

/** The largest buffer; a thread takes two. */
const MOST_BYTES = 256 * 2 ** 20

/** Sums over the threads, in one moment. */
export interface ProbeSample {
  readonly gflops: number
  /** GB/s, 10^9 bytes. */
  readonly gbytes: number
}

export interface Probe {
  /** Method of measuring the GFLOP/s and the GB/s. */
  readonly what: { readonly gflops: string; readonly gbytes: string }
  /** Measures with this many threads, about 60 ms. */
  sample(threads: number): Promise<ProbeSample>
  close(): Promise<void>
}

export async function openProbe({ library, precision }: Variant, threads: number): Promise<Probe> {
  // The main thread opens a library before any worker does: src/kernels/native/open.ts says why.
  if (library) await openNative(library)
  const bufferBytes = Math.min(2 * lastLevelBytes(), MOST_BYTES)
  const workers = Array.from({ length: threads }, () => {
    const workerData: ThreadData = { library, precision, bufferBytes }
    const worker = new Worker(new URL('./probe-thread.js', import.meta.url), { workerData })
    // A thread that is gone does not answer; `once` itself rejects on 'error'.
    const gone = once(worker, 'exit').then(() => {
      throw new RunError('bench: a thread that measures the machine ended')
    })
    gone.catch(() => {})
    return { worker, next: () => Promise.race([once(worker, 'message'), gone]) as Promise<[Answer]> }
  })
  const close = async () => {
    await Promise.all(workers.map(({ worker }) => worker.terminate()))
  }
  const ask = async (count: number, kind: Question['kind']): Promise<number> => {
    const gate = new SharedArrayBuffer(8)
    const asked = workers.slice(0, count)
    const answers = Promise.all(asked.map(({ next }) => next()))
    for (const { worker } of asked) worker.postMessage({ kind, gate, threads: count } satisfies Question)
    return (await answers).reduce((sum, [{ rate }]) => sum + rate, 0) / 1e9
  }
  try {
    const [[{ what }]] = await Promise.all(workers.map(({ next }) => next()))
    return {
      what: { gflops: what, gbytes: `a += b in WASM SIMD, two buffers of ${mib(bufferBytes)} a thread` },
      sample: async count => ({ gflops: await ask(count, 'arithmetic'), gbytes: await ask(count, 'traffic') }),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`
