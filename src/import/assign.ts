/**
 * Which array of a file is which parameter: by the names that PyTorch and Keras give them, or by order and shape. Pure;
 * any thread.
 *
 * Arrays of one module, `0.weight` and `0.bias`, belong together; modules follow each other as layers do. A module with a
 * matrix is a layer's product, one with vectors alone the normalisation of the layer before it.
 */
import { DataError } from '../errors.js'
import type { Parameter } from '../model/parameters.js'
import type { NamedWeights } from '../run/save.js'
import { sizeOf } from '../tensor/tensor.js'
import type { ForeignArray } from './read.js'

/** How weights lie in a file: `in-out` as (inputs, outputs), which is Keras's form, or `out-in`, which is PyTorch's. */
export type WeightLayout = 'in-out' | 'out-in'

type Kind = Parameter['kind']
/** By the last part of a name. Of a normalisation, `weight` and `bias` are its scale and shift. */
const KINDS: Readonly<Record<string, Kind>> = {
  ...{ weight: 'weight', kernel: 'weight', bias: 'bias' },
  ...{ gamma: 'scale', scale: 'scale', beta: 'shift', shift: 'shift' },
  ...{ running_mean: 'mean', moving_mean: 'mean', mean: 'mean' },
  ...{ running_var: 'variance', moving_variance: 'variance', variance: 'variance' },
}
/** What the input is shifted and scaled by, in files of ours: the experiment says it anew. */
const OF_INPUT = /^input\.(offset|factor)$/

export interface Assigned {
  /** In table order. */
  readonly parameters: readonly NamedWeights[]
  readonly layout: WeightLayout
  /** What the file does not have and starts as it would without it. */
  readonly missing: readonly string[]
}

/** Throws DataError where the arrays are not those of the table, or it cannot be told how they lie. */
export function assignWeights(
  file: string,
  arrays: readonly ForeignArray[],
  table: readonly Parameter[],
  layout: WeightLayout | null,
): Assigned {
  const layers = layersOf(
    file,
    arrays.filter(({ name, whole }) => !whole && !OF_INPUT.test(name)),
  )
  const wanted = Math.max(...table.map(({ layer }) => layer)) + 1
  if (layers.length !== wanted) {
    const found = arrays.map(({ name, shape }) => `${name} (${shape.join(', ')})`).join(', ')
    throw new DataError(`${file}: has ${layers.length} layers of weights, expected ${wanted}; it has ${found}`)
  }
  const matrices = table.filter(({ kind }) => kind === 'weight')
  const known = layout ?? layoutOf(file, layers, matrices)
  const used = new Set<ForeignArray>()
  const missing: string[] = []
  const parameters = table.map((parameter): NamedWeights => {
    const { name, kind, layer, dims } = parameter
    const array = layers[layer].get(kind)
    if (!array && kind !== 'bias') {
      throw new DataError(
        `${file}: has no ${kind} for ${name}, expected it behind ${layers[layer].get('weight')?.name}`,
      )
    }
    if (!array) missing.push(name)
    else used.add(array)
    const data = array ? valuesOf(file, array, parameter, known) : new Float32Array(sizeOf(dims))
    return { name, shape: dims, data }
  })
  const extra = layers.flatMap(layer => [...layer.values()]).filter(array => !used.has(array))
  if (extra.length > 0) {
    throw new DataError(
      `${file}: has ${extra.map(({ name }) => name).join(', ')}, which the model has no place for; see model.norm`,
    )
  }
  return { parameters, layout: known, missing }
}

