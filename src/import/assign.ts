/**
 * Assigns the arrays of a file to the parameters of a model, by names and shapes, and finds the orientation of matrices. Pure; any thread.
 */
import { DataError } from '../errors.js'
import { turnKernel, turnRows } from '../model/channels-first.js'
import type { Parameter } from '../model/parameters.js'
import type { NamedWeights } from '../run/checkpoint-file.js'
import { sizeOf } from '../tensor/tensor.js'
import { isProduct, type Module, mainArray, modulesOf } from './modules.js'
import type { Kind } from './names.js'
import {
  ambiguous,
  arrangeNorms,
  arrangeProducts,
  type Compare,
  comparison,
  namesOf,
  shapeIn,
  type WeightLayout,
} from './order.js'
import type { ForeignArray } from './read.js'

export type { WeightLayout } from './order.js'

/** User's description of a file; null: detected from names and shapes. */
export interface Reading {
  readonly layout: WeightLayout | null
  /** Modules, or their arrays, first layer first. Those that are not in the list are placed by names and shapes. */
  readonly order: readonly string[] | null
}

export interface Assigned {
  /** Parameters in table order. */
  readonly parameters: readonly NamedWeights[]
  readonly layout: WeightLayout
  /** Modules of the file as the layers have them: with the same layout they give the same parameters again. */
  readonly order: readonly string[]
  /** Parameters that the file does not have, and that start as they would without it. */
  readonly missing: readonly string[]
}

type Layer = ReadonlyMap<Kind, ForeignArray>

/**
 * Throws DataError where the arrays are not those of the table, or names and shapes leave open which is which. Embeddings go by their
 * own names: no other program has the categories of their rows.
 */
export function assignWeights(
  file: string,
  arrays: readonly ForeignArray[],
  table: readonly Parameter[],
  reading: Reading,
): Assigned {
  const embeddings = table.filter(({ kind }) => kind === 'embedding')
  const tables = embeddings.map(parameter => embeddingOf(file, arrays, parameter))
  const names = embeddings.map(({ name }) => name)
  const others = arrays.filter(({ name }) => !names.includes(name))
  const layers = assignLayers(file, others, table.slice(embeddings.length), reading)
  return { ...layers, parameters: [...tables, ...layers.parameters] }
}

function embeddingOf(file: string, arrays: readonly ForeignArray[], parameter: Parameter): NamedWeights {
  const { name, dims } = parameter
  const array = arrays.find(each => each.name === name)
  if (array) return { name, shape: dims, data: valuesOf(file, array, parameter, 'in-out') }
  const found = arrays.map(each => `${each.name} (${each.shape.join(', ')})`).join(', ')
  throw new DataError(
    `${file}: has no ${name}, expected the model's embeddings (${dims.join(', ')}); it has ${found}`,
    {
      hint: 'start from a run, a checkpoint, or a file that `gradloom export` wrote of one with the same columns',
    },
  )
}

function assignLayers(
  file: string,
  arrays: readonly ForeignArray[],
  table: readonly Parameter[],
  reading: Reading,
): Assigned {
  const modules = modulesOf(
    file,
    arrays.filter(({ whole }) => !whole),
  )
  const order = comparison(file, modules, reading.order)
  const products = modules.filter(isProduct)
  const weights = table.filter(({ kind }) => kind === 'weight')
  if (products.length !== weights.length) {
    const found = arrays.map(({ name, shape }) => `${name} (${shape.join(', ')})`).join(', ')
    throw new DataError(
      `${file}: has ${products.length} layers of weights, expected ${weights.length}; it has ${found}`,
    )
  }
  const { sequence, layout } = placeProducts(file, products, table, order, reading.layout)
  const norms = placeNorms(file, modules, sequence, table, order)
  const layers = sequence.map((product, i): Layer => new Map([...(norms.get(i)?.arrays ?? []), ...product.arrays]))
  const filled = fill(file, layers, table, layout)
  return {
    ...filled,
    layout,
    order: sequence.flatMap((product, i) => [product.name, norms.get(i)?.name ?? []].flat()),
  }
}

