/**
 * Shapes that the operands of a kernel must have, in whatever layout a backend stores them: checked when a kernel is bound, once for all
 * its calls. Throws ShapeError that names the operand, and TypeError for one that is missing or of another type. Runs in workers and in
 * the predictor.
 *
 * Letters: `B` rows of a mini-batch, `N` rows of the data, `F` features, `I` inputs and `O` outputs of a layer, `C` classes.
 */
import { ShapeError } from '../errors.js'
import { type FeatureShape, patchSize, positionsOf, unitsOf, type Window } from '../model/convolution.js'
import { bindShapes, type IntTensor, type Matrix, matrixShape, type Shaped } from '../tensor/tensor.js'
import type { ActivationSpec, Kernels, WeightTensors } from './backend.js'

type Sized = { readonly outputs: number }

const weightShape = ({ inputs, outputs }: Sized & { readonly inputs: number }): Shaped => ({ shape: [inputs, outputs] })
const vectorShape = ({ outputs }: Sized): Shaped => ({ shape: [outputs] })

/** Checks features: bytes without a scaling, bytes or float32 with one. */
export function checkGather(...[out, features, samples, scaling, embedded]: Parameters<Kernels['gather']>): void {
  bindShapes('gather', [
    ['features', features, ['N', 'F']],
    ['out', matrixShape(out), ['B', embedded ? 'I' : 'F']],
    ['samples', samples, ['B']],
    ...(scaling
      ? ([
          ['offset', scaling.offset, ['F']],
          ['factor', scaling.factor, ['F']],
        ] as const)
      : []),
  ])
  const { dtype } = features
  if (dtype === 'uint8' || (dtype === 'float32' && scaling)) return
  throw new TypeError(`gather: features are ${dtype}, expected uint8${scaling ? ' or float32' : ''}`)
}

export function checkLinear(...[out, x, w]: Parameters<Kernels['linear']>): void {
  bindShapes('linear', [
    ['x', matrixShape(x), ['B', 'I']],
    ['w', weightShape(w), ['I', 'O']],
    ['out', matrixShape(out), ['B', 'O']],
  ])
}

export function checkLinearBackward(...[dx, dz, w]: Parameters<Kernels['linearBackward']>): void {
  bindShapes('linearBackward', [
    ['dz', matrixShape(dz), ['B', 'O']],
    ['w', weightShape(w), ['I', 'O']],
    ['dx', matrixShape(dx), ['B', 'I']],
  ])
}

export function checkBiasActivate(
  ...[z, bias, { derivatives }, { rate, samples }]: Parameters<Kernels['biasActivate']>
): void {
  bindShapes('biasActivate', [
    ...(derivatives ? [['derivatives', matrixShape(derivatives), ['B', 'O']] as const] : []),
    ['z', matrixShape(z), ['B', 'O']],
    ['bias', vectorShape(bias), ['O']],
    // Rows of feature maps are positions of samples, and are not dropped here.
    ...(rate > 0 ? [['samples', samples, ['B']] as const] : []),
  ])
}

export function checkDropout(x: Matrix, { samples }: { readonly samples: IntTensor }): void {
  bindShapes('dropout', [
    ['x', matrixShape(x), ['B', 'F']],
    ['samples', samples, ['B']],
  ])
}

/** Matrix that decides which units pass a delta on: the activations of a relu, the derivatives of all others. */
export function derivativesOf(dx: Matrix, a: Matrix, { type, derivatives }: ActivationSpec): Matrix {
  const left = type === 'relu' ? a : derivatives
  if (!left) throw new TypeError(`activateBackward: derivatives of ${type} are null, expected a matrix`)
  bindShapes('activateBackward', [
    ['dx', matrixShape(dx), ['B', 'O']],
    ['a', matrixShape(a), ['B', 'O']],
    ['derivatives', matrixShape(left), ['B', 'O']],
  ])
  return left
}

export function checkSoftmaxLoss(args: Parameters<Kernels['softmaxLoss']>[0]): void {
  const { z, bias, labels, samples, losses, correct, weights, mixed } = args
  bindShapes('softmaxLoss', [
    ['z', matrixShape(z), ['B', 'C']],
    ['bias', vectorShape(bias), ['C']],
    ['labels', labels, ['N']],
    ['samples', samples, ['B']],
    ['losses', losses, ['B']],
    ['correct', correct, ['B']],
    ...(mixed ? ([['mixed', { shape: [mixed.shares.length] }, ['B']]] as const) : []),
    ...(weights ? ([['weights', weights, ['N']]] as const) : []),
  ])
}

