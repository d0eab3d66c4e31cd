/**
 * Kernels of feature maps: every backend against the reference, over odd sizes, filters, strides and paddings; the reference against
 * central differences. u = 2^-24.
 */
import t from 'tap'
import type { Kernels, WeightTensors } from '../../src/kernels/backend.js'
import { reference } from '../../src/kernels/reference/index.js'
import { mapNormWidth } from '../../src/kernels/shapes.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import { convolutionsOf, patchSize, positionsOf, type Window } from '../../src/model/convolution.js'
import type { OptimizerStep } from '../../src/model/optimizer.js'
import { type FloatTensor, type Matrix, viewTensor } from '../../src/tensor/tensor.js'
import { nativeCandidates } from '../helpers/native.js'
import { GradientCheck } from './gradient-check.js'
import { fill, Lab, randoms, read, rowsOf, vector, whole } from './lab.js'
import { gamma, precisionOf, Tally } from './tally.js'

type Padding = 'same' | 'valid'
type Size = readonly [h: number, w: number, c: number, filters: number, size: number, stride: number, padding: Padding]

/** One channel and several, below, at and above the widths of panels and lines; windows larger than their stride, and smaller. */
const SIZES: readonly Size[] = [
  [1, 1, 1, 1, 1, 1, 'same'],
  [1, 7, 2, 3, 3, 1, 'same'],
  [5, 1, 3, 12, 2, 1, 'same'],
  [4, 4, 1, 5, 3, 1, 'valid'],
  [7, 5, 1, 13, 3, 1, 'same'],
  [7, 5, 3, 24, 3, 2, 'same'],
  [8, 9, 4, 25, 2, 2, 'valid'],
  [6, 7, 12, 36, 3, 1, 'same'],
  [5, 6, 13, 37, 3, 1, 'valid'],
  [9, 8, 16, 16, 5, 1, 'same'],
  [9, 8, 17, 48, 4, 3, 'same'],
  [10, 11, 7, 49, 5, 3, 'valid'],
  [11, 10, 32, 11, 3, 1, 'same'],
  [13, 3, 5, 61, 3, 2, 'same'],
  [3, 3, 33, 2, 3, 1, 'same'],
  [2, 3, 24, 7, 3, 1, 'same'],
  [12, 12, 60, 8, 1, 1, 'same'],
  [12, 13, 2, 9, 2, 3, 'valid'],
  [12, 12, 40, 12, 7, 1, 'same'],
  [14, 13, 6, 72, 6, 4, 'same'],
  // Windows that are larger than the maps, with zeros on all sides.
  [1, 1, 3, 5, 3, 1, 'same'],
  [2, 2, 1, 4, 5, 1, 'same'],
  [1, 4, 2, 6, 5, 2, 'same'],
  [3, 2, 17, 20, 7, 3, 'same'],
  // Maps of which only some rows are copied at a time.
  [40, 20, 60, 8, 3, 1, 'same'],
  [45, 40, 40, 3, 5, 2, 'same'],
]

const windowOf = ([height, width, channels, filters, size, stride, padding]: Size): Window => {
  const settings = { filters, size, stride, padding, pool: null, norm: null, dropout: 0 } as const
  return convolutionsOf({ convolutions: [settings], norm: 'none' }, { height, width, channels })[0].window
}

const STEP: OptimizerStep = {
  ...{ type: 'sgd', stepSize: 0.5, beta1: 0, beta2: 0, secondCorrection: 1, epsilon: 1e-8 },
  ...{ l2: 0, decoupledDecay: 0, clip: Number.POSITIVE_INFINITY },
} as OptimizerStep

/** Samples of a case; the kernels run over those from 1 on. */
const SAMPLES = 3

/** One convolution in a lab: random numbers of which a third are zeros, as after ReLU. */
function convolution(lab: Lab, window: Window, flat: boolean, seed = 1) {
  const random = randoms(seed)
  const { input, output } = window
  const sparse = () => {
    const x = random()
    return x < -0.33 ? 0 : x
  }
  const x = flat
    ? lab.maps(SAMPLES, positionsOf(input) * input.channels)
    : lab.maps(SAMPLES * positionsOf(input), input.channels)
  const dx = lab.maps(SAMPLES * positionsOf(input), input.channels)
  const z = lab.maps(SAMPLES * positionsOf(output), output.channels)
  const dz = lab.maps(SAMPLES * positionsOf(output), output.channels)
  const w = lab.convolutionWeight(window)
  const master = whole({ rows: w.inputs, cols: w.outputs, tensor: w.master })
  fill(whole(x), sparse)
  // Products that skip zeros are for the second sample alone.
  const positions = positionsOf(output)
  fill(whole(dz), (r, c) => (Math.floor(r / positions) === 1 && (r + c) % 16 > 0 ? 0 : sparse()))
  fill(master, random)
  const tile = { inputStart: 0, inputEnd: w.inputs, outputStart: 0, outputEnd: w.outputs }
  lab.kernels.maps.derive(w, window)(tile)
  return { x, dx, z, dz, w, master, tile }
}

