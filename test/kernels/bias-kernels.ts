/** Gradients and updates of biases, a candidate against the reference, swept and tallied. */
import { momentCount, type OptimizerType } from '../../src/model/optimizer.js'
import { fill, type Lab, randoms, read, rowsOf, vector, whole } from './lab.js'
import { placement, type RowSizes, type Sweep } from './sizes.js'
import { gamma, precisionOf, type Tally } from './tally.js'
import { checkUpdate, stepOf } from './update-checks.js'
import { fillParameters } from './weight-kernels.js'

export const BIAS_FORMS = ['first', 'add', 'fused', 'reduce'] as const

/** `accumulate` over a fresh and a filled buffer, `fused`, and `reduce`. The step has decays, which biases must not take. */
export function sweepBiasUpdate(
  type: OptimizerType,
  { sizes }: Sweep<RowSizes>,
  candidate: Lab,
  truth: Lab,
  tally: Tally,
): void {
  const precision = precisionOf(candidate)
  let n = 0
  for (const [rows, O] of sizes) {
    for (const form of BIAS_FORMS) {
      const updates = form === 'fused' || form === 'reduce'
      const { row, B } = form === 'fused' ? { row: 0, B: rows + 1 } : placement(n, rows)
      const count = form === 'reduce' ? (n % 3) + 1 : 1
      // Four forms: a whole number of them would clip always the same.
      const step = stepOf(type, Math.floor(n / BIAS_FORMS.length))
      n++
      const runIn = (lab: Lab, of = (x: number) => x) => {
        lab.reset()
        const random = randoms(n)
        const dz = lab.matrix(B, O)
        fill(rowsOf(dz, row, rows), () => of(random()))
        const bias = lab.bias(O, momentCount[type])
        const parameters = [bias.master, ...bias.moments].map(tensor => whole(vector(O, tensor)))
        fillParameters(parameters, random, type)
        const before = parameters.map(read)
        const buffers = Array.from({ length: count }, () => lab.biasBuffer(O))
        const tensors = buffers.map(({ tensor }) => tensor)
        const update = lab.kernels.biasUpdate(bias, dz)
        if (form === 'fused') update.accumulate(buffers[0].tensor, row, rows, true)
        if (form === 'add' || form === 'reduce') for (const buffer of buffers) fill(whole(buffer), () => of(random()))
        const gradients = buffers.map(buffer => read(whole(buffer)))
        const outputs = [...(updates ? parameters : []), ...(form === 'fused' ? [] : [whole(buffers[0])])]
        const { strays } = lab.guarded(outputs, () => {
          if (form === 'fused') update.fused(rows, step)
          else if (form === 'reduce') update.reduce(tensors, step)
          else update.accumulate(buffers[0].tensor, row, rows, form === 'first')
        })
        const summed = gradients[0].map((_, o) => gradients.reduce((total, g) => total + g[o], 0))
        const gradient = updates ? summed : read(whole(buffers[0]))
        return { before, gradient, after: parameters.map(read), strays }
      }
      const want = runIn(truth)
      const magnitude = runIn(truth, Math.abs).gradient
      const got = runIn(candidate)
      const check = tally.case(`bias ${form} ${type} rows ${row}+${rows} of ${B}, O ${O}, ${count} buffers`)
      const gradientBound = (o: number) => gamma(form === 'reduce' ? count - 1 : rows + 1, precision) * magnitude[o]
      if (updates) {
        checkUpdate(check, got.after, want, gradientBound, { ...step, l2: 0, decoupledDecay: 0 }, precision)
      } else {
        check.near('gradient', got.gradient, want.gradient, gradientBound)
      }
      check.equal('strays', got.strays, '')
    }
  }
}