/** Checks the arguments of `squaredLoss` and `sigmoidLoss`. */
export function checkTargetLoss(name: string, args: Parameters<Kernels['squaredLoss']>[0]): void {
  const { z, bias, targets, samples, losses, correct, weights } = args
  bindShapes(name, [
    ['z', matrixShape(z), ['B', 'C']],
    ['bias', vectorShape(bias), ['C']],
    ['targets', targets, ['N', 'C']],
    ['samples', samples, ['B']],
    ['losses', losses, ['B']],
    ['correct', correct, ['B']],
    ...(weights ? ([['weights', weights, ['N']]] as const) : []),
  ])
}

/** Checks that a matrix holds maps of this shape, or, if they may be, rows of features. Returns the number of samples. */
export function checkMaps(op: string, { rows, cols }: Matrix, shape: FeatureShape, mayBeFlat = false): number {
  if (mayBeFlat && cols === unitsOf(shape)) return rows
  if (cols === shape.channels && rows % positionsOf(shape) === 0) return rows / positionsOf(shape)
  throw new ShapeError(`${op}: maps are (${rows}, ${cols}), expected (B · ${positionsOf(shape)}, ${shape.channels})`)
}

export function checkDropoutOfMaps(x: Matrix, maps: FeatureShape, { samples }: { readonly samples: IntTensor }): void {
  const count = checkMaps('dropout', x, maps)
  if (samples.shape[0] !== count)
    throw new ShapeError(`dropout: samples are (${samples.shape[0]}), expected (${count})`)
}

function expectSamples(op: string, samples: number, others: number): void {
  if (samples !== others)
    throw new ShapeError(`${op}: outputs have ${samples} samples, inputs ${others}, expected as many`)
}

export function checkConvolution(op: string, out: Matrix, x: Matrix, w: WeightTensors, window: Window): void {
  expectSamples(op, checkMaps(op, out, window.output), checkMaps(op, x, window.input, true))
  if (w.inputs === patchSize(window) && w.outputs === window.output.channels) return
  throw new ShapeError(
    `${op}: w is (${w.inputs}, ${w.outputs}), expected (${patchSize(window)}, ${window.output.channels}); ` +
      'rows are the values under a window, columns filters',
  )
}

export function checkPool(op: string, out: Matrix, x: Matrix, window: Window): void {
  expectSamples(op, checkMaps(op, out, window.output), checkMaps(op, x, window.input))
}

/** Numbers of a channel's sums: whole vectors of four channels. */
export const mapNormWidth = (channels: number): number => Math.ceil(channels / 4) * 4

export function checkMapNorm(z: Matrix, normed: Matrix | null, dz: Matrix | null): void {
  bindShapes('batchNorm of maps', [
    ['z', matrixShape(z), ['B', 'C']],
    ...(normed ? ([['normed', matrixShape(normed), ['B', 'C']]] as const) : []),
    ...(dz ? ([['dz', matrixShape(dz), ['B', 'C']]] as const) : []),
  ])
}

export function checkFlatten(flat: Matrix, maps: Matrix): void {
  if (flat.rows * flat.cols === maps.rows * maps.cols && flat.cols % maps.cols === 0) return
  throw new ShapeError(
    `flatten: rows are (${flat.rows}, ${flat.cols}), maps (${maps.rows}, ${maps.cols}), expected as many values`,
  )
}

export function checkWeightUpdate(...[w, x, dz]: Parameters<Kernels['weightUpdate']>): void {
  bindShapes('weightUpdate', [
    ['w', weightShape(w), ['I', 'O']],
    ['x', matrixShape(x), ['B', 'I']],
    ['dz', matrixShape(dz), ['B', 'O']],
  ])
}

export function checkBiasUpdate(...[bias, dz]: Parameters<Kernels['biasUpdate']>): void {
  bindShapes('biasUpdate', [
    ['bias', vectorShape(bias), ['O']],
    ['dz', matrixShape(dz), ['B', 'O']],
  ])
}
