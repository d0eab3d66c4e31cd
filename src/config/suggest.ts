/** Did-you-mean: the nearest of some known names, and the nearest setting to an unknown one. Pure; any thread. */
import { isKnown, isSection, keysOf, settings } from './settings.js'

/** Names of settings in other programs, spelled as `normal` returns them. */
const ALIASES: Readonly<Record<string, string>> = {
  lr: 'optimizer.learningRate',
  alpha: 'optimizer.learningRate',
  beta: 'optimizer.beta1',
  eps: 'optimizer.epsilon',
  decay: 'schedule.decayRate',
  layers: 'model.hidden',
  hiddenlayers: 'model.hidden',
  units: 'model.hidden',
  lambda: 'train.l2',
  weightdecay: 'train.l2',
  threads: 'compute.workers',
  keepprob: 'model.dropout',
}

/** The entry of `known` that `name` is most likely a misspelling of. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map(candidate => ({ candidate, distance: misspelling(normal(name), normal(candidate)) }))
    .filter(({ distance }) => Number.isFinite(distance))
    .sort((a, b) => a.distance - b.distance)
  return ranked[0]?.candidate
}

/**
 * The known path most likely meant by `key` under `section`: the same word in another spelling, here or in another
 * section, is preferred to a similar word.
 */
export function nearestPath(section: string, key: string): string | undefined {
  const join = (child: string) => (section === '' ? child : `${section}.${child}`)
  const same = (name: string) => normal(name) === normal(key)
  const here = keysOf(section)
  const everywhere = [...new Set(settings().flatMap(({ path }) => [path, path.split('.')[0]]))]
  const nameOf = (path: string) => path.slice(path.lastIndexOf('.') + 1)

  const sameHere = here.find(same)
  if (sameHere) return join(sameHere)
  const sameElsewhere = everywhere.find(path => same(nameOf(path)) || same(path))
  if (sameElsewhere) return sameElsewhere
  if (Object.hasOwn(ALIASES, normal(key))) return ALIASES[normal(key)]
  const nearHere = nearest(key, here)
  if (nearHere) return join(nearHere)
  const nearElsewhere = nearest(key, everywhere.map(nameOf))
  return everywhere.find(path => nameOf(path) === nearElsewhere)
}

/** The known path most likely meant by a whole unknown path, corrected key by key from the left. */
export function nearestWhole(path: string): string | undefined {
  const keys = path.split('.')
  let mended = ''
  for (const [i, key] of keys.entries()) {
    const next = mended === '' ? key : `${mended}.${key}`
    if (isKnown(next)) {
      mended = next
      continue
    }
    if (!isSection(mended)) return mended // it has no keys; it is a setting itself
    const found = nearestPath(mended, key)
    // Try the last key alone if a section is wrong: "training.batchSize" is still clear.
    if (found === undefined) return i + 1 < keys.length ? nearestPath('', keys[keys.length - 1]) : undefined
    mended = found
  }
  return mended
}

/** Name without differences of spelling: "batch_size" and "BatchSize" become the same. */
function normal(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
}

/** Edits between two names if few enough for a typo or if one begins the other, else infinite. */
function misspelling(a: string, b: string): number {
  const longest = Math.max(a.length, b.length)
  const begins = Math.min(a.length, b.length) >= 3 && (a.startsWith(b) || b.startsWith(a))
  // A pasted paragraph is not a typo, and not worth a table of its size.
  if (longest > 64) return Number.POSITIVE_INFINITY
  const distance = editDistance(a, b)
  if (distance <= Math.max(1, Math.floor(longest * 0.34)) && distance < longest) return distance
  return begins ? distance : Number.POSITIVE_INFINITY
}

/** Number of insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)
      row[j] = Math.min(above[j] + 1, row[j - 1] + 1, replaced)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) row[j] = Math.min(row[j], before[j - 2] + 1)
    }
    before = above
    above = row
  }
  return above[b.length]
}
