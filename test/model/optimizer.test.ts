/**
 * Ten steps of every optimizer, learning rates far too high included, against numbers computed apart from gradloom:
 * test/optimizer-oracle/optimizers.py says how. The oracle's gradients are fed to the backends' kernels as the deltas
 * of a batch of one row whose input is 1.
 */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { momentCount, type OptimizerStep, type OptimizerType, optimizerStep, power } from '../../src/model/optimizer.js'
import { reference } from '../../src/tensor/kernels/reference/index.js'
import { wasm } from '../../src/tensor/kernels/wasm/index.js'
import { fill, Lab, type Region, read, vector, whole } from '../tensor/lab.js'

interface Case {
  readonly type: OptimizerType
  readonly learningRate: number
  readonly l2: number
  /** Per step, before L2. */
  readonly gradients: readonly (readonly number[])[]
  /** After each step. */
  readonly weights: readonly (readonly number[])[]
}
interface Oracle {
  readonly start: readonly number[]
  readonly rows: number
  readonly steps: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly cases: readonly Case[]
}
const oracle: Oracle = JSON.parse(await readFile('test/optimizer-oracle/optimizers.json', 'utf8'))
const O = oracle.start.length

function stepOf({ type, learningRate }: Case, t: number, decay: number): OptimizerStep {
  const { beta1, beta2, epsilon } = oracle
  const optimizer = {
    adam: { type: 'adam', learningRate, beta1, beta2, epsilon } as const,
    momentum: { type: 'momentum', learningRate, beta1 } as const,
    sgd: { type: 'sgd', learningRate } as const,
  }[type]
  return optimizerStep(optimizer, t, learningRate, decay)
}

/** The kernels that apply an optimizer. Each makes its parameters in a lab and gives what a step does to them. */
const routes = {
  'weightUpdate.fused': (lab: Lab, type: OptimizerType) => weights(lab, type, 'fused'),
  'weightUpdate.reduce': (lab: Lab, type: OptimizerType) => weights(lab, type, 'reduce'),
  'biasUpdate.fused': (lab: Lab, type: OptimizerType) => {
    const dz = lab.matrix(1, O)
    const bias = lab.bias(O, momentCount[type])
    const [master, ...moments] = [bias.master, ...bias.moments].map(tensor => whole(vector(O, tensor)))
    const update = lab.kernels.biasUpdate(bias, dz)
    return { dz: whole(dz), master, moments, run: (step: OptimizerStep) => update.fused(1, step) }
  },
}
type Route = { dz: Region; master: Region; moments: Region[]; run: (step: OptimizerStep) => void }

function weights(lab: Lab, type: OptimizerType, form: 'fused' | 'reduce'): Route {
  const x = lab.matrix(1, 1)
  fill(whole(x), () => 1)
  const dz = lab.matrix(1, O)
  const w = lab.weight(1, O, momentCount[type])
  const [master, ...moments] = [w.master, ...w.moments].map(tensor => whole({ rows: 1, cols: O, tensor }))
  const buffers = [lab.weightBuffer(1, O), lab.weightBuffer(1, O)]
  const update = lab.kernels.weightUpdate(w, x, dz)
  const tile = { inputStart: 0, inputEnd: 1, outputStart: 0, outputEnd: O }
  const run = (step: OptimizerStep) => {
    if (form === 'fused') return update.fused(tile, 1, step)
    update.accumulate(buffers[0].tensor, tile, 0, 1, true)
    fill(whole(buffers[1]), () => 0)
    update.reduce(
      buffers.map(({ tensor }) => tensor),
      tile,
      step,
    )
  }
  return { dz: whole(dz), master, moments, run }
}

