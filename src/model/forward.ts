/** Settings of an experiment that decide, beside the weights, what a network puts out. Pure; any thread. */
import type { Experiment } from '../config/schema.js'

export interface ForwardSettings {
  readonly activation: Experiment['model']['activation']
  readonly norm: Experiment['model']['norm']
  readonly normEpsilon: number
  /** Decides whether the outputs are a softmax. */
  readonly loss: Experiment['train']['loss']
}

/** The setting behind each of them, as an experiment has it. */
const PATHS: Readonly<Record<keyof ForwardSettings, string>> = {
  activation: 'model.activation',
  norm: 'model.norm',
  normEpsilon: 'model.normEpsilon',
  loss: 'train.loss',
}

export const forwardSettings = ({ model, train }: Pick<Experiment, 'model' | 'train'>): ForwardSettings => ({
  activation: model.activation,
  norm: model.norm,
  normEpsilon: model.normEpsilon,
  loss: train.loss,
})

/** The first setting in which two networks differ, by its path; null: with the same weights they put out the same. */
export function forwardDifference(
  asked: ForwardSettings,
  model: ForwardSettings,
): { readonly path: string; readonly asked: unknown; readonly model: unknown } | null {
  for (const key of ['norm', 'normEpsilon', 'activation', 'loss'] as const) {
    if (key === 'normEpsilon' && model.norm === 'none') continue
    if (asked[key] !== model[key]) return { path: PATHS[key], asked: asked[key], model: model[key] }
  }
  return null
}
