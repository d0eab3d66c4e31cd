/**
 * The loss behind the last layer, whose bias it adds: losses, hits, and the deltas of the logits. Returns
 * `fault.loss` where they are not finite. Bound to one worker's kernels; runs in workers and in the predictor.
 */
import type { Kernels } from '../../kernels/backend.js'
import { viewSlot } from '../../tensor/arena.js'
import type { Matrix } from '../../tensor/tensor.js'
import { fault } from '../plan/faults.js'
import type { Layout } from '../plan/layout.js'
import type { RunPlan } from '../plan/run-plan.js'
import { bindForward } from './forward.js'
import { mixerOf } from './input.js'
import type { LayerContext, Network } from './network.js'

export function bindLoss(
  plan: RunPlan,
  layout: Layout,
  memory: WebAssembly.Memory,
  kernels: Kernels,
  z: Matrix, // (B, C) logits; overwritten
  last: Pick<LayerContext, 'tensors' | 'average'>,
  batch: Network['batch'],
): Network['loss'] {
  const { samples, losses, correct } = batch
  const mixer = mixerOf(plan, layout, memory)
  const bound = bindForward({ ...last, before: null }, ({ vectors }) => {
    const args = { z, bias: vectors.get('bias')!, samples, losses, correct }
    const weights = layout.weights && viewSlot(memory, layout.weights)
    const lossOf = (from: 'train' | 'test') => {
      const ofSamples = { ...args, weights: from === 'train' ? weights : null }
      const targets = viewSlot(memory, layout.targets[from])
      switch (plan.loss) {
        case 'cross-entropy':
          return kernels.softmaxLoss({
            ...ofSamples,
            labels: viewSlot(memory, layout.labels[from]),
            smoothing: plan.labelSmoothing,
            ...(mixer && from === 'train' && { mixed: mixer }),
          })
        case 'binary-cross-entropy':
          return kernels.sigmoidLoss({ ...ofSamples, targets })
        case 'mean-squared-error':
          return kernels.squaredLoss({ ...ofSamples, targets })
      }
    }
    return { train: lossOf('train'), test: lossOf('test') }
  })
  return (pass, { row, rows }) => {
    if (pass.deltaScale > 0) mixer?.mix(row, rows, pass.epoch)
    return bound.of(pass)[pass.images](row, rows, pass.deltaScale) ? 0 : fault.loss
  }
}
