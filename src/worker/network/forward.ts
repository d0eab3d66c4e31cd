/**
 * Parameters that a forward pass reads: those that are trained, or the averages that are scored in their place. Runs in
 * workers.
 */
import type { LayerContext, LayerTensors, Pass } from './network.js'
import { averagesOf } from './views.js'

export interface Forms<K> {
  readonly trained: K
  of(pass: Pass): K
}

/**
 * Binds a kernel of the forward pass to the parameters that are trained and to those that are scored. Averages are kept
 * for training alone: elsewhere they have been loaded as the parameters.
 */
export function bindForward<K>(
  { tensors, before, average }: Pick<LayerContext, 'tensors' | 'before' | 'average'>,
  bind: (tensors: LayerTensors, before: LayerTensors | undefined) => K,
): Forms<K> {
  const trained = bind(tensors, before?.tensors)
  const scored =
    average === null
      ? trained
      : bind(averagesOf(tensors, average), before ? averagesOf(before.tensors, average) : undefined)
  return { trained, of: ({ deltaScale }) => (deltaScale > 0 ? trained : scored) }
}
