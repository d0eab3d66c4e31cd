/**
 * Gradients of weights and biases, and the optimizers, in float64. Runs in workers; changes the parameters, their
 * moments and the gradient buffers it is given.
 */
import ndarray from 'ndarray'
import ops from 'ndarray-ops'
import type { OptimizerStep } from '../../model/optimizer.js'
import { byteOffsetOf, type FloatTensor, type Matrix, viewTensor } from '../../tensor/tensor.js'
import type { BiasTensors, BiasUpdate, Range, TableUpdate, Tile, WeightTensors, WeightUpdate } from '../backend.js'
import { checkBiasUpdate, checkWeightUpdate } from '../shapes.js'
import { matmul } from './matmul.js'
import { columnsOf, rowsOf, tileOf } from './views.js'

export function weightUpdate(
  w: WeightTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
): WeightUpdate {
  checkWeightUpdate(w, x, dz)
  /** g (tile) = xᵀ · dz over the rows. */
  return weightUpdateOf(w, (g, tile, row, rows, accumulate) => {
    const xTile = columnsOf(x, row, rows, tile.inputStart, tile.inputEnd)
    const dzTile = columnsOf(dz, row, rows, tile.outputStart, tile.outputEnd)
    matmul(g, xTile.transpose(1, 0), dzTile, accumulate)
  })
}

/** Updates from a gradient (tile) over some rows, which `gradient` writes to g, or adds to it. */
export function weightUpdateOf(
  w: WeightTensors,
  gradient: (g: FloatTensor, tile: Tile, row: number, rows: number, accumulate: boolean) => void,
): WeightUpdate {
  const update = (g: FloatTensor, tile: Tile, step: OptimizerStep) => {
    const master = tileOf(w.master, tile)
    const moments = w.moments.map(moment => momentOf(w, moment, tile))
    clip(g, step.clip)
    addScaled(g, master, step.l2)
    applyOptimizer(master, moments, g, step, step.decoupledDecay)
  }
  const placed = (at: number, { inputStart, inputEnd, outputStart, outputEnd }: Tile): FloatTensor =>
    viewTensor(w.master.data.buffer, 'float64', [inputEnd - inputStart, outputEnd - outputStart], at)
  return {
    tiles: {
      bytes: tile => Float64Array.BYTES_PER_ELEMENT * tileOf(w.master, tile).size,
      compute: (at, tile, row, rows) => gradient(placed(at, tile), tile, row, rows, false),
      add: (at, other, tile) => ops.addeq(placed(at, tile), placed(other, tile)),
      apply: (at, tile, step) => update(placed(at, tile), tile, step),
      store(buffer, at, tile, first) {
        if (first) ops.assign(tileOf(buffer, tile), placed(at, tile))
        else ops.addeq(tileOf(buffer, tile), placed(at, tile))
      },
    },
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
    sum(to, buffers, tile, first) {
      const sum = tileOf(to, tile)
      if (first) ops.assigns(sum, 0)
      for (const buffer of buffers) ops.addeq(sum, tileOf(buffer, tile))
    },
    limit({ start, end }, limit) {
      for (let o = start; o < end; o++) {
        const column = w.master.pick(null, o)
        const length = ops.norm2(column)
        if (length > limit) ops.mulseq(column, limit / length)
      }
    },
    squares: (buffer, tile) => ops.norm2squared(tileOf(buffer, tile)),
    scale: (buffer, tile, factor) => ops.mulseq(tileOf(buffer, tile), factor),
    average(average, tile, share) {
      const to = momentOf(w, average, tile)
      const change = like(to)
      ops.sub(change, tileOf(w.master, tile), to)
      addScaled(to, change, share)
    },
  }
}

/** A part of a moment, which is as large as the weights, or has the tiles that a rank owns. */
function momentOf({ owned }: WeightTensors, moment: FloatTensor, part: Tile): FloatTensor {
  if (!owned) return tileOf(moment, part)
  const { tile, at } = owned.of(part)
  const shape = [tile.inputEnd - tile.inputStart, tile.outputEnd - tile.outputStart]
  const packed = viewTensor(
    moment.data.buffer,
    'float64',
    shape,
    byteOffsetOf(moment) + at * moment.data.BYTES_PER_ELEMENT,
  )
  return tileOf(packed, {
    inputStart: part.inputStart - tile.inputStart,
    inputEnd: part.inputEnd - tile.inputStart,
    outputStart: part.outputStart - tile.outputStart,
    outputEnd: part.outputEnd - tile.outputStart,
  })
}

