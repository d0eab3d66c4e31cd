/** Maps as rows of the first dense layer, bound to one worker's kernels `maps.flatten` and `maps.unflatten`: copies. Runs in workers. */
import { groupHeight } from '../../plan/tiles.js'
import type { BindLayer, PassPart } from '../network.js'
import { withoutParameters } from '../parameters.js'

export const bindFlatten: BindLayer = ({ plan, kernels, spec, x, z, dx, dz, tensors }) => {
  const { block, outputs } = spec
  const part = { over: 'rows', outputs, depth: 0, height: groupHeight(plan) } as const
  const flatten = kernels.maps.flatten(z, x)
  const back = dx && dz && kernels.maps.unflatten(dx, dz)
  const forward: PassPart = {
    ...part,
    name: `flatten ${block}`,
    writes: { matrices: [z] },
    run(_pass, { row, rows }) {
      flatten(row, rows)
      return 0
    },
  }
  const backward: PassPart[] = back
    ? [
        {
          ...part,
          name: `flatten backward ${block}`,
          writes: { matrices: [dx!] },
          run(_pass, { row, rows }) {
            back(row, rows)
            return 0
          },
        },
      ]
    : []
  return { ...withoutParameters(tensors), spec, forward: [forward], backward }
}