/** Throws DataError where no order fits, where several do, and where the layout cannot be determined. */
function placeProducts(
  file: string,
  products: readonly Module[],
  table: readonly Parameter[],
  order: Compare,
  given: WeightLayout | null,
): { readonly sequence: readonly Module[]; readonly layout: WeightLayout } {
  const layouts = given ? [given] : (['in-out', 'out-in'] as const)
  const weights = table.filter(({ kind }) => kind === 'weight')
  const tried = layouts.map(layout => ({ layout, found: arrangeProducts(products, weights, layout, order) }))
  const possible = tried.filter(({ found }) => found.kind !== 'none')
  // Kernels of Keras and coefs_ of scikit-learn are (inputs, outputs); `weight` is (outputs, inputs) in PyTorch alone.
  const isKeras = products.every(product => /kernel(:\d+)?$|^coefs?_*\d*$/i.test(mainArray(product).name))
  const left = possible.length > 1 && isKeras ? possible.filter(({ layout }) => layout === 'in-out') : possible
  const open = left.find(({ found }) => found.kind === 'ambiguous')
  if (open?.found.kind === 'ambiguous') throw ambiguous(file, open.found.candidates)
  const orders = left.flatMap(({ layout, found }) =>
    found.kind === 'order' ? [{ layout, sequence: found.sequence }] : [],
  )
  if (orders.length === 1) return orders[0]
  if (orders.length === 0) throw unfitting(file, products, table, order, given)
  const [first, second] = orders
  const isOneOrder = first.sequence.every((module, i) => module === second.sequence[i])
  throw new DataError(
    isOneOrder
      ? `${file}: weights are all square, expected to see how they lie`
      : `${file}: could be ${namesOf(first.sequence)} in ${first.layout} form or ${namesOf(second.sequence)} in ` +
          `${second.layout} form, expected to see how weights lie`,
    { hint: LAYOUT_HINT },
  )
}

const LAYOUT_HINT =
  '--from-layout in-out for (inputs, outputs), as in Keras; out-in for (outputs, inputs), as in PyTorch'

/** Mismatches in the order that the names suggest. */
function unfitting(
  file: string,
  products: readonly Module[],
  table: readonly Parameter[],
  order: Compare,
  given: WeightLayout | null,
): DataError {
  const sorted = [...products].sort(order)
  const matrices = table.filter(({ kind }) => kind === 'weight')
  const isOrdered = sorted.every((a, i) => sorted.slice(i + 1).every(b => order(a, b) < 0))
  const layout = given ?? (isOrdered ? votedLayout(sorted, matrices) : null)
  if (isOrdered && layout === null) {
    return new DataError(
      `${file}: weights are in-out in one layer and out-in in another, expected to see how they lie`,
      { hint: LAYOUT_HINT },
    )
  }
  if (isOrdered && layout !== null) {
    for (const [layer, { arrays }] of sorted.entries()) {
      for (const parameter of table.filter(each => each.layer === layer)) {
        const array = arrays.get(parameter.kind)
        const problem = array && misfit(file, array, parameter, layout)
        if (problem) return problem
      }
    }
  }
  const found = products.map(product => `${product.name} (${mainArray(product).shape.join(', ')})`).join(', ')
  const wanted = matrices.map(({ dims }) => `(${dims.join(', ')})`).join(', ')
  return new DataError(
    `${file}: no order of ${found} has the layers ${wanted} of the model and agrees with the numbers in the names`,
    { hint: '--from-order a,b,c gives the order of the layers, first layer first' },
  )
}

/** The layout that some shapes need and none contradicts; in-out where no shape needs any; null: they contradict. */
function votedLayout(sequence: readonly Module[], matrices: readonly Parameter[]): WeightLayout | null {
  const votes = matrices.flatMap((matrix, layer) => {
    const shape = mainArray(sequence[layer]).shape.join()
    const fitting = (['in-out', 'out-in'] as const).filter(layout => shapeIn(matrix, layout).join() === shape)
    return fitting.length === 1 ? fitting : []
  })
  return votes.every(vote => vote === votes[0]) ? (votes[0] ?? 'in-out') : null
}