export function biasUpdate(
  bias: BiasTensors,
  dz: Matrix, // (B, O)
): BiasUpdate {
  checkBiasUpdate(bias, dz)
  const gradient = (g: FloatTensor, row: number, rows: number, accumulate: boolean) => {
    if (!accumulate) ops.assigns(g, 0)
    const deltas = rowsOf(dz, row, rows)
    for (let r = 0; r < rows; r++) ops.addeq(g, deltas.pick(r, null))
  }
  const update = (g: FloatTensor, step: OptimizerStep) => {
    clip(g, step.clip)
    applyOptimizer(bias.master, bias.moments, g, step, 0)
  }
  return {
    fused(rows, step) {
      const g = like(bias.master)
      gradient(g, 0, rows, false)
      update(g, step)
    },
    accumulate: (buffer, row, rows, first) => gradient(buffer, row, rows, !first),
    reduce([sum, ...others], step) {
      for (const other of others) ops.addeq(sum, other)
      update(sum, step)
    },
  }
}

export function tableUpdate({ master, moments }: BiasTensors): TableUpdate {
  const part = (tensor: FloatTensor, { start, end }: Range) => tensor.lo(start).hi(end - start)
  return {
    reduce(buffers, range, step) {
      const [sum, ...others] = buffers.map(buffer => part(buffer, range))
      for (const other of others) ops.addeq(sum, other)
      clip(sum, step.clip)
      const parts = moments.map(moment => part(moment, range))
      applyOptimizer(part(master, range), parts, sum, step, 0)
    },
    squares: (buffer, range) => ops.norm2squared(part(buffer, range)),
    scale: (buffer, range, factor) => ops.mulseq(part(buffer, range), factor),
    average(average, range, share) {
      const to = part(average, range)
      const change = like(to)
      ops.sub(change, part(master, range), to)
      addScaled(to, change, share)
    },
  }
}

/** The formulas of src/model/optimizer.ts on tensors of one shape. Updates w and its moments. */
function applyOptimizer(
  w: FloatTensor,
  moments: readonly FloatTensor[],
  g: FloatTensor,
  step: OptimizerStep,
  weightDecay: number,
): void {
  const change = like(w)
  switch (step.type) {
    case 'adam':
    case 'adamw': {
      const [m, v] = moments
      average(m, g, step.beta1)
      averageSquare(v, g, step.beta2)
      ops.muls(change, m, step.stepSize)
      ops.diveq(change, rootOf(v, step))
      break
    }
    case 'momentum': {
      const [m] = moments
      average(m, g, step.beta1)
      ops.muls(change, m, step.stepSize)
      break
    }
    case 'nesterov': {
      const [v] = moments
      ops.mulseq(v, step.beta1)
      ops.addeq(v, g)
      ops.assign(change, g)
      addScaled(change, v, step.beta1)
      ops.mulseq(change, step.stepSize)
      break
    }
    case 'rmsprop': {
      const [v] = moments
      averageSquare(v, g, step.beta2)
      ops.muls(change, g, step.stepSize)
      ops.diveq(change, rootOf(v, step))
      break
    }
    case 'lion': {
      const [m] = moments
      ops.assign(change, m)
      average(change, g, step.beta1)
      average(m, g, step.beta2)
      // x - x is 0, but NaN for what is not finite: its sign must not hide that.
      change.data.forEach((x, i) => {
        change.data[i] = step.stepSize * (Math.sign(x) + (x - x))
      })
      break
    }
    case 'sgd':
      ops.muls(change, g, step.stepSize)
      break
    default:
      step.type satisfies never
  }
  addScaled(change, w, weightDecay)
  ops.subeq(w, change)
}

/** Limits x to [-limit, limit]. A NaN stays one. */
function clip(x: FloatTensor, limit: number): void {
  ops.minseq(x, limit)
  ops.maxseq(x, -limit)
}

/** to += factor · x. */
function addScaled(to: FloatTensor, x: FloatTensor, factor: number): void {
  const scaled = like(x)
  ops.muls(scaled, x, factor)
  ops.addeq(to, scaled)
}

/** mean = beta · mean + (1 - beta) · x². */
function averageSquare(mean: FloatTensor, x: FloatTensor, beta: number): void {
  const square = like(x)
  ops.mul(square, x, x)
  average(mean, square, beta)
}

/** √(v · secondCorrection) + ε. */
function rootOf(v: FloatTensor, { secondCorrection, epsilon }: OptimizerStep): FloatTensor {
  const root = like(v)
  ops.muls(root, v, secondCorrection)
  ops.sqrteq(root)
  ops.addseq(root, epsilon)
  return root
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
