/** Settings of an experiment that decide, beside the weights, what a network puts out. Pure; any thread. */
import type { Experiment } from '../config/schema.js'

export interface ForwardSettings {
  readonly activation: Experiment['model']['activation']
  readonly norm: Experiment['model']['norm']
  /** Absent in what older versions wrote: there are none. */
  readonly convolutions?: Experiment['model']['convolutions']
  readonly normEpsilon: number
  /** Decides whether the outputs are a softmax. */
  readonly loss: Experiment['train']['loss']
}

/** The setting behind each of them, as an experiment has it. */
const PATHS: Readonly<Record<keyof ForwardSettings, string>> = {
  activation: 'model.activation',
  norm: 'model.norm',
  convolutions: 'model.convolutions',
  normEpsilon: 'model.normEpsilon',
  loss: 'train.loss',
}

export const forwardSettings = ({ model, train }: Pick<Experiment, 'model' | 'train'>): ForwardSettings => ({
  activation: model.activation,
  norm: model.norm,
  // Those that older versions wrote have none.
  ...(model.convolutions?.length > 0 && { convolutions: model.convolutions }),
  normEpsilon: model.normEpsilon,
  loss: train.loss,
})

/** Settings of a convolution that decide its outputs beside its weights; `norm` of null is that of the model, which is compared by itself. */
const decisive = ({ dropout: _, ...convolution }: Experiment['model']['convolutions'][number]) => convolution

/** The first setting in which two networks differ, by its path; null: with the same weights they put out the same. */
export function forwardDifference(
  asked: ForwardSettings,
  model: ForwardSettings,
): { readonly path: string; readonly asked: unknown; readonly model: unknown } | null {
  const [mine, theirs] = [asked, model].map(({ convolutions = [] }) => JSON.stringify(convolutions.map(decisive)))
  if (mine !== theirs) return { path: PATHS.convolutions, asked: mine, model: theirs }
  for (const key of ['norm', 'normEpsilon', 'activation', 'loss'] as const) {
    const normalises = model.norm !== 'none' || model.convolutions?.some(({ norm }) => norm === 'batch')
    if (key === 'normEpsilon' && !normalises) continue
    if (asked[key] !== model[key]) return { path: PATHS[key], asked: asked[key], model: model[key] }
  }
  return null
}
