/**
 * Three steps of batch normalisation against PyTorch's BatchNorm1d: outputs, deltas, scale and shift after gradient
 * descent, running statistics, and scoring with them. test/norm-oracle/batch-norm.py says how its numbers were made.
 */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { reference } from '../../../src/kernels/reference/index.js'
import { wasm } from '../../../src/kernels/wasm/index.js'
import { optimizerStep } from '../../../src/model/optimizer.js'
import { bindNorm } from '../../../src/worker/network/layers/norm.js'
import { nativeCandidates } from '../../helpers/native.js'
import { fill, Lab, read, rowsOf, vector, whole } from '../../kernels/lab.js'

interface Step {
  readonly rows: number
  readonly z: number[]
  readonly dy: number[]
  readonly y: number[]
  readonly dz: number[]
  readonly scale: number[]
  readonly shift: number[]
  readonly mean: number[]
  readonly variance: number[]
  readonly scored: number[]
}
interface Oracle {
  readonly units: number
  readonly rate: number
  readonly momentum: number
  readonly epsilon: number
  readonly bias: number[]
  readonly scale: number[]
  readonly shift: number[]
  readonly steps: readonly Step[]
}
const oracle: Oracle = JSON.parse(await readFile('test/norm-oracle/batch-norm.json', 'utf8'))
const O = oracle.units
const B = 8

for (const { backend, bound, skip, open } of [
  { backend: reference, bound: 1e-14, skip: false, open: undefined },
  { backend: wasm, bound: 2e-6, skip: false, open: undefined },
  ...(await nativeCandidates()).map(native => ({ ...native, bound: 2e-6 })),
]) {
  t.test(`${backend.name}: three steps of PyTorch's batch norm, error < ${bound}`, { skip }, async t => {
    const lab = await Lab.open(backend, open)
    const units = (values: readonly number[]) => {
      const tensor = lab.bias(O)
      fill(whole(vector(O, tensor.master)), (_, o) => values[o])
      return tensor
    }
    const none = () => lab.biasBuffer(O).tensor
    const [bias, scale, shift] = [oracle.bias, oracle.scale, oracle.shift].map(units)
    const [mean, variance] = [Array(O).fill(0), Array(O).fill(1)].map(values => units(values).master)
    const [z, dz] = [lab.matrix(B, O), lab.matrix(B, O)]
    const norm = bindNorm({
      ...{ norm: oracle, kernels: lab.kernels, z, bias, scale, shift, running: { mean, variance } },
      training: {
        ...{ dz, normed: lab.matrix(B, O), inverses: lab.doubles(B), kept: null },
        batch: { mean: none(), variance: none(), factors: none() },
        gradients: { scale: none(), shift: none() },
      },
    })
    const valuesOf = (tensor: typeof mean) => read(whole(vector(O, tensor)))
    const shifted = (rows: number, of = valuesOf(shift.master)) => read(rowsOf(z, 0, rows)).map((x, n) => x + of[n % O])
    let [compared, worst] = [0, 0]
    const compare = (what: string, got: Float64Array, want: readonly number[]) => {
      for (const [i, value] of want.entries()) {
        const error = Math.abs(got[i] - value) / Math.max(1, Math.abs(value))
        if (!(error < bound)) t.fail(`${what}[${i}] is ${got[i]}, expected ${value}; bound ${bound}`)
        worst = Math.max(worst, error)
        compared++
      }
    }
    for (const [n, step] of oracle.steps.entries()) {
      const { rows } = step
      const all = { row: 0, rows }
      fill(rowsOf(z, 0, rows), (r, o) => step.z[r * O + o])
      fill(rowsOf(dz, 0, rows), (r, o) => step.dy[r * O + o])
      norm.forward(all, true)
      compare(`step ${n}: y`, shifted(rows), step.y)
      norm.sums(rows)
      t.ok(norm.backward(all))
      compare(`step ${n}: dz`, read(rowsOf(dz, 0, rows)), step.dz)
      norm.update(
        rows,
        optimizerStep({ type: 'sgd', learningRate: oracle.rate, weightDecay: 0 }, n + 1, oracle.rate, 9),
      )
      compare(`step ${n}: scale`, valuesOf(scale.master), step.scale)
      compare(`step ${n}: shift`, valuesOf(shift.master), step.shift)
      compare(`step ${n}: running mean`, valuesOf(mean), step.mean)
      compare(`step ${n}: running variance`, valuesOf(variance), step.variance)
      fill(rowsOf(z, 0, rows), (r, o) => step.z[r * O + o])
      norm.forward(all, false)
      compare(`step ${n}: scored`, shifted(rows), step.scored)
    }
    t.equal(compared, 3 * 15 * 5 + 3 * 4 * 5)
    t.comment(`worst error ${worst}`)
  })
}

t.test('a mini-batch of one row does not change running statistics', async t => {
  const lab = await Lab.open(wasm)
  const units = (value: number) => {
    const tensor = lab.bias(O)
    fill(whole(vector(O, tensor.master)), () => value)
    return tensor
  }
  const [z, dz] = [lab.matrix(B, O), lab.matrix(B, O)]
  fill(whole(z), () => 3)
  fill(whole(dz), () => 1)
  const running = { mean: units(0.25).master, variance: units(2).master }
  const norm = bindNorm({
    ...{ norm: oracle, kernels: lab.kernels, z, bias: units(0), scale: units(1), shift: units(0), running },
    training: {
      ...{ dz, normed: lab.matrix(B, O), inverses: lab.doubles(B), kept: null },
      batch: { mean: units(0).master, variance: units(0).master, factors: units(0).master },
      gradients: { scale: units(0).master, shift: units(0).master },
    },
  })
  norm.forward({ row: 0, rows: 1 }, true)
  t.same([...read(rowsOf(z, 0, 1))], Array(O).fill(0), 'every number is its own mean')
  norm.sums(1)
  t.ok(norm.backward({ row: 0, rows: 1 }))
  norm.update(1, optimizerStep({ type: 'sgd', learningRate: 1, weightDecay: 0 }, 1, 1, 0))
  t.same([...read(whole(vector(O, running.mean)))], Array(O).fill(0.25))
  t.same([...read(whole(vector(O, running.variance)))], Array(O).fill(2))
})
