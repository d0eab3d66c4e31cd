/** Binds the optimizers of assembly/optimizers.ts, and what else passes over contiguous parameters. Runs in workers. */
import type { OptimizerStep } from '../../model/optimizer.js'
import { byteOffsetOf, type FloatTensor } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { Tile } from '../backend.js'

/**
 * Applies an optimizer to n contiguous floats of a weight or a bias at `w`, with its moments. The gradient at `g` may be
 * clipped in place. All are byte offsets in the arena.
 */
export type Apply = (
  w: number,
  moments: readonly number[],
  g: number,
  n: number,
  kind: 'weight' | 'bias',
  step: OptimizerStep,
) => void

/** Scalars of a step of Adam, in the order of the WASM module's functions. */
export function adamScalars(
  { stepSize, beta1, beta2, secondCorrection, epsilon }: OptimizerStep,
  decay: number,
  weightDecay: number,
) {
  return [stepSize, beta1, 1 - beta1, beta2, 1 - beta2, secondCorrection, epsilon, decay, weightDecay] as const
}

export const isAdam = ({ type }: OptimizerStep): boolean => type === 'adam' || type === 'adamw'

export function bindOptimizer(wasm: WasmExports): Apply {
  return (w, [first, second], g, n, kind, step) => {
    const { stepSize, beta1, beta2, epsilon, clip } = step
    const decay = kind === 'weight' ? step.l2 : 0
    const weightDecay = kind === 'weight' ? step.decoupledDecay : 0
    // A pass of its own, over what is in the cache: without a limit it costs nothing.
    if (clip < Number.POSITIVE_INFINITY) wasm.clip(g, n, clip)
    switch (step.type) {
      case 'adam':
      case 'adamw':
        return wasm.adam(w, first, second, g, n, ...adamScalars(step, decay, weightDecay))
      case 'momentum':
        return wasm.momentum(w, first, g, n, stepSize, beta1, 1 - beta1, decay, weightDecay)
      case 'nesterov':
        return wasm.nesterov(w, first, g, n, stepSize, beta1, decay, weightDecay)
      case 'rmsprop':
        return wasm.rmsprop(w, first, g, n, stepSize, beta2, 1 - beta2, epsilon, decay, weightDecay)
      case 'lion':
        return wasm.lion(w, first, g, n, stepSize, beta1, 1 - beta1, beta2, 1 - beta2, decay, weightDecay)
      case 'sgd':
        return wasm.sgd(w, g, n, stepSize, decay, weightDecay)
      default:
        return step.type satisfies never
    }
  }
}

/** Visits a tile's, or range's, contiguous runs in a fixed order: bytes from the first weight of the matrix, floats. */
export type EachRun<T = Tile> = (tile: T, visit: (offset: number, n: number) => void) => void

/** Passes over a tile that need to know no more than its runs. `master`: byte offset of the first weight. */
export function bindRuns<T>(
  wasm: WasmExports,
  master: number,
  eachRun: EachRun<T>,
): {
  squares(buffer: FloatTensor, tile: T): number
  scale(buffer: FloatTensor, tile: T, factor: number): void
  average(average: FloatTensor, tile: T, share: number): void
} {
  return {
    squares(buffer, tile) {
      const at = byteOffsetOf(buffer)
      let sum = 0
      eachRun(tile, (offset, n) => {
        sum += wasm.squares(at + offset, n)
      })
      return sum
    },
    scale(buffer, tile, factor) {
      const at = byteOffsetOf(buffer)
      eachRun(tile, (offset, n) => wasm.scale(at + offset, n, factor))
    },
    average(average, tile, share) {
      const at = byteOffsetOf(average)
      eachRun(tile, (offset, n) => wasm.approach(at + offset, master + offset, n, share))
    },
  }
}
