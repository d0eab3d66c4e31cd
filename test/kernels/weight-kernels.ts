/**
 * Gradients, updates and copies of weights, a candidate against the reference: each function sweeps one kernel and tallies. A tile's
 * kernel may touch that tile alone, in the master, its moments and its transposed form.
 */

import type { Tile, WeightTensors } from '../../src/kernels/backend.js'
import { momentCount, type OptimizerType } from '../../src/model/optimizer.js'
import { fill, type Lab, type Region, randoms, read, rowsOf, type Sheet, weightSheets } from './lab.js'
import { type ProductSizes, placement, type Sweep } from './sizes.js'
import { gamma, precisionOf, type Tally } from './tally.js'
import { checkUpdate, momentsOf, stepOf } from './update-checks.js'

/** The whole matrix, or a part that begins and ends inside where it is wide enough, at multiples of the unit. */
function tileOf({ backend }: Lab, I: number, O: number, part: boolean): Tile {
  const start = (size: number, unit: number) => (part && size > unit ? unit : 0)
  const end = (size: number, unit: number) => (part && size > 2 * unit ? Math.ceil(size / unit - 1) * unit : size)
  const { inputs, outputs } = backend.tileUnit
  return {
    inputStart: start(I, inputs),
    inputEnd: end(I, inputs),
    outputStart: start(O, outputs),
    outputEnd: end(O, outputs),
  }
}

function tileRegion(sheet: Sheet, tile: Tile): Region {
  const { inputStart: row, inputEnd, outputStart: col, outputEnd } = tile
  return { sheet, row, rows: inputEnd - row, col, cols: outputEnd - col }
}

/** Master and moments of the tile, and its place in the transposed form. */
function weightRegions(w: WeightTensors, tile: Tile): { parameters: Region[]; transposed: Region[] } {
  const sheets = weightSheets(w)
  const { inputStart: col, inputEnd, outputStart: row, outputEnd } = tile
  return {
    parameters: sheets.slice(0, 1 + w.moments.length).map(sheet => tileRegion(sheet, tile)),
    transposed: sheets
      .slice(1 + w.moments.length)
      .map(sheet => ({ sheet, row, rows: outputEnd - row, col, cols: inputEnd - col })),
  }
}

/** A mean of gradients is anything, one of squares is positive: small values of it would only widen the bound. */
export function fillParameters(regions: readonly Region[], random: () => number, type: OptimizerType): void {
  const names = ['w', ...momentsOf[type]]
  regions.forEach((region, i) => {
    fill(region, () => (names[i] === 'v' ? Math.fround(0.5 + random() / 4) : random()))
  })
}

const describe = ({ inputStart, inputEnd, outputStart, outputEnd }: Tile) =>
  `tile [${inputStart}, ${inputEnd}) x [${outputStart}, ${outputEnd})`

export function sweepWeightGradient({ sizes }: Sweep<ProductSizes>, candidate: Lab, truth: Lab, tally: Tally): void {
  const precision = precisionOf(candidate)
  let n = 0
  for (const [rows, I, O] of sizes) {
    const { row, B } = placement(n++, rows)
    const first = n % 4 > 1
    const tile = tileOf(candidate, I, O, n % 5 > 2)
    const runIn = (lab: Lab, of = (x: number) => x) => {
      lab.reset()
      const random = randoms(n)
      const x = lab.matrix(B, I)
      const dz = lab.matrix(B, O)
      fill(rowsOf(x, row, rows), () => of(random()))
      fill(rowsOf(dz, row, rows), () => of(random()))
      const buffer = lab.weightBuffer(I, O)
      const output = tileRegion(buffer, tile)
      if (!first) fill(output, () => of(random()))
      const update = lab.kernels.weightUpdate(lab.weight(I, O), x, dz)
      const { strays } = lab.guarded([output], () => update.accumulate(buffer.tensor, tile, row, rows, first))
      return { values: read(output), strays }
    }
    const want = runIn(truth).values
    const magnitude = runIn(truth, Math.abs).values
    const got = runIn(candidate)
    const name = `accumulate rows ${row}+${rows} of ${B}, I ${I}, O ${O}, ${describe(tile)}, first ${first}`
    const check = tally.case(name)
    check.near('gradient', got.values, want, i => gamma(rows + 1, precision) * magnitude[i])
    check.equal('strays', got.strays, '')
  }
}

