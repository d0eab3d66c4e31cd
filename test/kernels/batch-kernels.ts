/**
 * The kernels that run over the rows of a batch, a candidate against the reference: each function sweeps one kernel, both labs given the
 * same numbers, and tallies. Rows outside the range and everything else must stay as they were.
 */

import type { Kernels } from '../../src/kernels/backend.js'
import { type Activation, keepsDerivatives } from '../../src/model/activation.js'
import { fill, type Lab, type Region, randoms, read, rowsOf, vector, weightSheets, whole } from './lab.js'
import { type ProductSizes, placement, type RowSizes, type Sweep } from './sizes.js'
import { gamma, precisionOf, type Tally } from './tally.js'

/** Binds one kernel in a lab to tensors made for a case: what it writes, and how to run it. */
interface Bound<T> {
  readonly outputs: readonly Region[]
  readonly run: () => T
}
/** `of` is applied to every input: magnitudes go through the same kernel to scale the error bound. */
type Build<T> = (lab: Lab, of: (x: number) => number) => Bound<T>

const same = (x: number) => x
const RELU = { type: 'relu', derivatives: null } as const

/** Runs a case in a lab of its own tensors: its outputs' numbers, what it returned, what else it wrote. */
function runIn<T>(lab: Lab, build: Build<T>, of = same) {
  lab.reset()
  const { outputs, run } = build(lab, of)
  return { ...lab.guarded(outputs, run), values: outputs.map(read) }
}