for (const { backend, bound, why } of [
  { backend: reference, bound: 1e-12, why: '1e-12' },
  // A step's change is rounded about ten times, and the weight once in each of the ten steps.
  { backend: wasm, bound: 20 * 2 ** -24, why: '20 · 2^-24' },
]) {
  for (const route of Object.keys(routes) as (keyof typeof routes)[]) {
    t.test(`${backend.name}, ${route}: 10 steps, error < ${why} of the path from the origin`, async t => {
      const lab = await Lab.open(backend)
      const isBias = route === 'biasUpdate.fused'
      // Biases take no L2: they follow the cases without it, though the step has a decay.
      const cases = oracle.cases.filter(({ l2 }) => !isBias || l2 === 0)
      const failures: string[] = []
      let compared = 0
      let worst = 0
      for (const one of cases) {
        lab.reset()
        const { dz, master, moments, run } = routes[route](lab, one.type)
        fill(master, (_, o) => oracle.start[o])
        for (const moment of moments) fill(moment, () => 0)
        // |start| and the length of every step so far: what rounding errors are measured by.
        const path = oracle.start.map(Math.abs)
        for (let s = 0; s < oracle.steps; s++) {
          fill(dz, (_, o) => one.gradients[s][o])
          run(stepOf(one, s + 1, isBias ? 0.3 : one.l2 / oracle.rows))
          const got = read(master)
          for (const [o, want] of one.weights[s].entries()) {
            path[o] += Math.abs(want - (one.weights[s - 1] ?? oracle.start)[o])
            const error = Math.abs(got[o] - want) / path[o]
            if (!(error < bound)) {
              const name = `${one.type}, rate ${one.learningRate}, l2 ${one.l2}, step ${s + 1}, weight ${o}`
              failures.push(`${name}: is ${got[o]}, expected ${want}, error ${error}`)
            }
            worst = Math.max(worst, error)
            compared++
          }
        }
      }
      t.same(failures.slice(0, 5), [], `${failures.length} failures`)
      t.equal(cases.length, isBias ? 9 : 18, '3 optimizers at 3 rates, weights with and without L2')
      t.equal(compared, cases.length * 10 * 5, 'every step of every case')
      t.comment(`worst error ${worst}`)
    })
  }
}

t.test('power is exact where the result is', async t => {
  t.equal(power(0, 0), 1)
  t.equal(power(0, 1), 0)
  t.equal(power(0.5, 1), 0.5)
  t.equal(power(0.5, 1000), 2 ** -1000)
  t.equal(power(0.5, 2000), 0)
  t.equal(power(3, 33), 5559060566555523)
  t.equal(power(-1, 7), -1)
  t.equal(power(1, 2 ** 40), 1)
})

t.test('power(base, n): relative error < n · 2^-53 against exact integers', async t => {
  let compared = 0
  for (const base of [0.5000001, 0.9, 0.99, 0.999, 0.99999]) {
    for (let n = 6; n <= 200; n++) {
      // base is an integer over 2^53, and the result one over 2^300.
      const exact = BigInt(base * 2 ** 53) ** BigInt(n)
      const got = BigInt(power(base, n) * 2 ** 300) << BigInt(53 * n - 300)
      const error = Number(((got - exact) << 80n) / exact) / 2 ** 80
      if (!(Math.abs(error) < n * 2 ** -53))
        t.fail(`power(${base}, ${n}) is ${power(base, n)}, relative error ${error}`)
      compared++
    }
  }
  t.equal(compared, 5 * 195)
})

t.test('optimizerStep corrects both biases; an optimizer without a moment has no correction', async t => {
  const adam = optimizerStep({ type: 'adam', learningRate: 1, beta1: 0.5, beta2: 0.75, epsilon: 1e-8 }, 2, 0.3, 0.01)
  t.same(adam, {
    ...{ type: 'adam', beta1: 0.5, beta2: 0.75, epsilon: 1e-8, decay: 0.01 },
    ...{ stepSize: 0.3 / 0.75, secondCorrection: 1 / (1 - 0.5625) },
  })
  const momentum = optimizerStep({ type: 'momentum', learningRate: 1, beta1: 0.5 }, 1, 0.3, 0)
  t.equal(momentum.stepSize, 0.6)
  const sgd = optimizerStep({ type: 'sgd', learningRate: 1 }, 1, 0.3, 0)
  t.equal(sgd.stepSize, 0.3)
  t.same(momentCount, { adam: 2, momentum: 1, sgd: 0 })
})
