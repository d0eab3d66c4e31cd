/**
 * Waves in which ranks update the weights, so that those of one wave travel while the next one is computed. Pure; any thread.
 */
import type { Backend } from '../../kernels/backend.js'
import type { RunPlan } from './run-plan.js'
import { areaOf, layerTiles } from './tiles.js'
import { shareWeights, type WeightSharing, weightsReceived, weightsSent } from './weight-use.js'

/** Least bytes that a rank gets in a wave: a link of 10 Gbit/s takes about 1 ms for them, an exchange costs about a tenth of that. */
const WAVE_BYTES = 2 ** 20
/** With W waves 1 / W of the weights travels when all is computed; each has a barrier at which workers wait for each other. */
export const MOST_WAVES = 4

/**
 * Tiles of each wave, in their order; every wave has about as much of what each rank sends, since the slowest direction counts, and of its work.
 * One wave where this process is alone.
 */
export function wavesOf(plan: RunPlan, backend: Backend): readonly (readonly number[])[] {
  if (!plan.ranks) return [[...layerTiles(plan, backend).keys()]]
  const { size } = plan.ranks
  const sharing = shareWeights(plan, backend)
  const bytes = 4 * Math.max(...weightsReceived(sharing, size))
  return inWaves(sharing, size, Math.min(MOST_WAVES, Math.max(1, Math.floor(bytes / WAVE_BYTES))))
}

function inWaves(sharing: WeightSharing, size: number, count: number): number[][] {
  const { tiles, owners } = sharing
  const work = tiles.map(({ tile }) => areaOf(tile))
  const sent = tiles.map((_, t) => weightsSent(sharing, t, size))
  const waves = Array.from({ length: count }, (): number[] => [])
  const sums = () => Array.from({ length: size }, () => new Float64Array(count))
  const [sentIn, workIn] = [sums(), sums()]
  // The largest first, each to the wave in which its rank sends least, then has least to do.
  for (const t of [...tiles.keys()].toSorted((a, b) => sent[b] - sent[a] || work[b] - work[a] || a - b)) {
    const [sentBy, workBy] = [sentIn[owners[t]], workIn[owners[t]]]
    let best = 0
    for (let wave = 1; wave < count; wave++) {
      const difference = (sent[t] > 0 ? sentBy[wave] - sentBy[best] : 0) || workBy[wave] - workBy[best]
      if (difference < 0) best = wave
    }
    waves[best].push(t)
    sentBy[best] += sent[t]
    workBy[best] += work[t]
  }
  return waves.filter(wave => wave.length > 0).map(wave => wave.sort((a, b) => a - b))
}
