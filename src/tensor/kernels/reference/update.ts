/**
 * Gradients of weights and biases, and the optimizers, in float64. Runs in workers; changes the parameters, their
 * moments and the gradient buffers it is given.
 */
import ndarray from 'ndarray'
import ops from 'ndarray-ops'
import type { OptimizerStep } from '../../../model/optimizer.js'
import { bindShapes, type FloatTensor, type Matrix, matrixShape } from '../../tensor.js'
import type { BiasTensors, BiasUpdate, Tile, WeightTensors, WeightUpdate } from '../backend.js'
import { matmul } from './matmul.js'
import { columnsOf, rowsOf, tileOf } from './views.js'

export function weightUpdate(
  w: WeightTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
): WeightUpdate {
  bindShapes('weightUpdate', [
    ['w', w.master, ['I', 'O']],
    ['x', matrixShape(x), ['B', 'I']],
    ['dz', matrixShape(dz), ['B', 'O']],
  ])
  /** g (tile) = xᵀ · dz over the rows. */
  const gradient = (g: FloatTensor, tile: Tile, row: number, rows: number, accumulate: boolean) => {
    const xTile = columnsOf(x, row, rows, tile.inputStart, tile.inputEnd)
    const dzTile = columnsOf(dz, row, rows, tile.outputStart, tile.outputEnd)
    matmul(g, xTile.transpose(1, 0), dzTile, accumulate)
  }
  const update = (g: FloatTensor, tile: Tile, step: OptimizerStep) => {
    const master = tileOf(w.master, tile)
    const decayed = like(master)
    ops.muls(decayed, master, step.decay)
    ops.addeq(g, decayed)
    applyOptimizer(
      master,
      w.moments.map(moment => tileOf(moment, tile)),
      g,
      step,
    )
  }
  return {
    fused(tile, rows, step) {
      const g = like(tileOf(w.master, tile))
      gradient(g, tile, 0, rows, false)
      update(g, tile, step)
    },
    accumulate: (buffer, tile, row, rows, first) => gradient(tileOf(buffer, tile), tile, row, rows, !first),
    reduce(buffers, tile, step) {
      const [sum, ...others] = buffers.map(buffer => tileOf(buffer, tile))
      for (const other of others) ops.addeq(sum, other)
      update(sum, tile, step)
    },
    derive() {}, // No kernel here reads a transposed form.
  }
}

export function biasUpdate(
  bias: BiasTensors,
  dz: Matrix, // (B, O)
): BiasUpdate {
  bindShapes('biasUpdate', [
    ['bias', bias.master, ['O']],
    ['dz', matrixShape(dz), ['B', 'O']],
  ])
  const gradient = (g: FloatTensor, row: number, rows: number, accumulate: boolean) => {
    if (!accumulate) ops.assigns(g, 0)
    const deltas = rowsOf(dz, row, rows)
    for (let r = 0; r < rows; r++) ops.addeq(g, deltas.pick(r, null))
  }
  return {
    fused(rows, step) {
      const g = like(bias.master)
      gradient(g, 0, rows, false)
      applyOptimizer(bias.master, bias.moments, g, step)
    },
    accumulate: (buffer, row, rows, first) => gradient(buffer, row, rows, !first),
    reduce([sum, ...others], step) {
      for (const other of others) ops.addeq(sum, other)
      applyOptimizer(bias.master, bias.moments, sum, step)
    },
  }
}

/** The formulas of src/model/optimizer.ts on tensors of one shape. Updates w and its moments. */
function applyOptimizer(w: FloatTensor, moments: readonly FloatTensor[], g: FloatTensor, step: OptimizerStep): void {
  const [m, v] = moments
  const change = like(w)
  switch (step.type) {
    case 'adam': {
      average(m, g, step.beta1)
      const square = like(g)
      ops.mul(square, g, g)
      average(v, square, step.beta2)
      const divisor = like(v)
      ops.muls(divisor, v, step.secondCorrection)
      ops.sqrteq(divisor)
      ops.addseq(divisor, step.epsilon)
      ops.muls(change, m, step.stepSize)
      ops.diveq(change, divisor)
      break
    }
    case 'momentum':
      average(m, g, step.beta1)
      ops.muls(change, m, step.stepSize)
      break
    case 'sgd':
      ops.muls(change, g, step.stepSize)
      break
    default:
      step.type satisfies never
  }
  ops.subeq(w, change)
}

/** mean = beta · mean + (1 - beta) · x. */
function average(mean: FloatTensor, x: FloatTensor, beta: number): void {
  const share = like(x)
  ops.muls(share, x, 1 - beta)
  ops.mulseq(mean, beta)
  ops.addeq(mean, share)
}

/** A tensor of zeros of the same shape. */
function like({ shape, size }: FloatTensor): FloatTensor {
  return ndarray(new Float64Array(size), [...shape])
}
