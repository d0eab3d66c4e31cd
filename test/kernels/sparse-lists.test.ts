/**
 * Products of inputs that are mostly zero, such as one-hot features, in `wasm`: rows and columns of every density beside each
 * other, the exact bits of sums over the values that are not zero, in their order.
 */
import t from 'tap'
import { wasm } from '../../src/kernels/wasm/index.js'
import { fill, Lab, randoms, read, whole } from './lab.js'

const O = 29

/**
 * Value of (row, column): rows of every density follow each other, as do panels of twelve columns; some zeros are -0. Half of the
 * matrices have rows without a zero, the other half panels of columns that hardly have a value.
 */
function inputsOf(rows: number, cols: number, byColumn: boolean) {
  const random = randoms(rows * 1000 + cols)
  const densities = [0, 1, 0.02, 0.02, 0.5, 0.01, 0, 0.01, 0.9, 0.05]
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: cols }, (_, col) => {
      const density = densities[(byColumn ? Math.floor(col / 12) : row) % densities.length]
      const isZero = (random() + 1) / 2 >= density
      return isZero ? (random() < 0 ? -0 : 0) : Math.fround(random())
    }),
  )
}

for (const [rows, cols, byColumn] of [
  [9, 7, false],
  [10, 500, false],
  [10, 500, true],
  [131, 61, false],
  [300, 260, false],
  [300, 260, true],
] as const) {
  t.test(
    `${rows} rows of ${cols} inputs, zeros by ${byColumn ? 'column' : 'row'}: product and gradient to the bit`,
    async t => {
      const lab = await Lab.open(wasm)
      const values = inputsOf(rows, cols, byColumn)
      const random = randoms(3)
      const [x, z, dz] = [lab.matrix(rows, cols), lab.matrix(rows, O), lab.matrix(rows, O)]
      const w = lab.weight(cols, O)
      fill(whole(x), (r, c) => values[r][c])
      fill(whole({ rows: cols, cols: O, tensor: w.master }), () => Math.fround(random()))
      fill(whole(dz), () => Math.fround(random()))
      const weights = read(whole({ rows: cols, cols: O, tensor: w.master }))
      const deltas = read(whole(dz))
      lab.kernels.linear(z, x, w)(0, rows)
      const products = read(whole(z))
      const buffer = lab.weightBuffer(cols, O)
      const tile = { inputStart: 0, inputEnd: cols, outputStart: 0, outputEnd: O }
      lab.kernels.weightUpdate(w, x, dz).accumulate(buffer.tensor, tile, 0, rows, true)
      const gradient = read(whole(buffer))
      const { fround } = Math
      let compared = 0
      const same = (what: string, got: number, want: number) => {
        if (got !== want) t.fail(`${what} is ${got}, expected ${want}`)
        compared++
      }
      for (let o = 0; o < O; o++) {
        for (let r = 0; r < rows; r++) {
          const sum = values[r].reduce((acc, v, c) => (v === 0 ? acc : fround(acc + fround(v * weights[c * O + o]))), 0)
          same(`product (${r}, ${o})`, products[r * O + o], sum)
        }
        for (let c = 0; c < cols; c++) {
          let sum = 0
          for (let r = 0; r < rows; r++) {
            if (values[r][c] !== 0) sum = fround(sum + fround(values[r][c] * deltas[r * O + o]))
          }
          same(`gradient (${c}, ${o})`, gradient[c * O + o], sum)
        }
      }
      t.equal(compared, O * (rows + cols))
    },
  )
}