/** `fused`, or `reduce` over 1 to 3 buffers. */
export function sweepWeightUpdate(
  form: 'fused' | 'reduce',
  type: OptimizerType,
  { sizes }: Sweep<ProductSizes>,
  candidate: Lab,
  truth: Lab,
  tally: Tally,
): void {
  const precision = precisionOf(candidate)
  let n = 0
  for (const [rows, I, O] of sizes) {
    for (const part of [false, true]) {
      const step = stepOf(type, n)
      const count = (n++ % 3) + 1
      const tile = tileOf(candidate, I, O, part)
      const runIn = (lab: Lab, of = (x: number) => x) => {
        lab.reset()
        const random = randoms(n)
        const x = lab.matrix(rows + 1, I)
        const dz = lab.matrix(rows + 1, O)
        const w = lab.weight(I, O, momentCount[type])
        const { parameters, transposed } = weightRegions(w, tile)
        fillParameters(parameters, random, type)
        const before = parameters.map(read)
        const update = lab.kernels.weightUpdate(w, x, dz)
        const buffers = Array.from({ length: count }, () => tileRegion(lab.weightBuffer(I, O), tile))
        const sum = buffers[0]
        if (form === 'fused') {
          fill(rowsOf(x, 0, rows), () => of(random()))
          fill(rowsOf(dz, 0, rows), () => of(random()))
          update.accumulate(sum.sheet.tensor as WeightTensors['master'], tile, 0, rows, true)
        } else {
          for (const buffer of buffers) fill(buffer, () => of(random()))
        }
        const gradients = (form === 'fused' ? [sum] : buffers).map(read)
        const tensors = buffers.map(({ sheet }) => sheet.tensor as WeightTensors['master'])
        const { strays } = lab.guarded([...parameters, ...transposed, ...(form === 'fused' ? [] : [sum])], () =>
          form === 'fused' ? update.fused(tile, rows, step) : update.reduce(tensors, tile, step),
        )
        const gradient = gradients[0].map((_, i) => gradients.reduce((total, g) => total + g[i], 0))
        return { before, gradient, after: parameters.map(read), transposed: transposed.map(read), strays }
      }
      const want = runIn(truth)
      const magnitude = runIn(truth, Math.abs).gradient
      const got = runIn(candidate)
      const check = tally.case(`${form} ${type} rows ${rows}, ${count} buffers, I ${I}, O ${O}, ${describe(tile)}`)
      const share = gamma(form === 'fused' ? rows : count - 1, precision)
      checkUpdate(check, got.after, want, i => share * magnitude[i], step, precision)
      for (const transposed of got.transposed) check.near('transposed', transposed, turned(got.after[0], tile), () => 0)
      check.equal('strays', got.strays, '')
    }
  }
}

/** A tile's numbers (I, O), row by row, as (O, I). */
function turned(values: Float64Array, { inputStart, inputEnd, outputStart, outputEnd }: Tile): Float64Array {
  const [I, O] = [inputEnd - inputStart, outputEnd - outputStart]
  return values.map((_, n) => values[(n % I) * O + Math.floor(n / I)])
}

export function sweepDerive({ sizes }: Sweep<ProductSizes>, candidate: Lab, tally: Tally): void {
  let n = 0
  for (const [, I, O] of sizes) {
    for (const part of [false, true]) {
      candidate.reset()
      const tile = tileOf(candidate, I, O, part)
      const w = candidate.weight(I, O)
      const { parameters, transposed } = weightRegions(w, tile)
      fillParameters(parameters, randoms(n++), 'sgd')
      const want = read(parameters[0])
      const derive = candidate.kernels.derive(w)
      const { strays } = candidate.guarded(transposed, () => derive(tile))
      const check = tally.case(`derive I ${I}, O ${O}, ${describe(tile)}`)
      for (const region of transposed) check.near('transposed', read(region), turned(want, tile), () => 0)
      check.near('master', read(parameters[0]), want, () => 0)
      check.equal('strays', strays, '')
    }
  }
}

/** `storeRow` then `loadRow` of first, middle and last row: nothing else changes, nothing is rounded. */
export function sweepRowCopies({ sizes }: Sweep<ProductSizes>, candidate: Lab, tally: Tally): void {
  let n = 0
  for (const [, I, O] of sizes) {
    candidate.reset()
    const random = randoms(n++)
    const w = candidate.weight(I, O)
    const master: Sheet = { rows: I, cols: O, tensor: w.master }
    for (const i of [0, Math.floor(I / 2), I - 1]) {
      const values = Float32Array.from({ length: O }, random)
      const row = rowsOf(master, i, 1)
      const loaded = new Float32Array(O).fill(Number.NaN)
      const stored = candidate.guarded([row], () => candidate.kernels.storeRow(w, i, values))
      const taken = candidate.guarded([], () => candidate.kernels.loadRow(w, i, loaded))
      const check = tally.case(`storeRow and loadRow, row ${i} of I ${I}, O ${O}`)
      check.near('stored', read(row), values, () => 0)
      check.near('loaded', loaded, values, () => 0)
      check.equal('strays', stored.strays + taken.strays, '')
    }
  }
}
