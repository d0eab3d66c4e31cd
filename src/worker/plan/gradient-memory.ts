/** Number of gradients that a run keeps of a parameter: a function of the plan. Pure; any thread. */
import type { LayerSpec, Parameter } from '../../model/layers/layer.js'
import type { RunPlan } from './run-plan.js'
import { mostGroups } from './sharing.js'
import { groupCount, keepsGradient } from './tiles.js'

/** Groups of samples or rows, of which a parameter's gradients are kept apart. */
export function gradientsOfGroups(plan: RunPlan, kind: Parameter['kind'], layer: LayerSpec | null): number {
  if (kind !== 'weight' && kind !== 'bias') return 0
  if (layer?.type === 'convolution') return groupCount(plan)
  return layer?.type === 'dense' && kind === 'bias' && plan.gradientRows !== null ? mostGroups(plan) : 0
}

/** Gradient buffers of a parameter. */
export function gradientCount(plan: RunPlan, kind: Parameter['kind']): number {
  if (kind !== 'weight' && kind !== 'bias' && kind !== 'embedding') return 0
  if (plan.allReduce === 'buffers') return plan.workers
  return keepsGradient(plan) || kind === 'embedding' ? 1 : 0
}
