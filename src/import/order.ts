/**
 * The order of a file's modules as layers of a model: what names, shapes and sizes of vectors say together, else an
 * error that lists the candidates. Pure; any thread.
 *
 * Layers of equal shape are distinguished by numbers in names alone; the order of arrays in the file decides nothing, as libraries sort
 * them.
 */
import { DataError } from '../errors.js'
import { kernelShape } from '../model/channels-first.js'
import type { Parameter } from '../model/parameters.js'
import { compare, type Module, mainArray } from './modules.js'
import { pathOf } from './names.js'

/** Orientation of weight matrices in a file: `in-out` as (inputs, outputs), which is Keras's form, or `out-in`, which is PyTorch's. */
export type WeightLayout = 'in-out' | 'out-in'

/** Shape that the weight of a layer has in a file: a matrix, or the kernel of a convolution. */
export function shapeIn({ dims: [inputs, outputs], kernel }: Parameter, layout: WeightLayout): readonly number[] {
  if (!kernel) return layout === 'in-out' ? [inputs, outputs] : [outputs, inputs]
  const { size, channels } = kernel
  return layout === 'in-out' ? [size, size, channels, outputs] : kernelShape(kernel, outputs)
}

export type Compare = (a: Module, b: Module) => number

export type Arrangement =
  | { readonly kind: 'order'; readonly sequence: readonly Module[] }
  /** Modules that could change places. */
  | { readonly kind: 'ambiguous'; readonly candidates: readonly Module[] }
  /** No order has the shapes of the model and agrees with the names. */
  | { readonly kind: 'none' }

/**
 * Compares by a given order of names, where it has both modules, else by their names. `order` names modules, or arrays of
 * them. Throws DataError for names that the file does not have, or has twice in the list.
 */
export function comparison(file: string, modules: readonly Module[], order: readonly string[] | null): Compare {
  if (order === null) return compare
  const places = new Map<Module, number>()
  for (const [place, name] of order.entries()) {
    const found = modules.find(module => isCalled(module, name))
    if (!found || places.has(found)) {
      throw new DataError(
        `${file}: the given order has ${name}${found ? ' twice' : ''}, expected each of ${namesOf(modules)} at most once`,
      )
    }
    places.set(found, place)
  }
  return (a, b) => {
    const [first, second] = [places.get(a), places.get(b)]
    return first === undefined || second === undefined ? compare(a, b) : first - second
  }
}

const isCalled = ({ name, arrays }: Module, wanted: string) =>
  name === wanted || [...arrays.values()].some(array => array.name === wanted)

/** Products as layers with the given weights, read in the given layout. */
export function arrangeProducts(
  products: readonly Module[],
  weights: readonly Parameter[],
  layout: WeightLayout,
  order: Compare,
): Arrangement {
  const keys = products.map(product => {
    const { shape: whole } = mainArray(product)
    const outputs = layout === 'in-out' ? whole.at(-1) : whole[0]
    const fits = [...product.arrays].every(([kind, { shape }]) => kind === 'weight' || shape[0] === outputs)
    return fits ? whole.join(' ') : 'none'
  })
  const places = weights.map(weight => shapeIn(weight, layout).join(' '))
  return arrange(products, keys, places, order)
}

/** Normalisations as those of the layers with the given numbers, and numbers of units. */
export function arrangeNorms(
  norms: readonly Module[],
  products: readonly Module[],
  layers: readonly { readonly layer: number; readonly units: number }[],
  order: Compare,
): Arrangement {
  const ofParent = byParent(
    norms,
    products,
    layers.map(({ layer }) => layer),
  )
  if (ofParent) return { kind: 'order', sequence: ofParent }
  const keys = norms.map(({ arrays }) => {
    const sizes = new Set([...arrays.values()].map(({ shape }) => shape[0]))
    return [...sizes].join(' ')
  })
  return arrange(
    norms,
    keys,
    layers.map(({ units }) => String(units)),
    order,
  )
}

/** Each normalisation under the name of one product, as `layers.0.norm` and `layers.0`, or beside one: `a.norm`, `a.fc`. */
function byParent(
  norms: readonly Module[],
  products: readonly Module[],
  layers: readonly number[],
): readonly Module[] | null {
  const parentOf = (module: Module) => pathOf(module.name).slice(0, -1).join('.')
  const sequence: Module[] = []
  for (const norm of norms) {
    const parent = parentOf(norm)
    const owners = products.flatMap((product, layer) =>
      pathOf(product.name).join('.') === parent || parentOf(product) === parent ? [layer] : [],
    )
    const place = owners.length === 1 ? layers.indexOf(owners[0]) : -1
    if (parent === '' || place < 0 || sequence[place]) return null
    sequence[place] = norm
  }
  return norms.length === layers.length ? sequence : null
}

/** Modules with keys at the places that have the same keys; equal ones in the order of `compareTwo`. */
function arrange(
  modules: readonly Module[],
  keys: readonly string[],
  places: readonly string[],
  compareTwo: Compare,
): Arrangement {
  const sequence: Module[] = []
  const candidates: Module[] = []
  const reach = new Map<Module, { first: number; last: number }>()
  for (const key of new Set(places)) {
    const at = places.flatMap((place, i) => (place === key ? [i] : []))
    const fitting = modules.filter((_, i) => keys[i] === key).sort(compareTwo)
    if (fitting.length !== at.length) return { kind: 'none' }
    const isOrdered = fitting.every((a, i) => fitting.slice(i + 1).every(b => compareTwo(a, b) < 0))
    if (!isOrdered) candidates.push(...fitting)
    for (const [i, module] of fitting.entries()) {
      sequence[at[i]] = module
      const [first, last] = isOrdered ? [at[i], at[i]] : [at[0], at[at.length - 1]]
      reach.set(module, { first, last })
    }
  }
  const disagrees = modules.some(a =>
    modules.some(b => compareTwo(a, b) < 0 && reach.get(a)!.first >= reach.get(b)!.last),
  )
  if (disagrees) return { kind: 'none' }
  return candidates.length > 0 ? { kind: 'ambiguous', candidates } : { kind: 'order', sequence }
}

/** Error for names and shapes that allow several orders, with the remedy. */
export function ambiguous(file: string, candidates: readonly Module[]): DataError {
  const shown = candidates.map(module => `${module.name} (${mainArray(module).shape.join(', ')})`).join(', ')
  return new DataError(
    `${file}: names and shapes leave the order of these modules open: ${shown}; expected numbers in names, or the order to be given`,
    { hint: `--from-order ${candidates.map(({ name }) => name).join(',')} if that is their order, first layer first` },
  )
}

export const namesOf = (modules: readonly Module[]): string => modules.map(({ name }) => name).join(', ')
