/**
 * Properties of the wasm backend besides accuracy: bits that do not depend on how the work is partitioned, its exp, log and Philox, and
 * subnormal moments, which are flushed.
 */
import t from 'tap'
import { instantiateWasm } from '../../src/kernels/abi.js'
import { reference } from '../../src/kernels/reference/index.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import { createArena } from '../../src/tensor/arena.js'
import { philox } from '../../src/tensor/random.js'
import { fill, Lab, randoms, read, rowsOf, whole } from './lab.js'
import { tinyNet } from './tiny-net.js'
import { OPTIMIZERS, stepOf } from './update-checks.js'

const lab = await Lab.open(wasm)
const [B, I, O] = [131, 229, 59]

/** A layer with two rows of garbage after the batch. */
function layer() {
  lab.reset()
  const random = randoms(1)
  const x = lab.matrix(B + 2, I)
  const dz = lab.matrix(B + 2, O)
  fill(rowsOf(x, 0, B), random)
  fill(rowsOf(dz, 0, B), random)
  const w = lab.weight(I, O, 2)
  const start = Float64Array.from({ length: I * O }, random)
  const parameters = [w.master, ...w.moments].map(tensor => whole({ rows: I, cols: O, tensor }))
  const restart = () => {
    for (const region of parameters) fill(region, (i, o) => Math.abs(start[i * O + o]))
  }
  restart()
  return { x, dz, w, parameters, restart, update: lab.kernels.weightUpdate(w, x, dz) }
}
const all = { inputStart: 0, inputEnd: I, outputStart: 0, outputEnd: O }

const memory = createArena(65536)
const exports = instantiateWasm((await wasm.compile())!, memory)
const floats = new Float32Array(memory.buffer)

t.test('a product of rows has the same bits in shards of any size', async t => {
  const { x, w } = layer()
  const z = lab.matrix(B + 2, O)
  const linear = lab.kernels.linear(z, x, w)
  linear(0, B)
  const want = read(rowsOf(z, 0, B))
  for (const shard of [1, 2, 3, 16, 32, 64, 100]) {
    fill(whole(z), () => Number.NaN)
    for (let row = 0; row < B; row += shard) linear(row, Math.min(shard, B - row))
    t.same(read(rowsOf(z, 0, B)), want, `shards of ${shard}`)
  }
})

t.test('products and gradients have the bits of plain f32 sums in order, with any zeros', async t => {
  // Beyond the kernels' 128 rows, 120 and 480 of the inner dimension, 192 inputs; four panels of outputs and one more.
  const [rows, inputs, outputs] = [131, 493, 59]
  const fills: Record<string, (r: number, i: number) => number> = {
    'no zeros': () => 1,
    'a tenth is zero': () => 0.9,
    'four fifths are zero': () => 0.2,
    'all are zero': () => 0,
    'no zeros in whole blocks': (r, i) => (r < 128 && i < 192 ? 1 : 0.2),
  }
  let cases = 0
  for (const [name, density] of Object.entries(fills)) {
    lab.reset()
    const random = randoms(3)
    const [x, dz, z] = [lab.matrix(rows, inputs), lab.matrix(rows, outputs), lab.matrix(rows, outputs)]
    const w = lab.weight(inputs, outputs)
    const buffer = lab.weightBuffer(inputs, outputs)
    fill(whole(x), (r, i) => (Math.abs(random()) < density(r, i) ? random() : 0))
    for (const region of [whole(dz), whole({ rows: inputs, cols: outputs, tensor: w.master })]) fill(region, random)
    const [xs, dzs, ws] = [read(whole(x)), read(whole(dz)), read(whole({ ...buffer, tensor: w.master }))]

    lab.kernels.linear(z, x, w)(0, rows)
    const product = new Float32Array(rows * outputs)
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < inputs; i++) addScaled(product, r * outputs, xs[r * inputs + i], ws, i * outputs, outputs)
    }
    t.ok(sameBits(read(whole(z)), product), `product: ${name}`)

    const tile = { inputStart: 0, inputEnd: inputs, outputStart: 0, outputEnd: outputs }
    lab.kernels.weightUpdate(w, x, dz).accumulate(buffer.tensor, tile, 0, rows, true)
    const gradient = new Float32Array(inputs * outputs)
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < inputs; i++) addScaled(gradient, i * outputs, xs[r * inputs + i], dzs, r * outputs, outputs)
    }
    t.ok(sameBits(read(whole(buffer)), gradient), `gradient: ${name}`)
    cases++
  }
  t.equal(cases, 5)
})

