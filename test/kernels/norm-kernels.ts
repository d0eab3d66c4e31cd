/**
 * The normalisation kernels, a candidate against the reference: each function sweeps one pass and tallies. What the backward pass needs
 * of the forward pass is given to both, so that every bound is that of one kernel.
 */
import type { Columns } from '../../src/kernels/backend.js'
import type { Matrix } from '../../src/tensor/tensor.js'
import { fill, type Lab, type Region, randoms, read, rowsOf, type Sheet, vector, whole } from './lab.js'
import { placement, type RowSizes, type Sweep } from './sizes.js'
import { type Check, precisionOf, type Tally } from './tally.js'

/** Bound on the difference of f64 sums in another order, times the largest factor, 1 / √ε. */
const ORDER = 1e-11
const EPSILON = 1e-5

/** All columns, or, for every third case that is wide enough, those from the second unit on. */
function columnsOf(lab: Lab, n: number, width: number): Columns {
  const unit = Math.max(lab.backend.tileUnit.outputs, 1)
  return { start: n % 3 === 0 && width > unit ? unit : 0, end: width }
}

const cut = (sheet: Sheet, row: number, rows: number, { start, end }: Columns): Region => {
  return { sheet, row, rows, col: start, cols: end - start }
}

/** A vector of units, filled. */
function units(lab: Lab, width: number, value?: () => number) {
  const { tensor } = lab.biasBuffer(width)
  const sheet = vector(width, tensor)
  if (value) fill(whole(sheet), value)
  return { tensor, sheet }
}

function filled(lab: Lab, B: number, width: number, row: number, rows: number, value: () => number): Matrix {
  const matrix = lab.matrix(B, width)
  fill(rowsOf(matrix, row, rows), value)
  return matrix
}

interface Built<T> {
  readonly outputs: Readonly<Record<string, Region>>
  readonly run: () => T
}

/** Runs a case in both labs; `share` says how many roundings each output takes. */
function compare(
  tally: Tally,
  name: string,
  [candidate, truth]: readonly [Lab, Lab],
  shares: Readonly<Record<string, number>>,
  build: (lab: Lab) => Built<unknown>,
): Check {
  const { u, tiny } = precisionOf(candidate)
  const runIn = (lab: Lab) => {
    lab.reset()
    const { outputs, run } = build(lab)
    const { result, strays } = lab.guarded(Object.values(outputs), run)
    return { result, strays, values: new Map(Object.entries(outputs).map(([key, region]) => [key, read(region)])) }
  }
  const [want, got] = [runIn(truth), runIn(candidate)]
  const check = tally.case(name)
  for (const [key, values] of want.values) {
    const bound = (i: number) =>
      1.001 * shares[key] * u * Math.abs(values[i]) + ORDER * (1 + Math.abs(values[i])) + tiny
    check.near(key, got.values.get(key)!, values, bound)
  }
  check.equal('answer', got.result, want.result)
  check.equal('strays', got.strays, '')
  return check
}

