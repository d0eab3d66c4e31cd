/**
 * Dropout of maps, in place, bound to one worker's kernels `maps.dropout`: in training, values and later their deltas are multiplied by
 * the same factors. Runs in workers. Units of other layers are dropped with their activation.
 */
import { groupHeight } from '../../plan/tiles.js'
import type { BindLayer } from '../network.js'
import { withoutParameters } from '../parameters.js'

export const bindDropout: BindLayer = ({ plan, kernels, spec, z, dz, dropout, tensors }) => {
  const { block, outputs } = spec
  const part = { over: 'rows', outputs, depth: 0, height: groupHeight(plan) } as const
  const drop = kernels.maps.dropout(z, spec.maps!, dropout)
  const dropDeltas = dz && kernels.maps.dropout(dz, spec.maps!, dropout)
  return {
    ...withoutParameters(tensors),
    spec,
    forward: [
      {
        ...part,
        name: `dropout ${block}`,
        writes: { matrices: [z] },
        run({ deltaScale, epoch }, { row, rows }) {
          if (deltaScale > 0) drop(row, rows, epoch)
          return 0
        },
      },
    ],
    backward: dropDeltas
      ? [
          {
            ...part,
            name: `dropout backward ${block}`,
            writes: { matrices: [dz!] },
            run({ epoch }, { row, rows }) {
              dropDeltas(row, rows, epoch)
              return 0
            },
          },
        ]
      : [],
  }
}
