/** Initial weights: their variances, and that they are numbers of the parameter, however rows are drawn. */
import t from 'tap'
import { type Independent, initialRows } from '../../src/model/init.js'

const [I, O] = [300, 200]

function draw(init: Independent): Float32Array {
  const rows = initialRows(init, 5, 1, I, O)
  const values = new Float32Array(I * O)
  for (let i = 0; i < I; i++) rows(values.subarray(i * O, (i + 1) * O), i)
  return values
}

t.test('every scheme has its variance within 3 %, a mean within 0.02 deviations, and its distribution', async t => {
  const variances = { he: 2 / I, glorot: 2 / (I + O), lecun: 1 / I }
  let tried = 0
  for (const [scheme, variance] of Object.entries(variances)) {
    for (const kind of ['normal', 'uniform'] as const) {
      const values = draw(`${scheme}-${kind}` as Independent)
      const mean = values.reduce((sum, x) => sum + x, 0) / values.length
      const got = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length
      const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / Math.sqrt(variance)
      t.ok(Math.abs(got / variance - 1) < 0.03, `${scheme}-${kind}: variance ${got}, expected ${variance}`)
      t.ok(Math.abs(mean) < 0.02 * Math.sqrt(variance), `${scheme}-${kind}: mean ${mean}`)
      const inside = kind === 'uniform' ? largest < 1.7321 && largest > 1.73 : largest > 3.5 && largest < 6
      t.ok(inside, `${scheme}-${kind}: the largest is ${largest} deviations`)
      tried++
    }
  }
  t.equal(tried, 6)
})

t.test('the initial values of a row do not depend on the rows drawn before it', async t => {
  const all = draw('glorot-uniform')
  const row = new Float32Array(O)
  initialRows('glorot-uniform', 5, 1, I, O)(row, 117)
  t.same(row, all.subarray(117 * O, 118 * O))
})
