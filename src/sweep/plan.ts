/** Expands a sweep's file into its runs: the same file gives the same runs in the same order. Pure; main thread. */
import { keyOf, Purpose, philox } from '../tensor/random.js'
import type { SweepFile } from './file.js'

/** One run: its changes to the experiment. */
export interface SweepPoint {
  /** Number of the run, from 1, as in the names of directories. */
  readonly index: number
  readonly settings: Readonly<Record<string, unknown>>
}

export function sweepPoints({ set, grid, random, list, seeds }: SweepFile): SweepPoint[] {
  let points: Record<string, unknown>[] = [{ ...set }]
  const times = (variants: readonly Record<string, unknown>[]) => {
    if (variants.length > 0) points = points.flatMap(point => variants.map(variant => ({ ...point, ...variant })))
  }
  times(list)
  for (const [path, values] of Object.entries(grid)) times(values.map(value => ({ [path]: value })))
  if (random) times(Array.from({ length: random.count }, (_, draw) => drawFrom(random, draw)))
  times(seeds.map(seed => ({ seed })))
  return points.map((settings, i) => ({ index: i + 1, settings }))
}

type Random = NonNullable<SweepFile['random']>

/** Paths count in alphabetical order: in which order they stand in the file does not matter. */
function drawFrom({ seed, ranges }: Random, draw: number): Record<string, unknown> {
  const [k0, k1] = keyOf(seed, Purpose.sweep)
  const words = new Uint32Array(4)
  const paths = Object.keys(ranges).toSorted((a, b) => (a < b ? -1 : 1))
  return Object.fromEntries(
    paths.map((path, p) => {
      philox(words, draw, p, 0, 0, k0, k1)
      const share = ((words[0] >>> 5) * 2 ** 26 + (words[1] >>> 6)) / 2 ** 53
      return [path, valueIn(ranges[path], share)]
    }),
  )
}

/** `share`: uniform in [0, 1). Rounded to 4 digits, which say enough and can be read. */
function valueIn(range: Random['ranges'][string], share: number): unknown {
  if ('choices' in range) return range.choices[Math.floor(share * range.choices.length)]
  const { min, max, log, integer } = range
  const end = integer ? max + 1 : max
  const value = log ? min * (end / min) ** share : min + (end - min) * share
  return integer ? Math.min(Math.floor(value), max) : Math.min(Math.max(Number(value.toPrecision(4)), min), max)
}

/** Texts for `--set`. */
export const overridesOf = ({ settings }: SweepPoint): string[] =>
  Object.entries(settings).map(([path, value]) => `${path}=${JSON.stringify(value)}`)
