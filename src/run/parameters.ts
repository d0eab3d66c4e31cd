/** The weights of a saved run as ndarrays, for library users. Main thread; reads, never writes. */
import type { NdArray } from 'ndarray'
import ndarray from 'ndarray'
import { TensorFile } from '../formats/tensor-file.js'
import { sizeOf } from '../tensor/tensor.js'
import { isMoment, loadWeights, type NamedWeights } from './checkpoint-file.js'
import { logicalShape } from './kernel-form.js'
import { againIfPruned, openRun } from './open.js'

/** Parameters by name, in the order of the file: `layers.<i>.weight` (in, out), `layers.<i>.bias` (out). */
export type Parameters = ReadonlyMap<string, NdArray<Float32Array>>

/** Reads all parameters of a run directory or a checkpoint file. Rejects with a GradloomError. */
export async function readParameters(target: string): Promise<Parameters> {
  const weights = await againIfPruned(async () => {
    const { checkpoint } = await openRun(target)
    const weights = await namedWeights(checkpoint)
    await loadWeights(checkpoint, weights)
    return weights
  })
  return new Map(weights.map(({ name, shape, data }) => [name, ndarray(data, [...shape])]))
}

async function namedWeights(checkpoint: string): Promise<NamedWeights[]> {
  const file = await TensorFile.open(checkpoint)
  const { tensors } = file.header
  await file.close()
  const parameters = [...tensors.values()].filter(({ name }) => !isMoment(name))
  return parameters.map(({ name, shape }) => {
    return { name, shape: logicalShape(shape), data: new Float32Array(sizeOf(shape)) }
  })
}
