/**
 * The reference backend's gradients against central differences in float64, for every layer type, the loss and a whole
 * net; its dropout against the rule; and that it works on views of larger tensors.
 */
import ndarray from 'ndarray'
import t from 'tap'
import type { BiasTensors } from '../../src/kernels/backend.js'
import { reference } from '../../src/kernels/reference/index.js'
import { matmul } from '../../src/kernels/reference/matmul.js'
import { type Activation, activations, keepsDerivatives } from '../../src/model/activation.js'
import { optimizerStep } from '../../src/model/optimizer.js'
import { keyOf, Purpose, philox } from '../../src/tensor/random.js'
import type { FloatTensor, Matrix } from '../../src/tensor/tensor.js'
import { GradientCheck } from './gradient-check.js'
import { fill, Lab, randoms, read, vector, whole } from './lab.js'
import { tinyNet } from './tiny-net.js'

const [B, I, O] = [5, 4, 6]
const lab = await Lab.open(reference)
const { kernels } = lab
const RELU = { type: 'relu', derivatives: null } as const
const all = { inputStart: 0, inputEnd: I, outputStart: 0, outputEnd: O }

/** Fresh tensors of one layer, filled with random numbers, and random weights c of the objective Σ c · out. */
function layer(seed: number) {
  lab.reset()
  const random = randoms(seed)
  const filled = <M extends Matrix>(matrix: M, value = random) => {
    fill(whole(matrix), value)
    return matrix
  }
  const w = lab.weight(I, O)
  fill(whole({ rows: I, cols: O, tensor: w.master }), random)
  const bias = lab.bias(O)
  fill(whole(vector(O, bias.master)), random)
  return { x: filled(lab.matrix(B, I)), z: lab.matrix(B, O), c: filled(lab.matrix(B, O)), w, bias, filled }
}

/** Σ c · out. */
function weighted(c: Matrix, out: Matrix): number {
  const values = read(whole(out))
  return read(whole(c)).reduce((sum, weight, n) => sum + weight * values[n], 0)
}

function copy(to: Matrix, from: Matrix): void {
  const values = read(whole(from))
  fill(whole(to), (r, c) => values[r * from.cols + c])
}

t.test('linear, input: relative error < 1e-6', async t => {
  const { x, z, c, w } = layer(1)
  const dx = lab.matrix(B, I)
  kernels.linearBackward(dx, c, w)(0, B)
  const forward = kernels.linear(z, x, w)
  const check = new GradientCheck()
  const objective = () => {
    forward(0, B)
    return weighted(c, z)
  }
  check.compare(objective, whole(x), read(whole(dx)))
  t.ok(check.worst < 1e-6, `worst ${check.worst}`)
  t.equal(check.count, 20)
})

t.test('linear, weights: relative error < 1e-6', async t => {
  const { x, z, c, w } = layer(2)
  const gradient = lab.weightBuffer(I, O)
  kernels.weightUpdate(w, x, c).accumulate(gradient.tensor, all, 0, B, true)
  const forward = kernels.linear(z, x, w)
  const check = new GradientCheck()
  const objective = () => {
    forward(0, B)
    return weighted(c, z)
  }
  check.compare(objective, whole({ rows: I, cols: O, tensor: w.master }), read(whole(gradient)))
  t.ok(check.worst < 1e-6, `worst ${check.worst}`)
  t.equal(check.count, 24)
})

const ACTIVATIONS = Object.keys(activations) as Activation[]