const samplesOf = (matrix: Matrix, from: number, count: number) => {
  const positions = matrix.rows / SAMPLES
  return rowsOf(matrix, from * positions, count * positions)
}

function compareConvolutions(labs: readonly [Lab, Lab], tally: Tally): void {
  for (const [i, size] of SIZES.entries()) {
    const window = windowOf(size)
    const results = labs.map(lab => {
      lab.reset()
      const { x, dx, z, dz, w, tile } = convolution(lab, window, i % 3 === 0)
      const { maps } = lab.kernels
      const outputs = samplesOf(z, 1, 2)
      const forward = lab.guarded([outputs], () => maps.convolution(z, x, w, window)(1, 2))
      const deltas = samplesOf(dx, 1, 2)
      const backward = lab.guarded([deltas], () => maps.convolutionBackward(dx, dz, w, window)(1, 2))
      const updates = maps.convolutionUpdate(w, x, dz, window)
      const [one, other, kept] = [1, 2, 3].map(() => lab.weightBuffer(w.inputs, w.outputs))
      const gradients = [one, other].map(whole)
      const gradient = lab.guarded(gradients, () => {
        updates.accumulate(one.tensor, tile, 0, 2, true)
        updates.accumulate(other.tensor, tile, 2, 1, true)
      })
      const sum = lab.guarded([whole(kept)], () => updates.sum(kept.tensor, [one.tensor, other.tensor], tile, true))
      const summed = read(whole(kept))
      updates.sum(kept.tensor, [other.tensor], tile, false)
      const added = read(whole(kept))
      updates.reduce([one.tensor, other.tensor], tile, STEP)
      const weights = read(whole({ rows: w.inputs, cols: w.outputs, tensor: w.master }))
      maps.convolutionBackward(dx, dz, w, window)(1, 2)
      return {
        ...{ z: read(outputs), summed, added, weights },
        dx: read(deltas),
        strays: [forward, backward, gradient, sum].map(({ strays }) => strays).join(''),
      }
    })
    const [got, want] = results
    const { u } = precisionOf(labs[0])
    const check = tally.case(`${size.join(' ')}`)
    check.equal('strays', got.strays, '')
    // Every term is below 1; sums of updated weights are below 1 + their gradient.
    const terms = patchSize(window)
    const rows = 3 * positionsOf(window.output)
    const deltaTerms = window.size ** 2 * window.output.channels
    check.near('z', got.z, want.z, () => 2 * terms * gamma(terms + 2, { u }))
    check.near('summed', got.summed, want.summed, () => 2 * rows * gamma(rows + 2, { u }))
    check.near('added', got.added, want.added, () => 4 * rows * gamma(rows + 2, { u }))
    check.near('weights', got.weights, want.weights, () => 2 * rows * gamma(rows + 4, { u }))
    check.near('dx', got.dx, want.dx, () => 4 * rows * deltaTerms * gamma(rows + deltaTerms + 4, { u }))
  }
}

const POOLS = [
  [2, 2, 1, 2],
  [4, 6, 3, 2],
  [5, 7, 4, 2],
  [7, 8, 13, 3],
  [9, 9, 17, 4],
  [6, 5, 32, 5],
] as const

function comparePools(labs: readonly [Lab, Lab], tally: Tally): void {
  for (const [height, width, channels, size] of POOLS) {
    for (const type of ['max', 'average'] as const) {
      const input = { height, width, channels }
      const output = { height: Math.floor(height / size), width: Math.floor(width / size), channels }
      const window: Window = { input, output, size, stride: size, top: 0, left: 0 }
      const [got, want] = labs.map(lab => {
        lab.reset()
        const random = randoms(height * width)
        const x = lab.maps(SAMPLES * positionsOf(input), channels)
        const dx = lab.maps(SAMPLES * positionsOf(input), channels)
        const z = lab.maps(SAMPLES * positionsOf(output), channels)
        const dz = lab.maps(SAMPLES * positionsOf(output), channels)
        fill(whole(x), () => Math.max(0, Math.round(random() * 3))) // equal numbers, of which the first wins
        fill(whole(dz), random)
        const [outputs, deltas] = [samplesOf(z, 1, 2), samplesOf(dx, 1, 2)]
        const { maps } = lab.kernels
        const forward = lab.guarded([outputs], () => maps.pool(z, x, window, type)(1, 2))
        const backward = lab.guarded([deltas], () => maps.poolBackward(dx, dz, x, window, type)(1, 2))
        return { z: read(outputs), dx: read(deltas), strays: forward.strays + backward.strays }
      })
      const check = tally.case(`${type} ${height} ${width} ${channels} ${size}`)
      const bound = type === 'max' ? 0 : 4 * gamma(size * size + 2, precisionOf(labs[0]))
      check.equal('strays', got.strays, '')
      check.near('z', got.z, want.z, () => bound)
      check.near('dx', got.dx, want.dx, () => bound)
    }
  }
}

