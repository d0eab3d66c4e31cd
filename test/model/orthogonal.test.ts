/** Orthogonal initial weights: that they are, that they are uniform, and their bits. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { initialOrthogonal, orthogonalWeights } from '../../src/model/orthogonal.js'

const SHAPES = [
  ...[
    [50, 30],
    [30, 50],
    [33, 33],
    [64, 16],
    [16, 64],
  ],
  ...[
    [1, 1],
    [5, 1],
    [1, 7],
    [3, 2],
    [200, 130],
  ],
] as const

/** The largest distance of a product of two vectors of the shorter side from what it should be. */
function worstProduct(weights: Float32Array, inputs: number, outputs: number, gain: number): number {
  const [vectors, length] = inputs >= outputs ? [outputs, inputs] : [inputs, outputs]
  const at = (k: number, m: number) => weights[inputs >= outputs ? m * outputs + k : k * outputs + m]
  let worst = 0
  for (let a = 0; a < vectors; a++) {
    for (let b = 0; b <= a; b++) {
      let product = 0
      for (let m = 0; m < length; m++) product += at(a, m) * at(b, m)
      worst = Math.max(worst, Math.abs(product - (a === b ? gain * gain : 0)))
    }
  }
  return worst
}

t.test('vectors of the shorter side are orthogonal and as long as the gain, to 1e-6', async t => {
  for (const [inputs, outputs] of SHAPES) {
    for (const gain of [1, Math.SQRT2]) {
      const worst = worstProduct(orthogonalWeights(3, 2, inputs, outputs, gain), inputs, outputs, gain)
      t.ok(worst < 1e-6, `${inputs} x ${outputs}, gain ${gain}: off by ${worst}`)
    }
  }
})

t.test('the same bits on every JavaScript engine; other bits for another seed or layer', async t => {
  const digest = (seed: number, layer: number) => {
    const { buffer } = orthogonalWeights(seed, layer, 40, 25, 1)
    return createHash('sha256').update(new Uint8Array(buffer)).digest('hex')
  }
  t.equal(digest(1, 0), 'd4abc8c73ac0aaf629c60c9a098cbf8013bd0b5789406a99be67c96ed0a47e2f')
  t.not(digest(2, 0), digest(1, 0))
  t.not(digest(1, 1), digest(1, 0))
})

t.test('every number of a matrix has the mean 0 and the variance 1 / M over 2,000 seeds', async t => {
  const [M, K] = [6, 4]
  const seeds = 2000
  const sums = new Float64Array(M * K)
  const squares = new Float64Array(M * K)
  for (let seed = 0; seed < seeds; seed++) {
    for (const [i, x] of orthogonalWeights(seed, 0, M, K, 1).entries()) {
      sums[i] += x / seeds
      squares[i] += (x * x) / seeds
    }
  }
  // Four standard deviations: √(1/6/2000) of a mean; less than √(2/36/2000) of a square.
  for (const [i, mean] of sums.entries()) {
    t.ok(Math.abs(mean) < 4 * 0.0092, `number ${i}: mean ${mean}`)
    t.ok(Math.abs(squares[i] - 1 / M) < 4 * 0.0053, `number ${i}: mean square ${squares[i]}`)
  }
})

t.test('the gain is √2 before relu, 1 before tanh and for the outputs, or the value of the setting', async t => {
  const lengthOf = (weights: Float32Array, vectors: number) =>
    Math.sqrt(weights.reduce((sum, x) => sum + x * x, 0) / vectors)
  const plan = { seed: 1, widths: [12, 8, 5], activation: 'relu', initGain: null } as const
  const near = (got: number, want: number, what: string) => t.ok(Math.abs(got - want) < 1e-6, `${what}: ${got}`)
  near(lengthOf(initialOrthogonal(plan, 0), 8), Math.SQRT2, 'relu')
  near(lengthOf(initialOrthogonal({ ...plan, activation: 'tanh' }, 0), 8), 1, 'tanh')
  near(lengthOf(initialOrthogonal(plan, 1), 5), 1, 'outputs')
  near(lengthOf(initialOrthogonal({ ...plan, initGain: 0.5 }, 1), 5), 0.5, 'set')
})
