/**
 * Every kernel of the backends against the reference, over sizes around the edges of panels, lanes, tiles and blocks.
 * The bounds follow from the number of roundings: u is the unit roundoff, γ(n) = n·u / (1 - n·u). The reference runs
 * against itself too, on fewer sizes and with u = 0, which is to say that the sweep itself is sound. The native backends
 * run wherever their libraries are, and in CI they must.
 */
import t from 'tap'
import { reference } from '../../src/kernels/reference/index.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import { nativeCandidates } from '../helpers/native.js'
import * as batch from './batch-kernels.js'
import * as bias from './bias-kernels.js'
import { Lab } from './lab.js'
import { BATCHES, PRODUCTS, thinned, UPDATES } from './sizes.js'
import { Tally } from './tally.js'
import { OPTIMIZERS } from './update-checks.js'
import * as weight from './weight-kernels.js'

const every = { batches: BATCHES, products: PRODUCTS, updates: UPDATES }
const few = { batches: thinned(BATCHES), products: thinned(PRODUCTS), updates: thinned(UPDATES) }

const f32 = { u: 'u = 2^-24', exp: '2e-7', sizes: every }
const natives = await nativeCandidates()
/** What is no product is the same code with every library: the first is swept over all sizes. */
const ofOthers = { ...every, batches: few.batches }

for (const { backend, u, exp, sizes, skip, open } of [
  { backend: reference, u: 'u = 0', exp: '0', sizes: few, skip: false, open: undefined },
  { backend: wasm, ...f32, skip: false, open: undefined },
  ...natives.map((native, i) => ({ ...native, ...f32, sizes: i === 0 ? every : ofOthers })),
]) {
  t.test(`${backend.name}, ${u}`, { skip }, async t => {
    const labs = [await Lab.open(backend, open), await Lab.open(reference)] as const
    const { batches, products, updates } = sizes
    const isThinned = batches === few.batches
    const sweep = (name: string, cases: number, run: (tally: Tally) => void) =>
      t.test(name, async t => {
        const tally = new Tally()
        run(tally)
        tally.finish(t, cases)
      })

    await sweep('gather: exactly rounded', batches.count, tally => batch.sweepGather(batches, ...labs, tally))
    await sweep('gather, shifted and scaled: relative error <= 2u', batches.count, tally =>
      batch.sweepScaledGather(batches, ...labs, tally),
    )
    await sweep('linear: error <= γ(I) · |x|·|w|', products.count, tally =>
      batch.sweepProduct('linear', products, ...labs, tally),
    )
    await sweep('linearBackward: error <= γ(O) · |dz|·|wᵀ|', products.count, tally =>
      batch.sweepProduct('linearBackward', products, ...labs, tally),
    )
    await sweep(
      'biasActivate, ReLU, with and without dropout: relative error <= γ(3), masks equal',
      batches.count * batch.DROPOUTS.length,
      tally => batch.sweepBiasRelu(batches, ...labs, tally),
    )
    await sweep(
      `softmaxLoss, exp's error e = ${exp}: losses <= e, softmax <= 2e + 2u relative, deltas likewise + 3u of the delta`,
      batches.count * batch.DELTA_SCALES.length,
      tally => batch.sweepSoftmax(batches, ...labs, tally),
    )
    await sweep(
      'squaredLoss: deltas <= 4u relative, losses <= C roundings of f64',
      batches.count * batch.DELTA_SCALES.length,
      tally => batch.sweepSquared(batches, ...labs, tally),
    )
    await sweep(
      'sigmoidLoss, with and without weights: losses <= e relative, probabilities and deltas <= 2e + 6u relative',
      batches.count * batch.DELTA_SCALES.length,
      tally => batch.sweepSigmoid(batches, ...labs, tally),
    )
    await sweep(
      'biasActivate, every other activation, and activateBackward: values within 1e-6 relative + 1e-7, derivatives and deltas 1e-6',
      Math.ceil(batches.count / (isThinned ? 1 : 7)) * batch.GATED_CASES,
      tally => batch.sweepActivation(isThinned ? batches : thinned(batches), ...labs, tally),
    )
    await sweep('activateBackward, ReLU: relative error <= γ(2)', batches.count * batch.BACKWARD_RATES.length, tally =>
      batch.sweepReluBackward(batches, ...labs, tally),
    )
    await sweep('weightUpdate.accumulate: error <= γ(rows + 1) · |x|ᵀ·|dz|', products.count, tally =>
      weight.sweepWeightGradient(products, ...labs, tally),
    )
    for (const type of OPTIMIZERS) {
      for (const form of ['fused', 'reduce'] as const) {
        const sum = form === 'fused' ? 'γ(rows) · |x|ᵀ·|dz|' : 'γ(buffers - 1) · Σ|buffer|'
        await sweep(
          `weightUpdate.${form}, ${type}: error <= ${sum} carried through the update's roundings`,
          updates.count * 2,
          tally => weight.sweepWeightUpdate(form, type, updates, ...labs, tally),
        )
      }
      await sweep(
        `biasUpdate, ${type}: error <= γ(rows + 1) · Σ|dz| carried through the update's roundings`,
        batches.count * bias.BIAS_FORMS.length,
        tally => bias.sweepBiasUpdate(type, batches, ...labs, tally),
      )
    }
    await sweep('derive: exact', updates.count * 2, tally => weight.sweepDerive(updates, labs[0], tally))
    await sweep('storeRow, loadRow: exact', updates.count * 3, tally => weight.sweepRowCopies(updates, labs[0], tally))

    for (const [kind, type] of [
      ['biasActivate', 'relu'],
      ['softmaxLoss', 'relu'],
      ['activateBackward', 'relu'],
      ...batch.GATED.map(type => ['biasActivate', type] as const),
      ['activateBackward', 'gelu'],
    ] as const) {
      await t.test(`${kind}, ${type}, reports a NaN and an infinity at any position`, async t => {
        const { tried, answers } = batch.nonFiniteAnswers(labs[0], kind, type)
        t.same(answers.slice(0, 5), [], `${answers.length} failures`)
        t.equal(tried, 260)
      })
    }
  })
}
