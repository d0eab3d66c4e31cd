/**
 * Pooling bound to one worker's kernels: each square of maps becomes one value. Runs in workers; kernels `maps.pool*`, whose truth is
 * src/kernels/reference/maps.ts.
 */
import { groupHeight } from '../../plan/tiles.js'
import type { BindLayer, PassPart } from '../network.js'
import { withoutParameters } from '../parameters.js'

export const bindPool: BindLayer = ({ plan, kernels, spec, x, z, dx, dz, tensors }) => {
  const { block, outputs } = spec
  const part = { over: 'rows', outputs, depth: 0, height: groupHeight(plan) } as const
  const pool = kernels.maps.pool(z, x, spec.window!, spec.pool!)
  const back = dx && dz && kernels.maps.poolBackward(dx, dz, x, spec.window!, spec.pool!)
  const forward: PassPart = {
    ...part,
    name: `pool ${block}`,
    writes: { matrices: [z] },
    run(_pass, { row, rows }) {
      pool(row, rows)
      return 0
    },
  }
  const backward: PassPart[] = back
    ? [
        {
          ...part,
          name: `pool backward ${block}`,
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