for (const { name, type, rate, training } of ACTIVATIONS.flatMap(type => [
  { name: `bias and ${type}, away from its kink`, type, rate: 0, training: keepsDerivatives(type) },
  { name: `bias, ${type} and dropout, its mask fixed`, type, rate: 0.4, training: true },
])) {
  t.test(`${name}: relative error < 1e-6`, async t => {
    const { z, c, bias, filled } = layer(3)
    const activation = { type, derivatives: keepsDerivatives(type) ? lab.matrix(B, O) : null }
    const start = lab.matrix(B, O)
    const biases = read(whole(vector(O, bias.master)))
    // z + bias is at least 0.1 away from 0.
    const random = randoms(4)
    fill(whole(start), (_, o) => {
      const x = random()
      return x + Math.sign(x) * 0.1 - biases[o]
    })
    const samples = lab.integers([9, 4, 1, 0, 7])
    const forward = kernels.biasActivate(z, bias, activation, { rate, seed: 5, layer: 1, samples })
    const objective = () => {
      copy(z, start)
      forward(0, B, 2, training)
      return weighted(c, z)
    }
    objective()
    const a = filled(lab.matrix(B, O), () => 0)
    copy(a, z)
    const dz = lab.matrix(B, O)
    copy(dz, c)
    kernels.activateBackward(dz, a, activation, rate)(0, B)
    const gradient = lab.biasBuffer(O)
    kernels.biasUpdate(bias, dz).accumulate(gradient.tensor, 0, B, true)

    const check = new GradientCheck()
    check.compare(objective, whole(start), read(whole(dz)))
    const off = check.zeros
    check.compare(objective, whole(vector(O, bias.master)), read(whole(gradient)))
    t.ok(check.worst < 1e-6, `worst ${check.worst}`)
    t.equal(check.count, 36)
    t.equal(off, type === 'relu' ? (rate > 0 ? 24 : 15) : rate > 0 ? 13 : 0, 'units that are off, of 30')
  })
}

for (const [smoothing, mixes] of [
  [0, false],
  [0.3, false],
  [0.3, true],
] as const)
  t.test(`softmax cross-entropy, smoothing ${smoothing}, mixed ${mixes}: relative error < 1e-6`, async t => {
    const { z, bias, filled } = layer(6)
    const start = filled(lab.matrix(B, O))
    const labels = lab.integers([0, 5, 2, 2, 3, 1])
    const samples = lab.integers([5, 1, 0, 3, 3])
    const losses = lab.doubles(B)
    const weights = lab.singles(6, 1).pick(null, 0)
    for (let i = 0; i < 6; i++) weights.set(i, smoothing > 0 ? (i + 1) / 4 : 1)
    const forward = kernels.softmaxLoss({
      z,
      weights: smoothing > 0 ? weights : null,
      ...(mixes && {
        mixed: { partners: Int32Array.of(0, 0, 3, 4, 5), shares: Float64Array.of(0.5, 0.75, 1, 0.9, 0.6) },
      }),
      bias,
      labels,
      samples,
      losses,
      correct: lab.integers([0, 0, 0, 0, 0]),
      smoothing,
    })
    const objective = () => {
      copy(z, start)
      forward(0, B, 1 / B)
      return read(whole(vector(B, losses))).reduce((sum, loss) => sum + loss, 0) / B
    }
    copy(z, start)
    forward(0, B, 1 / B)
    const deltas = read(whole(z))
    const gradient = lab.biasBuffer(O)
    kernels.biasUpdate(bias, z).accumulate(gradient.tensor, 0, B, true)

    const check = new GradientCheck()
    check.compare(objective, whole(start), deltas)
    check.compare(objective, whole(vector(O, bias.master)), read(whole(gradient)))
    t.ok(check.worst < 1e-6, `worst ${check.worst}`)
    t.equal(check.count, 36)
    t.equal(check.zeros, 0)
  })

