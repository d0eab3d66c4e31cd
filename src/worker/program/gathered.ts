/**
 * Matrices of the mini-batch that every rank needs whole, because something reads rows of them that another rank has computed. Others stay
 * where they are. Runs in workers.
 */
import type { LayerType } from '../../model/layers/layer.js'
import type { Matrix } from '../../tensor/tensor.js'
import type { Layer, Network } from '../network/network.js'
import type { RunPlan } from '../plan/run-plan.js'

/** Layers whose passes are divided into groups of samples, always the same, so that a rank reads what it wrote. */
const ofMaps: readonly LayerType[] = ['convolution', 'pool', 'dropout', 'flatten']

export function gatheredMatrices(network: Network, { gradientRows, ranks }: RunPlan): ReadonlySet<Matrix> {
  const found = new Set<Matrix>()
  const add = (...matrices: readonly (Matrix | null)[]) => {
    for (const matrix of matrices) if (matrix) found.add(matrix)
  }
  for (const [l, layer] of network.layers.entries()) {
    const { type, block } = layer.spec
    const { x, z, dx, dz } = layer.matrices
    if (ofMaps.includes(type) || layer.spec.maps) continue
    if (type !== 'dense' || gradientRows === null) {
      // Blocks and columns: any task may read any row.
      add(x, z, dx, dz, ...keptBy(layer))
      continue
    }
    if (!ranks?.partials[block]) add(x, dz)
    // Rows of maps belong to other ranks than rows of a dense layer.
    if (l > 0 && network.layers[l - 1].spec.type === 'flatten') add(x, dx)
    // Gradients of embeddings are summed over all rows.
    if (l === 0) add(dx)
  }
  return found
}

const keptBy = ({ forward, backward }: Layer): Matrix[] =>
  [...forward, ...backward].flatMap(({ writes }) => writes?.kept ?? [])