function compareCopies(labs: readonly [Lab, Lab], tally: Tally): void {
  for (const [height, width, channels] of POOLS) {
    const shape = { height, width, channels }
    const positions = positionsOf(shape)
    const [got, want] = labs.map(lab => {
      lab.reset()
      const random = randoms(3)
      const x = lab.maps(SAMPLES * positions, channels)
      const back = lab.maps(SAMPLES * positions, channels)
      const flat = lab.matrix(SAMPLES, positions * channels)
      fill(whole(x), random)
      const samples = lab.integers([4, 1, 7])
      const { maps } = lab.kernels
      const [outputs, deltas] = [rowsOf(flat, 1, 2), samplesOf(back, 1, 2)]
      const flattened = lab.guarded([outputs], () => maps.flatten(flat, x)(1, 2))
      const restored = lab.guarded([deltas], () => maps.unflatten(back, flat)(1, 2))
      const [there, again] = [samplesOf(x, 1, 2), deltas].map(read)
      const same = again.every((value, i) => value === there[i])
      const dropped = lab.guarded([deltas], () =>
        maps.dropout(back, shape, { rate: 0.4, seed: 5, layer: 2, samples })(1, 2, 3),
      )
      const strays = flattened.strays + restored.strays + dropped.strays
      return { flat: read(outputs), dropped: read(deltas), strays, same }
    })
    const check = tally.case(`${height} ${width} ${channels}`)
    check.equal('strays', got.strays, '')
    check.equal('there and back', got.same, true)
    check.near('flat', got.flat, want.flat, () => 0)
    check.near('dropped', got.dropped, want.dropped, () => 4 * precisionOf(labs[0]).u)
  }
}

/** Means far from 0 beside a small deviation, too: their sums of squares cancel in all but a few bits. */
function compareNorms(labs: readonly [Lab, Lab], tally: Tally): void {
  for (const [height, width, channels] of POOLS) {
    const rows = SAMPLES * height * width
    for (const mean of [0, 100]) {
      const [got, want] = labs.map(lab => {
        lab.reset()
        const random = randoms(height * width)
        const [z, normed, dz] = [1, 2, 3].map(() => lab.maps(rows, channels))
        for (const of of [z, normed, dz]) fill(whole(of), () => Math.fround((of === z ? mean : 0) + random()))
        const norm = lab.kernels.maps.batchNorm(z, normed, dz)
        const sums = lab.doubles(2 * 2 * mapNormWidth(channels))
        const groups = viewGroups(sums, channels)
        const of = (row: number, count: number) => [z, normed, dz].map(matrix => rowsOf(matrix, row, count))
        const summed = lab.guarded([wholeVector(sums)], () => {
          norm.sums(groups, 1, 1, rows - 2, true)
          norm.sums(groups, 1, rows - 1, 1, false)
          norm.gradientSums(groups, 0, 1, rows - 1, true)
        })
        // Beyond the last channel lies padding.
        const numbers = Array.from({ length: 4 * channels }, (_, i) =>
          groups.get(Math.floor(i / (2 * channels)), Math.floor(i / channels) % 2, i % channels),
        )
        const table = [0, 1, 2].map(i =>
          Float64Array.from({ length: channels }, (_, c) => (i === 0 ? mean : 0.3) + c / 99),
        )
        const back = lab.guarded([of(1, 2)[2]], () => norm.backward(1, 2, [table[1], table[2], table[1]]))
        const forward = lab.guarded(of(1, 2).slice(0, 2), () =>
          norm.normalise(1, 2, [table[0], table[1], table[2]], true),
        )
        const [scaled, kept, deltas] = of(1, 2).map(read)
        const scored = lab.guarded([of(3, 1)[0]], () => norm.normalise(3, 1, [table[0], table[1], table[2]], false))
        return {
          ...{ numbers, scaled, kept, deltas, finite: back.result },
          strays: [summed, back, forward, scored].map(({ strays }) => strays).join(''),
          scored: read(of(3, 1)[0]),
        }
      })
      const check = tally.case(`${height} ${width} ${channels} mean ${mean}`)
      const { u } = precisionOf(labs[0])
      const largest = mean + 1
      check.equal('strays', got.strays, '')
      check.equal('finite', got.finite, true)
      check.near('sums', got.numbers, want.numbers, () => rows * largest ** 2 * gamma(rows, { u: 2 ** -53 }))
      check.near('deltas', got.deltas, want.deltas, () => 8 * gamma(6, { u }))
      // A table holds what a channel subtracts to more bits than f32.
      for (const name of ['kept', 'scaled', 'scored'] as const)
        check.near(name, got[name], want[name], () => 8 * gamma(4, { u }))
    }
  }
}