for (const [what, loss, weighted] of [
  ['mean squared error', 'squaredLoss', false],
  ['mean squared error, weighted', 'squaredLoss', true],
  ['sigmoid cross-entropy', 'sigmoidLoss', false],
  ['sigmoid cross-entropy, weighted', 'sigmoidLoss', true],
] as const)
  t.test(`${what}: relative error < 1e-6`, async t => {
    const { z, bias, filled } = layer(6)
    const start = filled(lab.matrix(B, O))
    const targets = lab.singles(6, O)
    for (let i = 0; i < 6; i++)
      for (let o = 0; o < O; o++) targets.set(i, o, loss === 'sigmoidLoss' ? (i + o) % 2 : ((i * 7 + o * 3) % 5) / 4)
    const samples = lab.integers([5, 1, 0, 3, 3])
    const losses = lab.doubles(B)
    const weights = lab.singles(6, 1).pick(null, 0)
    for (let i = 0; i < 6; i++) weights.set(i, i / 4)
    const forward = kernels[loss]({
      weights: weighted ? weights : null,
      ...{ z, bias, targets, samples, losses, correct: lab.integers([0, 0, 0, 0, 0]) },
    })
    const objective = () => {
      copy(z, start)
      forward(0, B, 1 / B)
      return read(whole(vector(B, losses))).reduce((sum, loss) => sum + loss, 0) / B
    }
    copy(z, start)
    forward(0, B, 1 / B)
    const deltas = read(whole(z))
    const gradient = lab.biasBuffer(O)
    kernels.biasUpdate(bias, z).accumulate(gradient.tensor, 0, B, true)

    const check = new GradientCheck()
    check.compare(objective, whole(start), deltas)
    check.compare(objective, whole(vector(O, bias.master)), read(whole(gradient)))
    t.ok(check.worst < 1e-6, `worst ${check.worst}`)
    t.equal(check.count, 36)
  })

for (const l2 of [0, 0.5]) {
  t.test(`a net of three layers, every parameter, L2 ${l2}: relative error < 1e-6`, async t => {
    lab.reset()
    const rows = 9
    const net = tinyNet(lab, { widths: [5, 8, 7, 4], rows, rate: 0.25, optimizer: 'sgd', seed: 6 })
    const weightRegions = net.parameters.filter((_, n) => n % 2 === 0)
    /** The mean loss and λ/(2m)·Σ‖W‖² over weights, not biases. */
    const objective = () =>
      net.forward() +
      weightRegions.reduce((sum, region) => sum + read(region).reduce((s, x) => s + x * x, 0), 0) * (l2 / (2 * rows))
    const pattern = () => net.hidden.map(a => read(whole(a)).map(Math.sign).join()).join()

    net.forward()
    const units = pattern()
    t.ok(net.backward())
    const before = net.parameters.map(read)
    net.update(optimizerStep({ type: 'sgd', learningRate: 1, weightDecay: 0 }, 1, 1, l2 / rows))
    const gradients = net.parameters.map((region, p) => read(region).map((x, n) => before[p][n] - x))
    for (const [p, region] of net.parameters.entries()) fill(region, (r, c) => before[p][r * region.cols + c])

    const check = new GradientCheck()
    let kinks = 0
    const watched = () => {
      const value = objective()
      if (pattern() !== units) kinks++
      return value
    }
    for (const [p, region] of net.parameters.entries()) check.compare(watched, region, gradients[p])
    t.ok(check.worst < 1e-6, `worst ${check.worst}`)
    t.equal(check.count, 5 * 8 + 8 + 8 * 7 + 7 + 7 * 4 + 4)
    t.equal(kinks, 0, 'no unit crossed its kink')
    t.ok(check.zeros < check.count / 4, `${check.zeros} gradients are zero`)
  })
}

