/**
 * Batch and layer normalisation of every backend against the reference, over the sizes of the kernel sweeps. Their sums
 * are f64, so that a bound counts the roundings to f32 alone: u = 2^-24.
 */
import t from 'tap'
import { reference } from '../../src/kernels/reference/index.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import { nativeCandidates } from '../helpers/native.js'
import { Lab } from './lab.js'
import { nonFiniteDeltas, sweepBatchNorm, sweepBatchNormBackward, sweepLayerNorm } from './norm-kernels.js'
import { BATCHES, thinned } from './sizes.js'
import { Tally } from './tally.js'

for (const { backend, sizes, skip, open } of [
  { backend: reference, sizes: thinned(BATCHES), skip: false, open: undefined },
  { backend: wasm, sizes: BATCHES, skip: false, open: undefined },
  ...(await nativeCandidates()).map(native => ({ ...native, sizes: BATCHES })),
]) {
  t.test(`${backend.name}`, { skip }, async t => {
    const labs = [await Lab.open(backend, open), await Lab.open(reference)] as const
    for (const { name, cases, sweep } of [
      {
        name: 'batchNorm: mean, variance and normed within u, z 2u, factors 3u relative, + 1e-11',
        ...{ cases: 2, sweep: sweepBatchNorm },
      },
      {
        name: 'normSums and batchNormBackward: within u relative + 1e-11',
        ...{ cases: 2, sweep: sweepBatchNormBackward },
      },
      {
        name: 'layerNorm and layerNormBackward: normed and deltas within u, z 2u relative, + 1e-11',
        ...{ cases: 3, sweep: sweepLayerNorm },
      },
    ]) {
      await t.test(name, async t => {
        const tally = new Tally()
        sweep(sizes, ...labs, tally)
        tally.finish(t, cases * sizes.count)
      })
    }
    for (const norm of ['batch', 'layer'] as const) {
      await t.test(`${norm} norm reports deltas that are not finite, at any position`, async t => {
        const { tried, answers } = nonFiniteDeltas(labs[0], norm)
        t.same(answers.slice(0, 5), [], `${answers.length} failures`)
        t.equal(tried, 260)
      })
    }
  })
}