/** to[at + j] += x · from[begin + j], the product and the sum each rounded to f32. */
function addScaled(to: Float32Array, at: number, x: number, from: Float64Array, begin: number, n: number): void {
  for (let j = 0; j < n; j++) to[at + j] += Math.fround(x * from[begin + j])
}

const sameBits = (got: Float64Array, want: Float32Array) => got.every((x, i) => Object.is(x, want[i]))

t.test('an update has the same bits in tiles of any size', async t => {
  const { parameters, restart, update } = layer()
  const step = stepOf('adam')
  update.fused(all, B, step)
  const want = parameters.map(read)
  for (const [inputs, outputs] of [
    [12, 12],
    [24, 60],
    [240, 12],
    [108, 36],
  ]) {
    restart()
    let tiles = 0
    for (let i = 0; i < I; i += inputs) {
      for (let o = 0; o < O; o += outputs, tiles++) {
        const tile = {
          ...{ inputStart: i, inputEnd: Math.min(i + inputs, I) },
          ...{ outputStart: o, outputEnd: Math.min(o + outputs, O) },
        }
        update.fused(tile, B, step)
      }
    }
    t.same(parameters.map(read), want, `${tiles} tiles of ${inputs}x${outputs}`)
  }
})

t.test('gradients accumulated over shards have the bits of one over all rows, and so has their update', async t => {
  const { w, parameters, restart, update } = layer()
  const buffer = lab.weightBuffer(I, O)
  const step = stepOf('adam')
  update.fused(all, B, step)
  const want = parameters.map(read)
  for (const shard of [1, 16, 100]) {
    restart()
    for (let row = 0; row < B; row += shard) {
      update.accumulate(buffer.tensor, all, row, Math.min(shard, B - row), row === 0)
    }
    update.reduce([buffer.tensor], all, step)
    t.same(parameters.map(read), want, `shards of ${shard}`)
  }
  t.ok(w.derived)
})

t.test('moments that become subnormal are flushed to zero', async t => {
  // The moments of these, by their places among those below: squares are never negative.
  for (const [type, first, end] of [
    ['adam', 0, 2],
    ['momentum', 0, 1],
    ['nesterov', 0, 1],
    ['rmsprop', 1, 2],
    ['lion', 0, 1],
  ] as const) {
    lab.reset()
    const x = lab.matrix(1, 12)
    const dz = lab.matrix(1, 12)
    for (const matrix of [x, dz]) fill(whole(matrix), () => 0)
    const w = lab.weight(12, 12, 2)
    const tile = { inputStart: 0, inputEnd: 12, outputStart: 0, outputEnd: 12 }
    const regions = [w.master, ...w.moments].map(tensor => whole({ rows: 12, cols: 12, tensor }))
    // 0.9 of the smallest normal number is subnormal, 0.9 of twice that is not.
    for (const region of regions.slice(1)) fill(region, i => 2 ** -126 * (i % 2 ? -1 : 1) * (i < 6 ? 1 : 2))
    fill(regions[0], () => 0)
    fill(regions[2], i => 2 ** -126 * (i < 6 ? 1 : 2))
    lab.kernels.weightUpdate({ ...w, moments: w.moments.slice(first, end) }, x, dz).fused(tile, 1, {
      ...stepOf(type),
      beta1: 0.75,
      beta2: 0.75,
    })
    for (const moment of regions.slice(1 + first, 1 + end)) {
      const values = read(moment)
      t.ok(
        values.subarray(0, 72).every(m => m === 0),
        `${type}: flushed`,
      )
      t.ok(
        values.subarray(72).every(m => Math.abs(m) === 2 ** -126 * 1.5),
        `${type}: kept`,
      )
    }
    t.ok(read(regions[0]).every(Number.isFinite))
  }
})