for (const [norm, zeros] of [
  ['batch', 15],
  ['layer', 0],
] as const) {
  t.test(`a net of three layers with ${norm} norm, every parameter: relative error < 1e-6`, async t => {
    lab.reset()
    const rows = 9
    const net = tinyNet(lab, {
      ...{ widths: [5, 8, 7, 4], rows, rate: 0.25, optimizer: 'sgd', seed: 6, activation: 'tanh', norm },
    })
    net.forward()
    t.ok(net.backward())
    const before = net.parameters.map(read)
    net.update(optimizerStep({ type: 'sgd', learningRate: 1, weightDecay: 0 }, 1, 1, 0))
    const gradients = net.parameters.map((region, p) => read(region).map((x, n) => before[p][n] - x))
    for (const [p, region] of net.parameters.entries()) fill(region, (r, c) => before[p][r * region.cols + c])
    const check = new GradientCheck()
    for (const [p, region] of net.parameters.entries()) check.compare(net.forward, region, gradients[p])
    t.ok(check.worst < 1e-6, `worst ${check.worst}`)
    t.equal(check.count, 5 * 8 + 8 + 8 * 7 + 7 + 7 * 4 + 4 + 2 * 8 + 2 * 7)
    t.equal(check.zeros, zeros, 'biases that a mean takes away again, and nothing else')
  })
}

t.test('values and slopes of the activations, from PyTorch 1.13 in float64: error < 1e-15', async t => {
  // torch.nn.functional's leaky_relu, elu, silu, tanh, sigmoid, and autograd; gelu with approximate="tanh"; at -1.5 and 0.75.
  const expected: Partial<Record<Activation, readonly (readonly [of: number, slope: number])[]>> = {
    'leaky-relu': [
      [-0.015, 0.01],
      [0.75, 1.0],
    ],
    elu: [
      [-0.7768698398515702, 0.22313016014842982],
      [0.75, 1.0],
    ],
    gelu: [
      [-0.10042842301976707, -0.12771079315143308],
      [0.5799605551656203, 0.9989382561374143],
    ],
    silu: [
      [-0.2736382857095345, -0.041294154299142946],
      [0.5093840243815447, 0.8425999444967536],
    ],
    tanh: [
      [-0.9051482536448664, 0.1807066389236486],
      [0.6351489523872873, 0.5965858082813315],
    ],
    'scaled-tanh': [
      [-1.306819412204497, 0.48042264851700495],
      [0.7929468301424507, 0.8996437766641566],
    ],
    sigmoid: [
      [0.18242552380635635, 0.14914645207033286],
      [0.679178699175393, 0.21789499376181404],
    ],
  }
  let compared = 0
  for (const [type, pairs] of Object.entries(expected)) {
    for (const [i, [value, slope]] of pairs.entries()) {
      const x = [-1.5, 0.75][i]
      const { of, slope: slopeOf } = activations[type as Activation]
      t.ok(Math.abs(of(x) - value) < 1e-15, `${type}(${x}) is ${of(x)}, expected ${value}`)
      t.ok(Math.abs(slopeOf(x) - slope) < 1e-15, `${type}'(${x}) is ${slopeOf(x)}, expected ${slope}`)
      compared++
    }
  }
  t.equal(compared, 14)
})

