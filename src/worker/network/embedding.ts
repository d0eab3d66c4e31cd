/**
 * Embeddings bound to one worker's kernels: tables of vectors before the first layer. `gather` copies their rows
 * (kernels/embedding.ts), the backward pass of the first dense layer computes the deltas of what was copied, and the updates here
 * sum those by row of the table and apply them. Runs in workers and in the predictor; declared in src/model/embedding.ts.
 *
 * A table is flat, and updated as a bias, so neither L2 nor weight decay nor `maxNorm` apply: a row that no mini-batch has
 * would be decayed all the same. All rows are updated at every step, those without a gradient by their moments.
 */
import type { BiasTensors, EmbeddedFeatures, Kernels, Range } from '../../kernels/backend.js'
import { bindEmbeddingGradient } from '../../kernels/embedding.js'
import { embeddingPlaces } from '../../model/embedding.js'
import { averageIndex } from '../../model/state.js'
import { viewSlot } from '../../tensor/arena.js'
import type { FloatTensor, IntTensor, Matrix } from '../../tensor/tensor.js'
import type { Layout } from '../plan/layout.js'
import type { RunPlan } from '../plan/run-plan.js'
import { tableRanges } from '../plan/tiles.js'
import type { Embedding } from './network.js'
import { untrained, viewGradients } from './parameters.js'
import { viewVector } from './views.js'

export interface BoundEmbeddings {
  readonly embeddings: readonly Embedding[]
  /** Tables that `gather` copies from: those that are trained, and those that are scored. null: nothing is embedded. */
  readonly gathered: { readonly trained: EmbeddedFeatures; readonly scored: EmbeddedFeatures } | null
}

/** `dx`: (B, I) deltas of the first layer's inputs; null: nothing is trained. */
export function bindEmbeddings(
  plan: RunPlan,
  layout: Layout,
  memory: WebAssembly.Memory,
  kernels: Kernels,
  dx: Matrix | null,
): BoundEmbeddings {
  if (layout.embedded === null) return { embeddings: [], gathered: null }
  const places = embeddingPlaces(plan.features, plan.embeddings)
  const indices = viewSlot(memory, layout.embedded.indices)
  const average = dx === null ? null : averageIndex(plan)
  const bound = layout.embedded.parameters.map((slots, e) => {
    const tensors = viewVector(memory, slots)
    const gradients = viewGradients(memory, slots)
    return bindTable(kernels, tensors, average, gradients, { dx, indices, e, place: places[e] })
  })
  const features = (of: (table: BiasTensors) => FloatTensor) => ({
    ...{ places, indices },
    tables: bound.map(({ tensors }) => of(tensors)),
  })
  const trained = features(({ master }) => master)
  const scored = average === null ? trained : features(({ moments }) => moments[average])
  return { embeddings: bound, gathered: { trained, scored } }
}

interface TableGradient {
  readonly dx: Matrix | null
  readonly indices: IntTensor
  readonly e: number
  readonly place: ReturnType<typeof embeddingPlaces>[number]
}

function bindTable(
  kernels: Kernels,
  tensors: BiasTensors,
  average: number | null,
  gradients: readonly FloatTensor[],
  { dx, indices, e, place }: TableGradient,
): Embedding {
  const { reduce, squares, scale, average: move } = kernels.tableUpdate(tensors)
  const add = dx ? bindEmbeddingGradient(dx, indices, e, place) : untrained
  const [kept] = gradients
  const onlyKept = [kept]
  const whole: Range = { start: 0, end: tensors.outputs }
  return {
    tensors,
    ranges: tableRanges(place),
    update(range, source, amount, { optimizer, averageShare }) {
      if (source === 'buffers') reduce(gradients.slice(0, amount), range, optimizer)
      else {
        if (source === 'rows') add(kept, range, 0, amount, true)
        else if (amount !== 1) scale(kept, range, amount)
        reduce(onlyKept, range, optimizer)
      }
      if (average !== null) move(tensors.moments[average], range, averageShare)
    },
    accumulate: (worker, { row, rows }, first) => add(gradients[worker], whole, row, rows, first),
    keep: (range, rows, first) => add(kept, range, 0, rows, first),
    keptSquares: range => squares(kept, range),
  }
}