/** `train` and `score` of `batchNorm`: two cases of a size. */
export function sweepBatchNorm({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  let n = 0
  for (const [rows, O] of sizes) {
    for (const training of [true, false]) {
      const { row, B } = training ? { row: 0, B: rows + 2 } : placement(n, rows)
      const columns = columnsOf(candidate, n++, O)
      const shares = { z: 2, normed: 1, mean: 1, variance: 1, factors: 3 }
      const name = `batchNorm ${training ? 'train' : 'score'} rows ${row}+${rows} of ${B}, O ${O} from ${columns.start}`
      compare(tally, name, [candidate, truth], shares, lab => {
        const random = randoms(n)
        const z = filled(lab, B, O, row, rows, () => 2 * random() + (n % 2))
        const normed = lab.matrix(B, O)
        const [scale, bias] = [units(lab, O, () => 1 + random()), units(lab, O, random)]
        const running = { mean: units(lab, O, random), variance: units(lab, O, () => Math.fround(0.1 + random() ** 2)) }
        const batch = { mean: units(lab, O), variance: units(lab, O), factors: units(lab, O) }
        const { train, score } = lab.kernels.batchNorm(
          z,
          { scale: scale.tensor, bias: bias.tensor, epsilon: EPSILON, normed },
          { mean: running.mean.tensor, variance: running.variance.tensor },
          { mean: batch.mean.tensor, variance: batch.variance.tensor, factors: batch.factors.tensor },
        )
        const ofUnits = (of: keyof typeof batch) => cut(batch[of].sheet, 0, 1, columns)
        return training
          ? {
              outputs: {
                ...{ z: cut(z, row, rows, columns), normed: cut(normed, row, rows, columns) },
                ...{ mean: ofUnits('mean'), variance: ofUnits('variance'), factors: ofUnits('factors') },
              },
              run: () => train(rows, columns),
            }
          : { outputs: { z: cut(z, row, rows, columns) }, run: () => score(row, rows, columns) }
      })
    }
  }
}

/** `normSums`, and `batchNormBackward` from sums that are given: two cases of a size. */
export function sweepBatchNormBackward({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  let n = 0
  for (const [rows, O] of sizes) {
    for (const part of ['sums', 'deltas'] as const) {
      const columns = columnsOf(candidate, n++, O)
      const name = `norm ${part} rows ${rows}, O ${O} from ${columns.start}`
      compare(tally, name, [candidate, truth], { scale: 1, shift: 1, dz: 1 }, lab => {
        const random = randoms(n)
        const dy = filled(lab, rows + 2, O, 0, rows, random)
        const normed = filled(lab, rows + 2, O, 0, rows, random)
        const given = part === 'sums' ? undefined : random
        const [scale, shift] = [units(lab, O, given), units(lab, O, given)]
        const factors = units(lab, O, () => 2 * random())
        const gradients = { scale: scale.tensor, shift: shift.tensor }
        if (part === 'sums') {
          const kernel = lab.kernels.normSums(gradients, dy, normed)
          const outputs = { scale: cut(scale.sheet, 0, 1, columns), shift: cut(shift.sheet, 0, 1, columns) }
          return { outputs, run: () => kernel(rows, columns) }
        }
        const kernel = lab.kernels.batchNormBackward(dy, normed, gradients, factors.tensor)
        return { outputs: { dz: cut(dy, 0, rows, columns) }, run: () => kernel(rows, columns) }
      })
    }
  }
}

/** `layerNorm` with and without what the backward pass needs, and `layerNormBackward`: three cases of a size. */
export function sweepLayerNorm({ sizes }: Sweep<RowSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  let n = 0
  for (const [rows, O] of sizes) {
    for (const part of ['train', 'score', 'backward'] as const) {
      const { row, B } = placement(n++, rows)
      const name = `layerNorm ${part} rows ${row}+${rows} of ${B}, O ${O}`
      compare(tally, name, [candidate, truth], { z: 2, normed: 1, inverses: 0, dz: 1 }, lab => {
        const random = randoms(n)
        const z = filled(lab, B, O, row, rows, () => 2 * random() + (n % 2))
        const [scale, bias] = [units(lab, O, () => 1 + random()), units(lab, O, random)]
        const inverses = vector(B, lab.doubles(B))
        const inverseRows = { sheet: inverses, row: 0, rows: 1, col: row, cols: rows }
        if (part === 'backward') {
          const normed = filled(lab, B, O, row, rows, random)
          fill(inverseRows, () => 1 + random())
          const kernel = lab.kernels.layerNormBackward(z, normed, scale.tensor, inverses.tensor)
          return { outputs: { dz: rowsOf(z, row, rows) }, run: () => kernel(row, rows) }
        }
        const normed = part === 'train' ? lab.matrix(B, O) : null
        const spec = { scale: scale.tensor, bias: bias.tensor, epsilon: EPSILON, normed }
        const kernel = lab.kernels.layerNorm(z, spec, normed && inverses.tensor)
        return {
          outputs: {
            z: rowsOf(z, row, rows),
            ...(normed && { normed: rowsOf(normed, row, rows), inverses: inverseRows }),
          },
          run: () => kernel(row, rows),
        }
      })
    }
  }
}

/** Deltas that are not finite must be reported: answers of the kernels with one at each position in turn. */
export function nonFiniteDeltas(lab: Lab, norm: 'batch' | 'layer') {
  const [B, O] = [5, 26]
  const answers: string[] = []
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    for (let at = 0; at < B * O; at++) {
      lab.reset()
      const dy = lab.matrix(B, O)
      fill(whole(dy), (r, c) => (r * O + c === at ? bad : 0.5))
      const normed = filled(lab, B, O, 0, B, () => 0.5)
      const [scale, shift, factors] = [1, 1, 1].map(value => units(lab, O, () => value).tensor)
      const inverses = lab.doubles(B)
      inverses.data.fill(1)
      const finite =
        norm === 'batch'
          ? lab.kernels.batchNormBackward(dy, normed, { scale, shift }, factors)(B)
          : lab.kernels.layerNormBackward(dy, normed, scale, inverses)(0, B)
      if (finite) answers.push(`${bad} at ${at}`)
    }
  }
  return { tried: 2 * B * O, answers }
}