/** The first `shape[0]` sums of lab.doubles as those of two groups. */
const viewGroups = (sums: FloatTensor, channels: number): FloatTensor =>
  viewTensor(sums.data.buffer, 'float64', [2, 2, mapNormWidth(channels)], sums.data.byteOffset + 8 * sums.offset)
const wholeVector = (tensor: FloatTensor) => whole(vector(tensor.shape[0], tensor))

for (const { backend, skip, open } of [
  { backend: wasm, skip: false, open: undefined },
  ...(await nativeCandidates()),
]) {
  t.test(backend.name, { skip }, async t => {
    const labs = [await Lab.open(backend, open), await Lab.open(reference)] as const
    for (const [name, cases, compare] of [
      ['convolution, forward and backward: within γ(terms) of the reference', SIZES.length, compareConvolutions],
      ['pooling: max exact, average within 4γ(terms); the first of several largest gets the delta', 12, comparePools],
      ['batch normalisation: sums within γ(rows) of f64, a few roundings of f32 beside them', 12, compareNorms],
      ['maps to rows and back, exact; dropped as the reference drops them', POOLS.length, compareCopies],
    ] as const) {
      await t.test(name, async t => {
        const tally = new Tally()
        compare(labs, tally)
        tally.finish(t, cases)
      })
    }
  })
}

t.test('reference: gradients of convolutions and poolings within 1e-6 of central differences', async t => {
  const lab = await Lab.open(reference)
  let cases = 0
  for (const type of ['max', 'average'] as const) {
    for (const size of [
      [5, 6, 2, 3, 3, 1, 'same'],
      [6, 6, 2, 2, 3, 2, 'same'],
      [5, 5, 1, 3, 2, 1, 'valid'],
    ] as Size[]) {
      lab.reset()
      const { maps }: Kernels = lab.kernels
      const window = windowOf(size)
      const { x, dx, z, dz, w, master, tile } = convolution(lab, window, false, cases)
      fill(whole(x), randoms(cases + 20))
      const { output } = window
      const pooled = {
        height: Math.floor(output.height / 2),
        width: Math.floor(output.width / 2),
        channels: output.channels,
      }
      const pool: Window = { input: output, output: pooled, size: 2, stride: 2, top: 0, left: 0 }
      const [p, dp] = [1, 2].map(() => lab.maps(SAMPLES * positionsOf(pooled), pooled.channels))
      const factors = randoms(99)
      fill(whole(dp), factors)
      const objective = () => {
        maps.convolution(z, x, w, window)(0, SAMPLES)
        maps.pool(p, z, pool, type)(0, SAMPLES)
        const [values, weights] = [read(whole(p)), read(whole(dp))]
        return values.reduce((sum, value, i) => sum + value * weights[i], 0)
      }
      objective()
      maps.poolBackward(dz, dp, z, pool, type)(0, SAMPLES)
      maps.convolutionBackward(dx, dz, w, window)(0, SAMPLES)
      const gradient = lab.weightBuffer(w.inputs, w.outputs)
      maps.convolutionUpdate(w as WeightTensors, x, dz, window).accumulate(gradient.tensor, tile, 0, SAMPLES, true)
      const check = new GradientCheck()
      check.compare(objective, whole(x), read(whole(dx)))
      check.compare(objective, master, read(whole(gradient)))
      t.ok(check.worst < 1e-6, `${type} ${size.join(' ')}: largest relative error ${check.worst} of ${check.count}`)
      cases++
    }
  }
  t.equal(cases, 6)
})

t.test('reference: max pooling lets a NaN through', async t => {
  const lab = await Lab.open(reference)
  const portable = await Lab.open(wasm)
  const shape = { height: 2, width: 2, channels: 1 }
  const window: Window = {
    input: shape,
    output: { height: 1, width: 1, channels: 1 },
    size: 2,
    stride: 2,
    top: 0,
    left: 0,
  }
  for (const { kernels, maps } of [lab, portable].map(of => ({ kernels: of.kernels, maps: of }))) {
    for (let at = 0; at < 4; at++) {
      const [x, out] = [maps.maps(4, 1), maps.maps(1, 1)]
      fill(whole(x), r => (r === at ? Number.NaN : r))
      kernels.maps.pool(out, x, window, 'max')(0, 1)
      t.same(read(whole(out)), [Number.NaN])
    }
  }
})
