/**
 * Orthogonal initial weights: Saxe, McClelland and Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning
 * in deep linear neural networks" (arXiv 1312.6120). A pure function of seed, layer and shape. Runs in workers.
 *
 * The matrix is the Q of the QR decomposition, R's diagonal positive, of a matrix of normal numbers, and so uniform over
 * all that there are. Nothing is decomposed: Q's Householder reflections are those of normal vectors, each one shorter
 * than the last, and are drawn as such. Stewart 1980, "The efficient generation of random orthogonal matrices with an
 * application to condition estimators". In float64, with + - * / and the square root alone, for the same bits everywhere.
 *
 * Letters: `M` the longer side of the weights, `K` the shorter one.
 */
import { type Activation, halvesMeanSquare } from './activation.js'
import type { Convolution } from './convolution.js'
import { initialRows } from './init.js'
import { weightDims } from './layers/kinds.js'

/** Columns that are reflected together: each number of a reflection is loaded once for all of them. */
const PANEL = 4
/** Reflections that a panel takes while it is in a near cache. */
const GROUP = 16

/** Reflection I - scale · v · vᵀ of the elements [first, M). */
interface Reflection {
  readonly v: Float64Array // (M), its elements before `first` unused
  first: number
  scale: number
}

/**
 * Gain · Q as (inputs, outputs), row-major: the vectors of its shorter side are orthogonal, and as long as the gain. It
 * takes 4·K²·(M - K/3) operations, 11 s for 3000 x 2500, and 8 bytes for each weight.
 */
export function orthogonalWeights(
  seed: number,
  layer: number,
  inputs: number,
  outputs: number,
  gain: number,
): Float32Array {
  const [M, K] = [Math.max(inputs, outputs), Math.min(inputs, outputs)]
  const draw = reflectionsOf(seed, layer, M, K)
  const group = Array.from({ length: GROUP }, (): Reflection => ({ v: new Float64Array(M), first: 0, scale: 0 }))
  const signs = new Float64Array(K)
  const panels = Array.from({ length: Math.ceil(K / PANEL) }, (_, p) => identityPanel(p, M, K))

  // Q = H_0 · H_1 … H_(K-1) · I: the last reflection comes first, and leaves the columns before its own alone.
  for (let start = Math.floor((K - 1) / GROUP) * GROUP; start >= 0; start -= GROUP) {
    const count = Math.min(GROUP, K - start)
    for (let i = 0; i < count; i++) signs[start + i] = draw(group[i], start + i)
    for (let p = Math.floor(start / PANEL); p < panels.length; p++) {
      for (let i = count - 1; i >= 0; i--) reflect(panels[p], M, group[i])
    }
  }

  const weights = new Float32Array(inputs * outputs)
  const [stride, columnStride] = inputs >= outputs ? [outputs, 1] : [1, outputs]
  for (let k = 0; k < K; k++) {
    const panel = panels[Math.floor(k / PANEL)]
    const factor = gain * signs[k]
    for (let m = 0; m < M; m++) weights[m * stride + k * columnStride] = factor * panel[m * PANEL + (k % PANEL)]
  }
  return weights
}

/** Settings that weights follow from, with the index of their layer. */
interface Orthogonal {
  readonly seed: number
  readonly widths: readonly number[]
  readonly convolutions?: readonly Convolution[]
  readonly activation: Activation
  /** Gain; null: by the activation that follows the layer. */
  readonly initGain: number | null
}

/** The weights of a layer of a network, (inputs, outputs). */
export function initialOrthogonal(settings: Orthogonal, layer: number): Float32Array {
  const { seed, activation, initGain } = settings
  const dims = weightDims(settings)
  const isHidden = layer < dims.length - 1
  const gain = initGain ?? (isHidden && halvesMeanSquare(activation) ? Math.SQRT2 : 1)
  return orthogonalWeights(seed, layer, dims[layer].inputs, dims[layer].outputs, gain)
}

/** Columns of the identity (M, K), as (M, PANEL). */
function identityPanel(p: number, M: number, K: number): Float64Array {
  const panel = new Float64Array(M * PANEL)
  for (let c = 0; c < PANEL && p * PANEL + c < K; c++) panel[(p * PANEL + c) * PANEL + c] = 1
  return panel
}

/** Returns a function that overwrites a reflection with number i, and returns the sign of R's number on the diagonal. */
function reflectionsOf(seed: number, layer: number, M: number, K: number): (out: Reflection, i: number) => number {
  // Only directions matter: any variance would do.
  const drawRow = initialRows('lecun-normal', seed, layer, K, M)
  const row = new Float32Array(M)
  return (out, i) => {
    drawRow(row, i)
    let squares = 0
    for (let m = i; m < M; m++) squares += row[m] * row[m]
    const sign = row[i] < 0 ? -1 : 1
    const length = Math.sqrt(squares)
    out.v.set(row)
    out.v[i] += sign * length // away from cancellation
    out.first = i
    out.scale = 1 / (squares + length * Math.abs(row[i]))
    return -sign
  }
}

/** The columns of a panel (M, PANEL), in place. */
function reflect(panel: Float64Array, M: number, { v, first, scale }: Reflection): void {
  let [s0, s1, s2, s3] = [0, 0, 0, 0]
  for (let m = first, at = first * PANEL; m < M; m++, at += PANEL) {
    const x = v[m]
    s0 += x * panel[at]
    s1 += x * panel[at + 1]
    s2 += x * panel[at + 2]
    s3 += x * panel[at + 3]
  }
  s0 *= scale
  s1 *= scale
  s2 *= scale
  s3 *= scale
  for (let m = first, at = first * PANEL; m < M; m++, at += PANEL) {
    const x = v[m]
    panel[at] -= s0 * x
    panel[at + 1] -= s1 * x
    panel[at + 2] -= s2 * x
    panel[at + 3] -= s3 * x
  }
}
