/**
 * Kernels of convolutions in models, as PyTorch and ONNX have them: (filters, channels, height, width). Checkpoints have them as the memory
 * does, (height · width · channels, filters). Digests are those of the latter. Pure; any thread.
 */
import { turnKernel } from '../model/channels-first.js'

/** True if a stored shape is that of a kernel with the given logical shape. */
export function isKernelOf([filters, channels, height, width]: readonly number[], shape: readonly number[]): boolean {
  return height === width && filters === shape[1] && height * width * channels === shape[0]
}

export const isStoredKernel = (shape: readonly number[]): boolean => shape.length === 4

/** Logical shape of a stored tensor. */
export const logicalShape = (shape: readonly number[]): readonly number[] =>
  isStoredKernel(shape) ? [shape[1] * shape[2] * shape[3], shape[0]] : shape

/** Logical values of a stored kernel. */
export const logicalKernel = (values: Float32Array, [filters, channels, size]: readonly number[]): Float32Array =>
  turnKernel(values, { size, channels }, filters, 'first')