/** Normalisations by their layer. Throws DataError. */
function placeNorms(
  file: string,
  modules: readonly Module[],
  sequence: readonly Module[],
  table: readonly Parameter[],
  order: Compare,
): ReadonlyMap<number, Module> {
  const norms = modules.filter(module => !isProduct(module))
  const layers = table.filter(({ kind }) => kind === 'scale').map(({ layer, dims: [units] }) => ({ layer, units }))
  if (norms.length === 0) return new Map()
  if (layers.length === 0)
    throw noPlace(
      file,
      norms.flatMap(({ arrays }) => [...arrays.values()]),
    )
  if (norms.length !== layers.length) {
    const which =
      sequence.length === layers.length + 1
        ? 'each hidden layer'
        : `layers ${layers.map(({ layer }) => layer).join(', ')}`
    throw new DataError(
      `${file}: has ${norms.length} normalisations (${namesOf(norms)}), expected ${layers.length}, one for ${which}`,
    )
  }
  const placed = arrangeNorms(norms, sequence, layers, order)
  if (placed.kind === 'ambiguous') throw ambiguous(file, placed.candidates)
  if (placed.kind === 'none') {
    throw new DataError(
      `${file}: ${norms.map(norm => `${norm.name} (${mainArray(norm).shape[0]})`).join(', ')} are not the ` +
        `normalisations of layers with ${layers.map(({ units }) => units).join(', ')} units in the order of their names`,
      { hint: '--from-order a,b,c gives the order of the layers and normalisations, first one first' },
    )
  }
  for (const [place, norm] of placed.sequence.entries()) {
    const { layer } = layers[place]
    const early = sequence.find((product, i) => (i <= layer ? order(norm, product) < 0 : order(norm, product) > 0))
    if (early === undefined) continue
    throw new DataError(
      `${file}: ${norm.name} would be the normalisation behind ${sequence[layer].name}, but by its name it is ` +
        `${order(norm, early) < 0 ? 'before' : 'behind'} ${early.name}, expected each normalisation between two layers`,
      { hint: '--from-order a,b,c gives the order of the layers and normalisations, first one first' },
    )
  }
  return new Map(placed.sequence.map((norm, place) => [layers[place].layer, norm]))
}

function noPlace(file: string, extra: readonly ForeignArray[]): DataError {
  return new DataError(
    `${file}: has ${extra.map(({ name }) => name).join(', ')}, which the model has no place for; see model.norm`,
  )
}

function fill(
  file: string,
  layers: readonly Layer[],
  table: readonly Parameter[],
  layout: WeightLayout,
): Pick<Assigned, 'parameters' | 'missing'> {
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
    return {
      name,
      shape: dims,
      data: array ? valuesOf(file, array, parameter, layout) : new Float32Array(sizeOf(dims)),
    }
  })
  const extra = layers.flatMap(layer => [...layer.values()]).filter(array => !used.has(array))
  if (extra.length > 0) throw noPlace(file, extra)
  return { parameters, missing }
}

function misfit(file: string, array: ForeignArray, parameter: Parameter, layout: WeightLayout): DataError | null {
  const { name, kind, dims } = parameter
  const shape = kind === 'weight' ? shapeIn(parameter, layout) : dims
  if (array.shape.join() === shape.join()) return null
  const form = kind === 'weight' ? ` in ${layout} form` : ''
  return new DataError(
    `${file}: ${array.name} is (${array.shape.join(', ')}), expected (${shape.join(', ')})${form} for ${name}; ` +
      'the experiment must have the model of the file',
    ...(kind === 'weight'
      ? [{ hint: '--from-layout gives the orientation of matrices, --from-order the order of the layers' }]
      : []),
  )
}

/** Values of an array as those of a parameter: row-major, in f32. */
function valuesOf(file: string, array: ForeignArray, parameter: Parameter, layout: WeightLayout): Float32Array {
  const problem = misfit(file, array, parameter, layout)
  if (problem) throw problem
  const data = arranged(array, parameter, layout)
  const wrong = data.findIndex(value => !Number.isFinite(value))
  if (wrong >= 0) throw new DataError(`${file}: ${array.name} has ${data[wrong]}, expected finite numbers in f32`)
  return data
}

/** `out-in` is PyTorch's form, whose maps are channels first, in kernels and where a dense layer takes them as rows. */
function arranged(
  { values }: ForeignArray,
  { kind, dims, kernel, rowsOf }: Parameter,
  layout: WeightLayout,
): Float32Array {
  if (kind !== 'weight' || layout === 'in-out') return Float32Array.from(values)
  const [inputs, outputs] = dims
  if (kernel) return turnKernel(values, kernel, outputs, 'first')
  const data = new Float32Array(sizeOf(dims))
  for (let i = 0; i < inputs; i++) for (let o = 0; o < outputs; o++) data[i * outputs + o] = values[o * inputs + i]
  return rowsOf ? turnRows(data, rowsOf, outputs, 'first') : data
}
