/**
 * Arrays of a file as modules: products, which have a matrix or a kernel, and normalisations, which have vectors alone. Pure; any
 * thread.
 */
import { DataError } from '../errors.js'
import { compareModules, type Kind, numpyIndex, parseName } from './names.js'
import type { ForeignArray } from './read.js'

export interface Module {
  /** Common prefix of its arrays' names; for arrays without prefixes, the name of the matrix. */
  readonly name: string
  readonly arrays: ReadonlyMap<Kind, ForeignArray>
  /** Place among arrays that have numbers for names; null where names are to be compared. */
  readonly index: number | null
  /** Keras and TensorFlow: the first of several modules has no number. */
  readonly isCounted: boolean
}

/** Kinds of the vectors of one Keras 3 layer without a matrix, by their number. */
const KERAS_VECTORS: readonly Kind[] = ['scale', 'shift', 'mean', 'variance']
const KERAS_NAME = /(kernel|gamma|beta|moving_mean|moving_variance)(:\d+)?$/i

/** Throws DataError for arrays that are neither matrices nor vectors, and for vectors that belong to no module. */
export function modulesOf(file: string, arrays: readonly ForeignArray[]): Module[] {
  for (const { name, shape } of arrays) {
    if (shape.length === 1 || shape.length === 2 || shape.length === 4) continue
    throw new DataError(
      `${file}: ${name} is (${shape.join(', ')}), expected matrices (inputs, outputs) or (outputs, inputs), kernels of ` +
        'convolutions of four dimensions, and vectors',
    )
  }
  if (arrays.every(({ name }) => numpyIndex(name) !== null)) return numbered(file, arrays)
  const groups = new Map<string, { array: ForeignArray; kind: Kind | null; index: number | null }[]>()
  for (const array of arrays) {
    const parsed = parseName(array.name)
    // A name may end like a kind by accident: `layer_b` can be a matrix.
    const fits = parsed.kind === null || (parsed.kind === 'weight' && !isVector(array)) || isVector(array)
    const { module, kind, index } = fits ? parsed : { module: array.name, kind: null, index: null }
    groups.set(module, [...(groups.get(module) ?? []), { array, kind, index }])
  }
  return [...groups].map(([name, members]): Module => {
    const hasMatrix = members.some(({ array }) => !isVector(array))
    const kinds = new Map<Kind, ForeignArray>()
    for (const { array, kind, index } of members) {
      const found = kindIn(hasMatrix, array, kind, index)
      if (found === null || kinds.has(found)) throw unplaced(file, array)
      kinds.set(found, array)
    }
    const isCounted = members.some(({ array, index }) => index !== null || KERAS_NAME.test(array.name))
    return { name, arrays: kinds, index: null, isCounted }
  })
}

const isVector = ({ shape }: ForeignArray) => shape.length === 1

function kindIn(hasMatrix: boolean, array: ForeignArray, kind: Kind | null, index: number | null): Kind | null {
  if (!isVector(array)) return 'weight'
  if (!hasMatrix && kind === 'weight') return 'scale'
  if (!hasMatrix && kind === 'bias') return 'shift'
  if (kind !== null) return kind === 'weight' ? null : kind
  if (index === null) return null
  return hasMatrix ? 'bias' : (KERAS_VECTORS[index] ?? null)
}

/** NumPy's arr_0, arr_1: a matrix is followed by its bias. */
function numbered(file: string, arrays: readonly ForeignArray[]): Module[] {
  const sorted = [...arrays].sort((a, b) => numpyIndex(a.name)! - numpyIndex(b.name)!)
  const modules: { name: string; arrays: Map<Kind, ForeignArray>; index: number; isCounted: boolean }[] = []
  for (const array of sorted) {
    if (!isVector(array)) {
      modules.push({ name: array.name, arrays: new Map([['weight', array]]), index: modules.length, isCounted: false })
      continue
    }
    const last = modules.at(-1)?.arrays
    if (!last || last.has('bias')) throw unplaced(file, array)
    last.set('bias', array)
  }
  return modules
}

function unplaced(file: string, { name, shape }: ForeignArray): DataError {
  return new DataError(
    `${file}: ${name} is (${shape.join(', ')}), expected a name such as fc1.weight, fc1.bias and ` +
      'bn1.running_mean of PyTorch or dense/kernel of Keras, each once',
  )
}

export const isProduct = ({ arrays }: Module): boolean => arrays.has('weight')

/** The array that says how large a module is: a matrix, or any vector of a normalisation. */
export const mainArray = ({ arrays }: Module): ForeignArray => arrays.get('weight') ?? [...arrays.values()][0]

/** Negative: `a` comes first; 0: their names do not say. */
export function compare(a: Module, b: Module): number {
  if (a.index !== null && b.index !== null) return a.index - b.index
  return compareModules(a.name, b.name, a.isCounted && b.isCounted)
}
