/**
 * Ten steps of every optimizer, learning rates far too high included, against numbers computed apart from gradloom:
 * test/optimizer-oracle/optimizers.py says how. The oracle's gradients are fed to the backends' kernels as the deltas
 * of a batch of one row whose input is 1.
 */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { reference } from '../../src/kernels/reference/index.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import {
  momentCount,
  type OptimizerStep,
  type OptimizerType,
  optimizerStep,
  type SettledOptimizer,
  settledOptimizer,
} from '../../src/model/optimizer.js'
import { fill, Lab, type Region, read, vector, whole } from '../kernels/lab.js'

interface Case {
  readonly optimizer: SettledOptimizer
  readonly l2: number
  readonly clip: number | null
  /** Per step, before clipping and L2. */
  readonly gradients: readonly (readonly number[])[]
  /** After each step. */
  readonly weights: readonly (readonly number[])[]
}
interface Oracle {
  readonly start: readonly number[]
  readonly rows: number
  readonly steps: number
  readonly cases: readonly Case[]
}
const oracle: Oracle = JSON.parse(await readFile('test/optimizer-oracle/optimizers.json', 'utf8'))
const O = oracle.start.length

function stepOf({ optimizer, l2, clip }: Case, t: number): OptimizerStep {
  return optimizerStep(optimizer, t, optimizer.learningRate, l2 / oracle.rows, clip ?? Number.POSITIVE_INFINITY)
}

const decayOf = ({ optimizer }: Case) => (optimizer.type === 'adam' ? 0 : optimizer.weightDecay)

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
      // Biases take neither L2 nor decay: they follow the cases without, though the step has both.
      const cases = oracle.cases.filter(one => !isBias || (one.l2 === 0 && decayOf(one) === 0))
      const both = { l2: 0.3, decoupledDecay: 0.2 }
      const failures: string[] = []
      let compared = 0
      let worst = 0
      for (const one of cases) {
        lab.reset()
        const { dz, master, moments, run } = routes[route](lab, one.optimizer.type)
        fill(master, (_, o) => oracle.start[o])
        for (const moment of moments) fill(moment, () => 0)
        // |start| and the length of every step so far: what rounding errors are measured by.
        const path = oracle.start.map(Math.abs)
        for (let s = 0; s < oracle.steps; s++) {
          fill(dz, (_, o) => one.gradients[s][o])
          run({ ...stepOf(one, s + 1), ...(isBias ? both : {}) })
          const got = read(master)
          for (const [o, want] of one.weights[s].entries()) {
            path[o] += Math.abs(want - (one.weights[s - 1] ?? oracle.start)[o])
            const error = Math.abs(got[o] - want) / path[o]
            if (!(error < bound)) {
              const settings = `l2 ${one.l2}, decay ${decayOf(one)}, clip ${one.clip}, step ${s + 1}, weight ${o}`
              const name = `${one.optimizer.type}, rate ${one.optimizer.learningRate}, ${settings}`
              failures.push(`${name}: is ${got[o]}, expected ${want}, error ${error}`)
            }
            worst = Math.max(worst, error)
            compared++
          }
        }
      }
      t.same(failures.slice(0, 5), [], `${failures.length} failures`)
      t.equal(cases.length, isBias ? 28 : 68, '7 optimizers at 3 rates, and clipped; weights also with L2 and decay')
      t.equal(compared, cases.length * 10 * 5, 'every step of every case')
      t.comment(`worst error ${worst}`)
    })
  }
}

t.test('optimizerStep corrects both biases; an optimizer without a moment has no correction', async t => {
  const adam = optimizerStep({ type: 'adam', learningRate: 1, beta1: 0.5, beta2: 0.75, epsilon: 1e-8 }, 2, 0.3, 0.01)
  t.same(adam, {
    ...{ type: 'adam', beta1: 0.5, beta2: 0.75, epsilon: 1e-8, l2: 0.01, decoupledDecay: 0, clip: Infinity },
    ...{ stepSize: 0.3 / 0.75, secondCorrection: 1 / (1 - 0.5625) },
  })
  const weightDecay = 0.5
  const momentum = optimizerStep({ type: 'momentum', learningRate: 1, beta1: 0.5, weightDecay }, 1, 0.3, 0, 2)
  t.same([momentum.stepSize, momentum.decoupledDecay, momentum.clip], [0.6, 0.15, 2], 'decay follows the rate, not β')
  for (const plain of [
    { type: 'sgd', learningRate: 1, weightDecay },
    { type: 'nesterov', learningRate: 1, momentum: 0.9, weightDecay },
    { type: 'rmsprop', learningRate: 1, beta2: 0.99, epsilon: 1e-8, weightDecay },
    { type: 'lion', learningRate: 1, beta1: 0.9, beta2: 0.99, weightDecay },
  ] as const) {
    const { stepSize, secondCorrection } = optimizerStep(plain, 1, 0.3, 0)
    t.same([stepSize, secondCorrection], [0.3, 1], `${plain.type} is not corrected`)
  }
  t.same(momentCount, { adam: 2, adamw: 2, momentum: 1, nesterov: 1, rmsprop: 1, lion: 1, sgd: 0 })
})

t.test('weight decay "auto" is 2 / classes, and 1 for other tasks; a number stays', async t => {
  const rest = { type: 'adamw', learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const
  const decay = (classes: number | null) => {
    const settled = settledOptimizer({ ...rest, weightDecay: 'auto' }, classes)
    t.match(settled, rest)
    return settled.type === 'adamw' && settled.weightDecay
  }
  t.same([null, 1, 2, 3, 4, 10, 32].map(decay), [1, 1, 1, 2 / 3, 0.5, 0.2, 1 / 16])
  t.match(settledOptimizer({ ...rest, weightDecay: 0.3 }, 10), { weightDecay: 0.3 })
})