t.test('ten whole steps of a net of three layers with dropout: weights within 2e-6 of the reference', async t => {
  const labs = [lab, await Lab.open(reference)]
  for (const type of OPTIMIZERS) {
    const nets = labs.map(one => {
      one.reset()
      return tinyNet(one, { widths: [13, 25, 14, 5], rows: 11, rate: 0.25, optimizer: type, seed: 6 })
    })
    const step = stepOf(type)
    const start = nets[1].parameters.map(read)
    const losses: number[] = []
    for (let s = 0; s < 10; s++) {
      const [loss, want] = nets.map(net => net.forward())
      t.ok(Math.abs(loss - want) < 2e-6, `${type}, step ${s}: loss ${loss}, reference ${want}`)
      for (const net of nets) {
        t.ok(net.backward())
        net.update(step)
      }
      losses.push(want)
    }
    t.ok(losses[9] < losses[0], `${type} learns: ${losses[0]} to ${losses[9]}`)
    let worst = 0
    let moved = 0
    let count = 0
    for (const [p, region] of nets[1].parameters.entries()) {
      const got = read(nets[0].parameters[p])
      for (const [i, want] of read(region).entries()) {
        worst = Math.max(worst, Math.abs(got[i] - want))
        moved = Math.max(moved, Math.abs(want - start[p][i]))
        count++
      }
    }
    t.ok(worst < 2e-6, `${type}: worst ${worst}`)
    t.ok(moved > 1e-3, `${type}: weights moved by up to ${moved}`)
    t.equal(count, 13 * 25 + 25 + 25 * 14 + 14 + 14 * 5 + 5)
  }
})

t.test('exp: relative error < 2e-7 on [-87, 0], 0 below, NaN for NaN', async t => {
  const exp4 = (...x: number[]) => {
    floats.set(x)
    exports.exp_f32(64, 0)
    return floats.slice(16, 20)
  }
  let worst = 0
  let count = 0
  for (let n = 0; n < 200_000; n += 4) {
    const xs = [0, 1, 2, 3].map(lane => Math.fround((-87 * (n + lane)) / 199_999))
    for (const [lane, got] of exp4(...xs).entries()) {
      const want = Math.exp(xs[lane])
      worst = Math.max(worst, Math.abs(got - want) / want)
      count++
    }
  }
  t.ok(worst < 2e-7, `worst ${worst}`)
  t.equal(count, 200_000)
  t.same([...exp4(0, -88, Number.NEGATIVE_INFINITY, -1e30)], [1, 0, 0, 0])
  t.same([...exp4(-1, Number.NaN, -0, -1)].slice(1, 3), [Number.NaN, 1])
})

t.test('log: relative error < 1e-15 over all positive normal numbers', async t => {
  const words = new Uint32Array(4)
  const bits = new DataView(new ArrayBuffer(8))
  let worst = 0
  let count = 0
  for (let n = 0; n < 50_000; n++) {
    philox(words, n, 0, 0, 0, 0, 0)
    // Half of them of any exponent, half of them between 1 and 16, where the sums of a softmax lie.
    bits.setUint32(0, n % 2 ? 0x00100000 + (words[0] % 0x7fe00000) : 0x3ff00000 + (words[0] % 0x400000))
    bits.setUint32(4, words[1])
    const x = bits.getFloat64(0)
    const want = Math.log(x)
    worst = Math.max(worst, Math.abs(exports.log_f64(x) - want) / Math.abs(want))
    count++
  }
  t.ok(worst < 1e-15, `worst ${worst}`)
  t.equal(count, 50_000)
  t.equal(exports.log_f64(1), 0)
  t.same([0, -1, Number.POSITIVE_INFINITY, Number.NaN].map(exports.log_f64), [
    Number.NEGATIVE_INFINITY,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NaN,
  ])
})

t.test('the SIMD form of philox gives the words of philox, four counters at once', async t => {
  const integers = new Uint32Array(memory.buffer)
  const words = new Uint32Array(4)
  let count = 0
  for (let n = 0; n < 500; n++) {
    const c = new Uint32Array(12)
    for (let part = 0; part < 3; part++) {
      philox(words, n, part, 0, 0, 1, 1)
      c.set(words, part * 4)
    }
    integers.set(c.subarray(0, 4))
    exports.philox_words(64, c[4], c[5], 0, c[6], c[7], c[8])
    for (let lane = 0; lane < 4; lane++) {
      philox(words, c[4], c[5], c[lane], c[6], c[7], c[8])
      const got = integers.subarray(16 + lane * 4, 20 + lane * 4)
      if (words.every((word, i) => word === got[i])) count++
    }
  }
  t.equal(count, 2000)
})
