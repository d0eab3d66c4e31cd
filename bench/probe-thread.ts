/**
 * A thread of probe.ts. Arithmetic: the library's product of matrices that stay in the caches, or the micro-kernel of
 * `wasm`. Traffic: a += b over two buffers larger than the last-level cache, as plain as STREAM's triad, but in place as
 * Adam is: nothing is read only to be overwritten, so that the counted bytes are all there are.
 */
import { performance } from 'node:perf_hooks'
import { parentPort, workerData } from 'node:worker_threads'
import { instantiateWasm, type WasmExports } from '../src/kernels/abi.js'
import type { Precision } from '../src/kernels/backend.js'
import { compileWasm } from '../src/kernels/module/compile.js'
import { openProducts } from '../src/kernels/native/open-products.js'
import type { NativeLibrary } from '../src/kernels/products.js'
import { createArena, Reservations, viewSlot } from '../src/tensor/arena.js'
import { fill, MICRO_FLOATS, microPiece, type Piece } from './gemm-products.js'
import { CACHED_FLOATS, cachedBf16Product, cachedProduct } from './native.js'

export interface ThreadData {
  readonly library: NativeLibrary | null
  readonly precision: Precision
  readonly bufferBytes: number
}

export interface Question {
  readonly kind: 'arithmetic' | 'traffic'
  /** Two words: threads that have come, and 1 when all have. */
  readonly gate: SharedArrayBuffer
  readonly threads: number
}

export interface Answer {
  /** FLOPs or bytes in a second of this thread. */
  readonly rate: number
  /** Name of the arithmetic. */
  readonly what: string
}

const SAMPLE_MS = 25
const FLOAT_BYTES = 4
/** Read both, write one. */
const STREAMS = 3
/** Floats that are added at once, so that a sample ends in time. */
const CHUNK = 2 ** 20

const port = parentPort!
const { library, precision, bufferBytes } = workerData as ThreadData

const at = new Reservations()
const floats = Math.floor(bufferBytes / FLOAT_BYTES / CHUNK) * CHUNK || CHUNK
const to = at.reserve('to', 'float32', [floats])
const from = at.reserve('from', 'float32', [floats])
const operands = at.reserve('operands', 'float32', [Math.max(CACHED_FLOATS, MICRO_FLOATS)])
const memory = createArena(at.bytes)
for (const slot of [to, from, operands]) fill(viewSlot(memory, slot).data)
const wasm = instantiateWasm(await compileWasm(), memory)
const arithmetic = await arithmeticPiece(wasm)

async function arithmeticPiece(kernels: WasmExports): Promise<Piece & { what: string }> {
  if (!library) {
    const what = 'the micro-kernel of wasm, operands in the first-level cache'
    return { ...microPiece(kernels, memory, operands.byteOffset), what }
  }
  const opened = await openProducts(library, precision, memory)
  const cached = precision === 'bf16' ? cachedBf16Product : cachedProduct
  const product = cached(opened, memory, operands)
  return { ...product, what: `${library.name}'s product of ${product.size} matrices, in the caches` }
}

let chunk = 0
const traffic: Piece = {
  flops: STREAMS * FLOAT_BYTES * CHUNK, // bytes
  run() {
    const offset = chunk * CHUNK * FLOAT_BYTES
    wasm.add(to.byteOffset + offset, from.byteOffset + offset, CHUNK)
    chunk = (chunk + 1) % (floats / CHUNK)
  },
}

/** All threads start together: the last to come wakes the others. */
function pass(gate: Int32Array, threads: number): void {
  if (Atomics.add(gate, 0, 1) === threads - 1) {
    Atomics.store(gate, 1, 1)
    Atomics.notify(gate, 1)
  }
  while (Atomics.load(gate, 1) === 0) Atomics.wait(gate, 1, 0)
}

function rateOf({ flops, run }: Piece): number {
  const started = performance.now()
  let runs = 0
  let ms = 0
  while (ms < SAMPLE_MS) {
    run()
    runs++
    ms = performance.now() - started
  }
  return (1000 * runs * flops) / ms
}

port.on('message', ({ kind, gate, threads }: Question) => {
  pass(new Int32Array(gate), threads)
  const rate = rateOf(kind === 'arithmetic' ? arithmetic : traffic)
  port.postMessage({ rate, what: arithmetic.what } satisfies Answer)
})
port.postMessage({ rate: 0, what: arithmetic.what } satisfies Answer)
