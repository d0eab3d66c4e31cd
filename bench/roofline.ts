/**
 * The dense roofline of a training step: the least time that a machine of this many GFLOP/s and GB/s needs. Pure; any
 * thread. Test: node dist/test/bench/roofline.test.js
 *
 * `I` inputs and `O` outputs of a layer, `B` rows of the mini-batch. Dense: multiplications by zero count. Kernels that
 * skip zeros, as those of `wasm` do, can be faster than that.
 */

/** Work of a step, independent of the implementation. */
export interface StepWork {
  /** Floating-point operations of the products alone: forward and weight gradient of all layers, backward of all but the first. */
  readonly flops: number
  /** Adam reads and writes a parameter and its two moments, 4 bytes each. */
  readonly updateBytes: number
  /** Weights read once for the forward pass, and once for the backward pass. */
  readonly weightBytes: number
}

const FLOAT_BYTES = 4
/** Read w, m, v; write w, m, v. */
const UPDATE_BYTES = 6 * FLOAT_BYTES

const sumOver = (widths: readonly number[], of: (inputs: number, outputs: number) => number): number =>
  widths.slice(1).reduce((sum, outputs, i) => sum + of(widths[i], outputs), 0)

/** widths: units at every layer boundary. bytesPerWeight: what the products read a weight in, 2 for bf16. */
export function stepWork(widths: readonly number[], rows: number, bytesPerWeight = FLOAT_BYTES): StepWork {
  const weights = sumOver(widths, (inputs, outputs) => inputs * outputs)
  const parameters = weights + sumOver(widths, (_, outputs) => outputs)
  const first = widths[0] * widths[1]
  return {
    flops: 2 * rows * (3 * weights - first),
    updateBytes: UPDATE_BYTES * parameters,
    weightBytes: bytesPerWeight * (2 * weights - first),
  }
}

/** FLOPs of scoring rows: the forward pass alone. */
export const forwardFlops = (widths: readonly number[], rows: number): number =>
  2 * rows * sumOver(widths, (inputs, outputs) => inputs * outputs)

/** Measured peaks of the machine, with as many threads as the step has workers. */
export interface Roof {
  readonly gflops: number
  /** GB/s, 10^9 bytes. */
  readonly gbytes: number
}

export interface Roofline {
  readonly arithmeticSeconds: number
  readonly trafficSeconds: number
  /** The roofline: arithmetic and memory traffic at the same time, so the longer of the two. */
  readonly seconds: number
  /** Bound without overlap: arithmetic and traffic one after the other. */
  readonly sequentialSeconds: number
}

export function rooflineOf({ flops, updateBytes, weightBytes }: StepWork, { gflops, gbytes }: Roof): Roofline {
  const arithmeticSeconds = flops / (gflops * 1e9)
  const trafficSeconds = (updateBytes + weightBytes) / (gbytes * 1e9)
  return {
    arithmeticSeconds,
    trafficSeconds,
    seconds: Math.max(arithmeticSeconds, trafficSeconds),
    sequentialSeconds: arithmeticSeconds + trafficSeconds,
  }
}