export function sweepGather({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  let n = 0
  for (const [rows, F] of sizes) {
    const { row, B } = placement(n++, rows)
    const build: Build<void> = lab => {
      const random = randoms(n)
      const images = lab.bytes(7, F, () => Math.floor((random() + 1) * 128))
      const samples = lab.integers(Array.from({ length: B }, (_, r) => (r * 5 + n) % 7))
      const out = lab.matrix(B, F)
      const kernel = lab.kernels.gather(out, images, samples, null)
      return { outputs: [rowsOf(out, row, rows)], run: () => kernel(row, rows) }
    }
    const want = runIn(truth, build).values[0].map(x => candidate.round(x))
    const got = runIn(candidate, build)
    const check = tally.case(`gather rows ${row}+${rows} of ${B}, F ${F}`)
    check.near('out', got.values[0], want, () => 0)
    check.equal('strays', got.strays, '')
  }
}

export function sweepScaledGather({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  const { u } = precisionOf(candidate)
  let n = 0
  for (const [rows, F] of sizes) {
    const { row, B } = placement(n++, rows)
    const build: Build<void> = lab => {
      const random = randoms(n)
      const bytes = n % 2 === 0
      const features = bytes ? lab.bytes(7, F, () => Math.floor((random() + 1) * 128)) : lab.singles(7, F)
      if (!bytes) for (let i = 0; i < 7; i++) for (let f = 0; f < F; f++) features.set(i, f, Math.fround(random()))
      const one = (value: () => number) => {
        const tensor = lab.single(F)
        for (let f = 0; f < F; f++) tensor.set(f, Math.fround(value()))
        return tensor
      }
      // Offsets of whole numbers: the difference from a byte is exact, that from a number is rounded once.
      const scaling = { offset: one(() => Math.round(random() * 3)), factor: one(random) }
      const samples = lab.integers(Array.from({ length: B }, (_, r) => (r * 5 + n) % 7))
      const out = lab.matrix(B, F)
      const kernel = lab.kernels.gather(out, features, samples, scaling)
      return { outputs: [rowsOf(out, row, rows)], run: () => kernel(row, rows) }
    }
    const want = runIn(truth, build).values[0]
    const got = runIn(candidate, build)
    const check = tally.case(`gather, scaled, rows ${row}+${rows} of ${B}, F ${F}`)
    check.near('out', got.values[0], want, i => 2.001 * u * Math.abs(want[i]))
    check.equal('strays', got.strays, '')
  }
}

/** `linear` (K is I) and `linearBackward` (K is O). */
export function sweepProduct(
  kind: 'linear' | 'linearBackward',
  { sizes }: Sweep<ProductSizes>,
  candidate: Lab,
  truth: Lab,
  tally: Tally,
): void {
  const precision = precisionOf(candidate)
  let n = 0
  for (const [rows, I, O] of sizes) {
    const { row, B } = placement(n++, rows)
    const build: Build<void> = (lab, of) => {
      const random = randoms(n)
      const from = lab.matrix(B, kind === 'linear' ? I : O)
      const to = lab.matrix(B, kind === 'linear' ? O : I)
      fill(rowsOf(from, row, rows), () => of(random()))
      const w = lab.weight(I, O)
      const values = Float64Array.from({ length: I * O }, () => of(random()))
      const [master, transposed] = weightSheets(w)
      fill(whole(master), (i, o) => values[i * O + o])
      if (transposed) fill(whole(transposed), (o, i) => values[i * O + o])
      const kernel = lab.kernels[kind](to, from, w)
      return { outputs: [rowsOf(to, row, rows)], run: () => kernel(row, rows) }
    }
    const want = runIn(truth, build).values[0]
    const magnitude = runIn(truth, build, Math.abs).values[0]
    const got = runIn(candidate, build)
    const check = tally.case(`${kind} rows ${row}+${rows} of ${B}, I ${I}, O ${O}`)
    const share = gamma(kind === 'linear' ? I : O, precision)
    check.near('out', got.values[0], want, i => share * magnitude[i])
    check.equal('strays', got.strays, '')
  }
}

/** Rates and modes of `sweepBiasRelu`. */
export const DROPOUTS = [
  { rate: 0, training: true },
  { rate: 0.3, training: false },
  { rate: 0.3, training: true },
  { rate: 0.5, training: true },
  { rate: 0.96, training: true },
] as const

export function sweepBiasRelu({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  const share = gamma(3, precisionOf(candidate))
  let n = 0
  for (const [rows, O] of sizes) {
    for (const { rate, training } of DROPOUTS) {
      const { row, B } = placement(n++, rows)
      const build: Build<boolean> = lab => {
        const random = randoms(n)
        const z = lab.matrix(B, O)
        fill(rowsOf(z, row, rows), () => random() + 0.25)
        const bias = lab.bias(O)
        fill(whole(vector(O, bias.master)), () => random() / 8)
        const samples = lab.integers(Array.from({ length: B }, () => Math.floor((random() + 1) * 2 ** 30)))
        const seed = n % 2 === 0 ? n : n * 2 ** 40 + 5
        const kernel = lab.kernels.biasActivate(z, bias, RELU, { rate, seed, layer: n % 5, samples })
        return { outputs: [rowsOf(z, row, rows)], run: () => kernel(row, rows, n * 3, training) }
      }
      const want = runIn(truth, build)
      const got = runIn(candidate, build)
      const mode = training ? 'training' : 'not training'
      const check = tally.case(`biasActivate relu rows ${row}+${rows} of ${B}, O ${O}, rate ${rate}, ${mode}`)
      check.near('z', got.values[0], want.values[0], i => share * want.values[0][i])
      check.equal('first unit off in only one mask', firstDifferentZero(got.values[0], want.values[0]), -1)
      check.equal('finite', got.result, true)
      check.equal('strays', got.strays, '')
    }
  }
}

function firstDifferentZero(a: Float64Array, b: Float64Array): number {
  return a.findIndex((x, i) => (x === 0) !== (b[i] === 0))
}

/** Cases of `sweepSoftmax`: without deltas, and with deltas that need rounding. */
export const DELTA_SCALES = [0, 1 / 100] as const

export function sweepSoftmax({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  const { u, exp, tiny } = precisionOf(candidate)
  let n = 0
  for (const [rows, C] of sizes) {
    for (const deltaScale of DELTA_SCALES) {
      const smoothing = n % 3 === 1 ? 0.3 : 0
      const mixes = n % 4 >= 2
      const { row, B } = placement(n++, rows)
      // Logits on a grid of 2^-10, so that adding the bias and taking the largest away are exact in f32: small ones,
      // ones so far apart that exponentials vanish, and whole numbers, among which the largest is often tied.
      const [spread, grid] = [[4, 1024] as const, [200, 1024] as const, [2, 1] as const][n % 3]
      const build: Build<boolean> = lab => {
        const random = randoms(n)
        const value = () => Math.round(random() * spread * grid) / grid
        const z = lab.matrix(B, C)
        fill(rowsOf(z, row, rows), value)
        const bias = lab.bias(C)
        fill(whole(vector(C, bias.master)), value)
        const labels = lab.integers(Array.from({ length: 50 }, () => Math.floor(((random() + 1) / 2) * C)))
        const samples = lab.integers(Array.from({ length: B }, () => Math.floor((random() + 1) * 25)))
        const losses = vector(B, lab.doubles(B))
        const correct = vector(B, lab.integers(Array(B).fill(-7)))
        const kernel = lab.kernels.softmaxLoss({
          ...{ z, bias, labels, samples },
          ...{ losses: losses.tensor, correct: correct.tensor, smoothing },
          ...(mixes && {
            mixed: {
              partners: Int32Array.from({ length: B }, () => Math.floor((random() + 1) * 25)),
              shares: Float64Array.from({ length: B }, () => (192 + Math.floor(random() * 65)) / 256),
            },
          }),
        })
        const part = { row: 0, rows: 1, col: row, cols: rows }
        const outputs = [rowsOf(z, row, rows), { sheet: losses, ...part }, { sheet: correct, ...part }]
        return { outputs, run: () => kernel(row, rows, deltaScale) }
      }
      const want = runIn(truth, build)
      const got = runIn(candidate, build)
      const name = `softmaxLoss rows ${row}+${rows} of ${B}, C ${C}, deltaScale ${deltaScale}, logits to ${spread}${mixes ? ', mixed' : ''}`
      const check = tally.case(name)
      // Softmax: an exponential over a sum of them, rounded to f32, and the quotient rounded.
      const share = 1.001 * (2 * exp + 2 * u)
      // Deltas: the label's 1 taken away, the scale rounded, their product rounded. p is at most 1 + |p - onehot|.
      const bound =
        deltaScale > 0
          ? (d: number) =>
              // Smoothed or mixed: the shares and their differences too, of numbers up to 1.
              (smoothing > 0 || mixes ? deltaScale * (share + 4 * u) : 0) +
              deltaScale * share * Math.min(1, d < 0 ? 1 + d / deltaScale : d / deltaScale) +
              3.001 * u * Math.abs(d) +
              tiny // where subnormal deltas are flushed
          : (p: number) => share * p + tiny
      check.near('z', got.values[0], want.values[0], i => bound(want.values[0][i]))
      // The logarithm of the sum; the logit itself is exact.
      check.near(
        'losses',
        got.values[1],
        want.values[1],
        i => 1.001 * exp + (exp && 2e-15 * want.values[1][i]) + (mixes ? 1 : smoothing) * 1e-11,
      )
      check.near('correct', got.values[2], want.values[2], () => 0)
      check.equal('finite', got.result, true)
      check.equal('strays', got.strays, '')
    }
  }
}

export function sweepSquared({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  const { u, tiny } = precisionOf(candidate)
  let n = 0
  for (const [rows, C] of sizes) {
    for (const deltaScale of DELTA_SCALES) {
      const { row, B } = placement(n++, rows)
      // On a grid of 2^-10, so that sums and differences are exact in f32.
      const build: Build<boolean> = lab => {
        const random = randoms(n)
        const value = () => Math.round(random() * 4096) / 1024
        const z = lab.matrix(B, C)
        fill(rowsOf(z, row, rows), value)
        const bias = lab.bias(C)
        fill(whole(vector(C, bias.master)), value)
        const targets = lab.singles(50, C)
        for (let i = 0; i < 50; i++) for (let c = 0; c < C; c++) targets.set(i, c, value())
        const samples = lab.integers(Array.from({ length: B }, () => Math.floor((random() + 1) * 25)))
        const losses = vector(B, lab.doubles(B))
        const correct = vector(B, lab.integers(Array(B).fill(-7)))
        const kernel = lab.kernels.squaredLoss({
          ...{ z, bias, targets, samples, losses: losses.tensor, correct: correct.tensor },
        })
        const part = { row: 0, rows: 1, col: row, cols: rows }
        const outputs = [rowsOf(z, row, rows), { sheet: losses, ...part }, { sheet: correct, ...part }]
        return { outputs, run: () => kernel(row, rows, deltaScale) }
      }
      const want = runIn(truth, build)
      const got = runIn(candidate, build)
      const check = tally.case(`squaredLoss rows ${row}+${rows} of ${B}, C ${C}, deltaScale ${deltaScale}`)
      // The factor has three roundings, its product another.
      check.near('z', got.values[0], want.values[0], i =>
        deltaScale > 0 ? 4.001 * u * Math.abs(want.values[0][i]) + tiny : 0,
      )
      check.near('losses', got.values[1], want.values[1], i => C * 2.3e-16 * want.values[1][i])
      check.near('correct', got.values[2], want.values[2], () => 0)
      check.equal('finite', got.result, true)
      check.equal('strays', got.strays, '')
    }
  }
}

export function sweepSigmoid({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  const { u, tiny, exp } = precisionOf(candidate)
  let n = 0
  for (const [rows, C] of sizes) {
    for (const deltaScale of DELTA_SCALES) {
      const spread = n % 2 === 0 ? 4 : 60
      const isWeighted = n % 3 === 0
      const { row, B } = placement(n++, rows)
      // On a grid of 2^-10, so that sums and differences are exact in f32.
      const build: Build<boolean> = lab => {
        const random = randoms(n)
        const value = () => Math.round(random() * spread * 1024) / 1024
        const z = lab.matrix(B, C)
        fill(rowsOf(z, row, rows), value)
        const bias = lab.bias(C)
        fill(whole(vector(C, bias.master)), value)
        const targets = lab.singles(50, C)
        for (let i = 0; i < 50; i++) for (let c = 0; c < C; c++) targets.set(i, c, random() > 0 ? 1 : 0)
        const weights = lab.singles(50, 1).pick(null, 0)
        for (let i = 0; i < 50; i++) weights.set(i, Math.round((random() + 1) * 8) / 4)
        const samples = lab.integers(Array.from({ length: B }, () => Math.floor((random() + 1) * 25)))
        const losses = vector(B, lab.doubles(B))
        const correct = vector(B, lab.integers(Array(B).fill(-7)))
        const kernel = lab.kernels.sigmoidLoss({
          ...{ z, bias, targets, samples, losses: losses.tensor, correct: correct.tensor },
          weights: isWeighted ? weights : null,
        })
        const part = { row: 0, rows: 1, col: row, cols: rows }
        const outputs = [rowsOf(z, row, rows), { sheet: losses, ...part }, { sheet: correct, ...part }]
        return { outputs, run: () => kernel(row, rows, deltaScale) }
      }
      const want = runIn(truth, build)
      const got = runIn(candidate, build)
      const check = tally.case(`sigmoidLoss rows ${row}+${rows} of ${B}, C ${C}, deltaScale ${deltaScale}`)
      // An exponential of relative error exp, a sum, a quotient, the factor, and the weight.
      const share = 1.001 * (2 * exp + 6 * u)
      // A subnormal delta is flushed before it is weighed, by up to 4.
      const lost = isWeighted ? 5 * tiny : tiny
      check.near('z', got.values[0], want.values[0], i => share * Math.abs(want.values[0][i]) + lost)
      check.near(
        'losses',
        got.values[1],
        want.values[1],
        i => 1.001 * exp * want.values[1][i] + 1e-15 * spread * 4 + tiny,
      )
      check.near('correct', got.values[2], want.values[2], () => 0)
      check.equal('finite', got.result, true)
      check.equal('strays', got.strays, '')
    }
  }
}

export const BACKWARD_RATES = [0, 0.3] as const

export function sweepReluBackward({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  const share = gamma(2, precisionOf(candidate))
  let n = 0
  for (const [rows, I] of sizes) {
    for (const rate of BACKWARD_RATES) {
      const { row, B } = placement(n++, rows)
      const build: Build<boolean> = lab => {
        const random = randoms(n)
        const dx = lab.matrix(B, I)
        const a = lab.matrix(B, I)
        fill(rowsOf(dx, row, rows), random)
        fill(rowsOf(a, row, rows), () => Math.max(0, random()))
        const kernel = lab.kernels.activateBackward(dx, a, RELU, rate)
        return { outputs: [rowsOf(dx, row, rows)], run: () => kernel(row, rows) }
      }
      const want = runIn(truth, build)
      const got = runIn(candidate, build)
      const check = tally.case(`activateBackward relu rows ${row}+${rows} of ${B}, I ${I}, rate ${rate}`)
      check.near('dx', got.values[0], want.values[0], i => share * Math.abs(want.values[0][i]))
      check.equal('finite', got.result, true)
      check.equal('strays', got.strays, '')
    }
  }
}

export const GATED = [
  ...(['leaky-relu', 'elu', 'gelu', 'silu', 'tanh', 'scaled-tanh', 'sigmoid', 'identity'] as const),
] satisfies readonly Activation[]

/** Rates and modes of `sweepActivation`. */
const GATED_DROPOUTS = [
  { rate: 0, training: true },
  { rate: 0.3, training: false },
  { rate: 0.3, training: true },
] as const

/** Cases of a size: every activation in every mode. */
export const GATED_CASES = 8 * 3

/**
 * `biasActivate` and, from its own derivatives, `activateBackward`. Inputs are on a grid, so that z + bias is exact; every
 * seventh is 0, and some are so large that exponentials overflow or vanish.
 */
export function sweepActivation({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  const { u } = precisionOf(candidate)
  const [share, floor] = u > 0 ? [1e-6, 1e-7] : [1e-14, 1e-14]
  let n = 0
  for (const [rows, O] of sizes) {
    for (const type of GATED) {
      for (const { rate, training } of GATED_DROPOUTS) {
        const { row, B } = placement(n++, rows)
        const scale = training ? 1 / (1 - rate) : 1
        const build: Build<boolean> = lab => {
          const random = randoms(n)
          const spread = [1, 8, 200][n % 3]
          let cell = n
          const z = lab.matrix(B, O)
          fill(rowsOf(z, row, rows), () => (cell++ % 7 === 0 ? 0 : Math.round(random() * spread * 64) / 64))
          const bias = lab.bias(O)
          fill(whole(vector(O, bias.master)), () => (n % 2 ? 0 : Math.round(random() * 8) / 64))
          const samples = lab.integers(Array.from({ length: B }, () => Math.floor((random() + 1) * 2 ** 30)))
          const derivatives = lab.matrix(B, O)
          const dx = lab.matrix(B, O)
          fill(rowsOf(dx, row, rows), random)
          const dropout = { rate, seed: n, layer: n % 5, samples }
          const forward = lab.kernels.biasActivate(z, bias, { type, derivatives }, dropout)
          const backward = lab.kernels.activateBackward(dx, z, { type, derivatives }, rate)
          const outputs = [
            rowsOf(z, row, rows),
            ...(training ? [rowsOf(derivatives, row, rows), rowsOf(dx, row, rows)] : []),
          ]
          const run = () => forward(row, rows, n * 3, training) && (!training || backward(row, rows))
          return { outputs, run }
        }
        const want = runIn(truth, build)
        const got = runIn(candidate, build)
        const check = tally.case(`${type} rows ${row}+${rows} of ${B}, O ${O}, rate ${rate}, training ${training}`)
        const values = want.values[0]
        check.near('z', got.values[0], values, i => share * Math.abs(values[i]) + floor)
        if (training) {
          // Terms of a derivative are at most 2 and may cancel.
          for (const [i, name] of ['derivatives', 'dx'].entries()) {
            check.near(name, got.values[1 + i], want.values[1 + i], () => share * scale)
          }
        }
        if (rate > 0 && training) {
          check.equal('first unit off in only one mask', firstDifferentGate(got.values[1], want.values[1], floor), -1)
        }
        check.equal('finite', got.result, true)
        check.equal('strays', got.strays, '')
      }
    }
  }
}

/** A derivative that is 0 in one only, and not because it is tiny. */
function firstDifferentGate(a: Float64Array, b: Float64Array, floor: number): number {
  return a.findIndex((x, i) => (x === 0) !== (b[i] === 0) && Math.abs(x - b[i]) > floor)
}

/** Values that are not finite must be reported, wherever they stand: [kernel's answer, row, column] for each position tried. */
export function nonFiniteAnswers(
  lab: Lab,
  kind: keyof Pick<Kernels, 'biasActivate' | 'softmaxLoss' | 'activateBackward'>,
  type: Activation = 'relu',
) {
  const [B, O, row, rows] = [7, 26, 1, 5]
  const answers: string[] = []
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    for (let at = 0; at < rows * O; at++) {
      lab.reset()
      const z = lab.matrix(B, O)
      fill(rowsOf(z, row, rows), (r, c) => ((r - row) * O + c === at ? bad : 0.5))
      const bias = lab.bias(O)
      fill(whole(vector(O, bias.master)), () => 0)
      const samples = lab.integers(Array(B).fill(0))
      const labels = lab.integers([3])
      const a = lab.matrix(B, O)
      fill(rowsOf(a, row, rows), () => 1)
      const activation = { type, derivatives: keepsDerivatives(type) ? lab.matrix(B, O) : null }
      if (activation.derivatives) fill(rowsOf(activation.derivatives, row, rows), () => 1)
      const run = {
        biasActivate: () =>
          lab.kernels.biasActivate(z, bias, activation, { rate: 0.3, seed: 1, layer: 0, samples })(
            ...([row, rows, 0, at % 2 === 0] as const),
          ),
        softmaxLoss: () =>
          lab.kernels.softmaxLoss({
            ...{
              z,
              bias,
              labels,
              samples,
              losses: lab.doubles(B),
              correct: lab.integers(Array(B).fill(0)),
              smoothing: 0,
            },
          })(row, rows, at % 2),
        activateBackward: () => lab.kernels.activateBackward(z, a, activation, 0.3)(row, rows),
      }[kind]
      if (run()) answers.push(`${kind}: ${bad} at row ${row + Math.floor(at / O)}, column ${at % O} passes for finite`)
    }
  }
  return { tried: 2 * rows * O, answers }
}