/** The arrays of each layer by their kind. */
function layersOf(file: string, arrays: readonly ForeignArray[]): Map<Kind, ForeignArray>[] {
  const modules = modulesOf(arrays)
  const layers: Map<Kind, ForeignArray>[] = []
  for (const array of arrays) {
    const { module, kind: named } = partsOf(array)
    const isNorm = modules.get(module)?.every(({ shape }) => shape.length === 1) ?? false
    const kind = isNorm && named === 'weight' ? 'scale' : isNorm && named === 'bias' ? 'shift' : named
    if (module === '' ? kind === 'weight' : modules.get(module)?.[0] === array && !isNorm) layers.push(new Map())
    const layer = layers.at(-1)
    if (!layer || layer.has(kind) || array.shape.length !== (kind === 'weight' ? 2 : 1)) {
      throw new DataError(
        `${file}: ${array.name} is (${array.shape.join(', ')}), expected the matrix of a layer first, then its vectors, each once`,
      )
    }
    layer.set(kind, array)
  }
  return layers
}

/** Arrays with names that say what they are, by all of the name before that. */
function modulesOf(arrays: readonly ForeignArray[]): Map<string, ForeignArray[]> {
  const modules = new Map<string, ForeignArray[]>()
  for (const array of arrays) {
    const { module } = partsOf(array)
    if (module !== '') modules.set(module, [...(modules.get(module) ?? []), array])
  }
  return modules
}

/** Without a telling name, matrices are weights, and vectors their biases. */
function partsOf({ name, shape }: ForeignArray): { module: string; kind: Kind } {
  const [, module, last] = /^(.*?)[./]?([a-z_]+)(?::\d+)?$/i.exec(name) ?? []
  const kind = KINDS[last?.toLowerCase() ?? '']
  if (kind !== undefined && module !== '') return { module, kind }
  return { module: '', kind: shape.length === 2 ? 'weight' : 'bias' }
}

/** By the shapes, which must say the same for every layer; square ones say nothing. */
function layoutOf(
  file: string,
  layers: readonly ReadonlyMap<Kind, ForeignArray>[],
  matrices: readonly Parameter[],
): WeightLayout {
  const votes = matrices.flatMap(({ dims: [inputs, outputs], layer }) => {
    const [rows, cols] = layers[layer].get('weight')?.shape ?? []
    if (inputs === outputs) return []
    if (rows === inputs && cols === outputs) return ['in-out' as const]
    return rows === outputs && cols === inputs ? ['out-in' as const] : []
  })
  if (votes.length > 0 && votes.every(vote => vote === votes[0])) return votes[0]
  if (layers.every(layer => /kernel(:\d+)?$/.test(layer.get('weight')?.name ?? ''))) return 'in-out'
  if (votes.length === 0 && matrices.some(({ dims: [inputs, outputs] }) => inputs !== outputs)) return 'in-out'
  throw new DataError(
    `${file}: weights are ${votes.length === 0 ? 'all square' : 'in-out in one layer and out-in in another'}, expected to see how they lie`,
    { hint: '--from-layout in-out for (inputs, outputs), as in Keras; out-in for (outputs, inputs), as in PyTorch' },
  )
}

/** Row-major, in f32. */
function valuesOf(
  file: string,
  array: ForeignArray,
  { name, kind, dims }: Parameter,
  layout: WeightLayout,
): Float32Array {
  const turned = kind === 'weight' && layout === 'out-in'
  const shape = turned ? [dims[1], dims[0]] : dims
  if (array.shape.join() !== shape.join()) {
    const form = kind === 'weight' ? ` in ${layout} form` : ''
    throw new DataError(
      `${file}: ${array.name} is (${array.shape.join(', ')}), expected (${shape.join(', ')})${form} for ${name}; ` +
        'the experiment must have the model of the file',
      ...(kind === 'weight' ? [{ hint: '--from-layout says how weights lie' }] : []),
    )
  }
  const data = new Float32Array(sizeOf(dims))
  const [inputs, outputs] = kind === 'weight' ? dims : [dims[0], 1]
  for (let i = 0; i < inputs; i++) {
    for (let o = 0; o < outputs; o++) data[i * outputs + o] = array.values[turned ? o * inputs + i : i * outputs + o]
  }
  const wrong = data.findIndex(value => !Number.isFinite(value))
  if (wrong >= 0) throw new DataError(`${file}: ${array.name} has ${data[wrong]}, expected finite numbers in f32`)
  return data
}