t.test('forward values worked out by hand', async t => {
  lab.reset()
  const out = lab.matrix(2, 3)
  const bytes = [0, 51, 255, 102, 204, 153]
  const images = lab.bytes(2, 3, () => bytes.shift() ?? 0)
  kernels.gather(out, images, lab.integers([1, 0]), null)(0, 2)
  t.same([...read(whole(out))], [0.4, 0.8, 0.6, 0, 0.2, 1])

  const a = lab.matrix(1, 4)
  fill(whole(a), (_, u) => [-3, -1, 0, 2][u])
  const shift = lab.bias(4).master
  fill(whole(vector(4, shift)), () => 1)
  const bias = (size: number) => ({ outputs: size, master: shift.hi(size), moments: [] })
  const samples = lab.integers([0])
  kernels.biasActivate(a, bias(4), RELU, { rate: 0.5, seed: 1, layer: 0, samples })(0, 1, 0, false)
  t.same([...read(whole(a))], [0, 0, 1, 3])

  // Softmax of (0, 2, 4) · ln 2 is (1, 4, 16) / 21, whatever is added to all; of two that are equal, the first counts.
  const rows = [
    { logits: [0, 2 * Math.LN2, 4 * Math.LN2], label: 1, p: [1 / 21, 4 / 21, 16 / 21], correct: 0 },
    { logits: [1000, 1000 + 2 * Math.LN2, 1000 + 4 * Math.LN2], label: 2, p: [1 / 21, 4 / 21, 16 / 21], correct: 1 },
    { logits: [-5, 7, 7], label: 1, p: [0, 0.5, 0.5], correct: 1 },
    { logits: [-5, 7, 7], label: 2, p: [0, 0.5, 0.5], correct: 0 },
  ]
  const z = lab.matrix(4, 3)
  fill(whole(z), (r, c) => rows[r].logits[c])
  const losses = lab.doubles(4)
  const correct = lab.integers([9, 9, 9, 9])
  const labels = lab.integers(rows.map(({ label }) => label))
  const order = lab.integers([0, 1, 2, 3])
  t.ok(kernels.softmaxLoss({ z, bias: bias(3), labels, samples: order, losses, correct, smoothing: 0.3 })(0, 4, 0))
  const p = read(whole(z))
  for (const [r, row] of rows.entries()) {
    for (const [c, want] of row.p.entries()) t.ok(Math.abs(p[r * 3 + c] - want) < 1e-5, `softmax of row ${r}, ${c}`)
    t.ok(Math.abs(losses.get(r) + Math.log(row.p[row.label])) < 1e-5, `loss of row ${r}`)
    t.equal(correct.get(r), row.correct, `row ${r} is ${row.correct ? '' : 'not '}counted as right`)
  }
})

t.test('dropout follows the rule: word u % 4 of philox(⌊u/4⌋, layer, sample, epoch) >= rate · 2^32', async t => {
  lab.reset()
  const [rows, units, rate, seed, index, epoch] = [40, 50, 0.3, 12345678901234, 2, 7]
  const z = lab.matrix(rows, units)
  fill(whole(z), () => 0.7)
  const bias: BiasTensors = lab.bias(units)
  fill(whole(vector(units, bias.master)), () => 0)
  const sampleOf = Array.from({ length: rows }, (_, r) => r * 1499)
  kernels.biasActivate(z, bias, RELU, { rate, seed, layer: index, samples: lab.integers(sampleOf) })(
    0,
    rows,
    epoch,
    true,
  )
  const [k0, k1] = keyOf(seed, Purpose.dropout)
  const words = new Uint32Array(4)
  let kept = 0
  const wrong: string[] = []
  for (const [n, a] of read(whole(z)).entries()) {
    const [r, u] = [Math.floor(n / units), n % units]
    philox(words, Math.floor(u / 4), index, sampleOf[r], epoch, k0, k1)
    const keep = words[u % 4] / 2 ** 32 >= rate
    if (keep) kept++
    if (Math.abs(a - (keep ? 1 : 0)) > 1e-15) wrong.push(`row ${r}, unit ${u}: ${a}`)
  }
  t.same(wrong.slice(0, 5), [])
  t.ok(Math.abs(kept / 2000 - 0.7) < 0.04, `${kept} of 2000 kept`)
})

t.test('matmul works on views with any strides', async t => {
  const random = randoms(8)
  const within = (rows: number, cols: number): FloatTensor => {
    const parent = ndarray(Float64Array.from({ length: 20 * 30 }, random), [20, 30])
    return parent.lo(3, 2).step(2, 3).hi(rows, cols)
  }
  const [a, b, c] = [within(4, 5).transpose(1, 0), within(4, 6), within(5, 6)]
  const outside = c.data.slice()
  matmul(c, a, b)
  let compared = 0
  for (let m = 0; m < 5; m++) {
    for (let n = 0; n < 6; n++) {
      let sum = 0
      for (let k = 0; k < 4; k++) sum += a.get(m, k) * b.get(k, n)
      t.equal(c.get(m, n), sum)
      outside[c.index(m, n)] = sum
      compared++
    }
  }
  t.equal(compared, 30)
  t.same(c.data, outside, 'nothing else is written')
})
