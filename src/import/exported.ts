/**
 * Facts about a model that `export` writes into an .npz, or a state dictionary of PyTorch, beside the weights: what it takes, and how it computes. Main
 * thread; reads, never writes.
 */
import type { SavedInput, Scaling } from '../data/input.js'
import { parseInput } from '../data/input.js'
import { DataError } from '../errors.js'
import { FACTS, FACTS_VERSION } from '../formats/npz-facts.js'
import type { ForwardSettings } from '../model/forward.js'
import type { WeightLayout } from './order.js'
import { isNpz, readForeign } from './read.js'

/** Arrays that `export` writes and that are no weights. */
export const NOT_WEIGHTS = /^(gradloom|input\.(offset|factor))$/

/** Upper limit of their bytes: rows have no more features than this allows. */
const MOST_BYTES = 2 ** 26

export interface ExportedFacts {
  /** Names, shapes and scales of the data; null: a file of an older version, or of another program. */
  readonly spec: SavedInput | null
  /** Settings that the network computes with; null: as `spec`. */
  readonly forward: ForwardSettings | null
  /** Offsets and factors of the features; null: bytes divided by 255, or the file does not say. */
  readonly scaling: Scaling | null
  /** How `export` wrote the weights; null: it did not write the file. */
  readonly layout: WeightLayout | null
}

/** Throws DataError where the file cannot be read, or its facts are not those that `export` writes. */
export async function exportedFacts(file: string): Promise<ExportedFacts> {
  const { arrays, texts } = await readForeign(file, MOST_BYTES, NOT_WEIGHTS)
  const of = (name: string) => arrays.find(array => array.name === `input.${name}`)
  const [offset, factor] = [of('offset'), of('factor')]
  const arraysOf = offset && factor && { offset: Array.from(offset.values), factor: Array.from(factor.values) }
  const text = texts.get(FACTS)
  if (text === undefined) {
    return { spec: null, forward: null, scaling: arraysOf ?? null, layout: arraysOf ? 'in-out' : null }
  }
  const { formatVersion, input, forward } = parsed(file, text)
  if (formatVersion !== FACTS_VERSION) {
    throw new DataError(`${file}: formatVersion of '${FACTS}' is ${formatVersion}, expected ${FACTS_VERSION}`, {
      hint: 'read it with the version of gradloom that wrote it',
    })
  }
  return { spec: input, forward, scaling: input.scaling, layout: isNpz(file) ? 'in-out' : 'out-in' }
}

function parsed(file: string, text: string): { formatVersion: unknown; input: SavedInput; forward: ForwardSettings } {
  try {
    const { formatVersion, input, forward } = JSON.parse(text)
    if (formatVersion !== FACTS_VERSION) return { formatVersion, input, forward }
    const spec = parseInput(JSON.stringify(input))
    if (!spec || typeof forward !== 'object' || forward === null) throw new TypeError('input or forward is missing')
    return { formatVersion, input: spec, forward }
  } catch (cause) {
    throw new DataError(`${file}: '${FACTS}' is damaged: ${(cause as Error).message}, expected what \`export\` wrote`, {
      cause,
    })
  }
}
