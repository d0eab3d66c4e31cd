/**
 * Names of arrays as other programs write them: which module an array belongs to, what it is there, and which of two
 * modules comes first. Pure; any thread.
 *
 * A module is what a name has before its last part: `encoder.0` of `encoder.0.weight`, `dense_1` of `dense_1/kernel:0`.
 */
import type { Parameter } from '../model/parameters.js'

export type Kind = Parameter['kind']

/** Kind of an array by the last part of its name. `weight` and `bias` of a normalisation are its scale and shift. */
const KINDS: Readonly<Record<string, Kind>> = {
  ...{ weight: 'weight', weights: 'weight', kernel: 'weight', w: 'weight' },
  ...{ bias: 'bias', biases: 'bias', b: 'bias' },
  // scikit-learn's MLPClassifier has lists of arrays: coefs_0, intercepts_0.
  ...{ coefs: 'weight', coef: 'weight', intercepts: 'bias', intercept: 'bias' },
  ...{ gamma: 'scale', scale: 'scale', beta: 'shift', shift: 'shift', offset: 'shift' },
  ...{ running_mean: 'mean', moving_mean: 'mean', mean: 'mean' },
  ...{ running_var: 'variance', moving_variance: 'variance', variance: 'variance', var: 'variance' },
}
/** Longest first: `running_mean` before `mean`. */
const WORDS = Object.keys(KINDS)
  .sort((a, b) => b.length - a.length)
  .join('|')
const LAST = new RegExp(`^(.+?)[./_-](${WORDS})$`, 'i')
/** `W1`, `bias_2`, `kernel-out`: the kind first. */
const FIRST = new RegExp(`^(${WORDS})[./_-]?(\\d.*|(?<=[./_-]).+)$`, 'i')
const ALONE = new RegExp(`^(${WORDS})$`, 'i')
/** Keras 3 numbers the arrays of a layer. */
const KERAS_VARS = /^(.+)\/vars\/(\d+)$/
/** Flax keeps parameters and statistics of one module in two collections. */
const COLLECTION = /^(params|batch_stats)[./]/

export interface ArrayName {
  /** Empty where the name says no more than what the array is. */
  readonly module: string
  /** null where the name does not say. */
  readonly kind: Kind | null
  /** Number of the array in its layer, in files of Keras 3; else null. */
  readonly index: number | null
}

export function parseName(name: string): ArrayName {
  const plain = name.replace(/:\d+$/, '').replace(COLLECTION, '')
  const [, layer, number] = KERAS_VARS.exec(plain) ?? []
  if (layer !== undefined) return { module: layer, kind: null, index: Number(number) }
  const kindOf = (word: string) => KINDS[word.toLowerCase()]
  const [, alone] = ALONE.exec(plain) ?? []
  if (alone !== undefined) return { module: '', kind: kindOf(alone), index: null }
  const [, before, last] = LAST.exec(plain) ?? []
  if (before !== undefined) return { module: before, kind: kindOf(last), index: null }
  const [, first, after] = FIRST.exec(plain) ?? []
  if (first !== undefined) return { module: after, kind: kindOf(first), index: null }
  return { module: plain, kind: null, index: null }
}

/** `arr_0`, `arr_1`: NumPy's names of arrays without one, in the order in which they were given. */
export const numpyIndex = (name: string): number | null => {
  const [, number] = /^arr_(\d+)$/.exec(name) ?? []
  return number === undefined ? null : Number(number)
}

/** Parts of a module's path; each is a word and what it is numbered by. */
export const pathOf = (module: string): readonly string[] => module.split(/[./]/)

/**
 * Order of modules by name: negative if `a` comes before `b`, positive if after, 0 if names do not decide. They decide if
 * the first difference is a number: `layer.9` before `layer.10`, `fc1` before `fc2`. Words do not: `encoder` and
 * `decoder`, `fc1` and `bn1`. `bareIsFirst`: `dense` comes before `dense_1`, as TensorFlow and Keras count; elsewhere
 * `fc` behind `fc_1` and `fc_2` is as likely.
 */
export function compareModules(a: string, b: string, bareIsFirst: boolean): number {
  const [first, second] = [pathOf(a), pathOf(b)]
  for (let i = 0; i < Math.min(first.length, second.length); i++) {
    if (first[i] !== second[i]) return compareParts(first[i], second[i], bareIsFirst)
  }
  return 0
}

function compareParts(a: string, b: string, bareIsFirst: boolean): number {
  const [first, second] = [tokensOf(a), tokensOf(b)]
  for (let i = 0; i < Math.min(first.length, second.length); i++) {
    if (first[i] === second[i]) continue
    if (NUMBER.test(first[i]) && NUMBER.test(second[i])) return Number(first[i]) - Number(second[i])
    break
  }
  return bareIsFirst ? countOf(a, b) - countOf(b, a) : 0
}

const NUMBER = /^\d+$/
const tokensOf = (part: string): string[] => part.match(/\d+|\D+/g) ?? []

/** n, where `part` is `bare_n`; else 0. */
function countOf(part: string, bare: string): number {
  const isCounted = !/\d$/.test(bare) && part.startsWith(`${bare}_`) && NUMBER.test(part.slice(bare.length + 1))
  return isCounted ? Number(part.slice(bare.length + 1)) : 0
}
