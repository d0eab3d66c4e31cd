/** Tiles of the weights: by the number of workers, unless they decide bits. */
import t from 'tap'
import { wasm } from '../../../src/kernels/wasm/index.js'
import type { RunPlan } from '../../../src/worker/plan/run-plan.js'
import { gradientParts, layerTiles } from '../../../src/worker/plan/tiles.js'

const WIDTHS = [784, 512, 256, 10]
const planOf = (workers: number, clipNorm: number | null) =>
  ({ widths: WIDTHS, batchSize: 256, workers, clipNorm, embeddings: [] }) as unknown as RunPlan

t.test('with clipNorm, whose partial sums follow the tiles, the tiles are the same for 1 and 7 workers', async t => {
  const one = layerTiles(planOf(1, 1), wasm)
  t.strictSame(layerTiles(planOf(7, 1), wasm), one)
  t.equal(gradientParts(planOf(7, 1), wasm), one.length + 3)
  t.not(layerTiles(planOf(7, null), wasm).length, layerTiles(planOf(1, null), wasm).length)
  t.equal(gradientParts(planOf(7, null), wasm), 0)
})
