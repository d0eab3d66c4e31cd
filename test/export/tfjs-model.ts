/** Runs exported models in TensorFlow.js, as a page would: fetched from a server. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-cpu'
import { loadLayersModel } from '@tensorflow/tfjs-layers'

export interface TfjsAnswer {
  readonly outputs: Float32Array
  readonly shape: readonly number[]
  readonly metadata: object
}

/** The answer of `folder`/model.json to rows of features. */
export async function runTfjs(
  folder: string,
  features: Float32Array,
  rows: number,
  /** Last features that are inputs of their own. */
  embedded = 0,
): Promise<TfjsAnswer> {
  await tf.setBackend('cpu')
  const server = createServer((request, response) => {
    readFile(join(folder, basename(request.url ?? ''))).then(
      bytes => response.end(bytes),
      () => response.writeHead(404).end(),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const model = await loadLayersModel(`http://127.0.0.1:${(server.address() as AddressInfo).port}/model.json`)
    const width = features.length / rows
    const all = tf.tensor2d(features, [rows, width])
    const indices = Array.from({ length: embedded }, (_, i) => tf.slice(all, [0, width - embedded + i], [rows, 1]))
    const others = width > embedded ? [tf.slice(all, [0, 0], [rows, width - embedded])] : []
    const inputs = [...others, ...indices]
    const answer = model.predict(inputs.length === 1 ? inputs[0] : inputs) as tf.Tensor
    const outputs = (await answer.data()) as Float32Array
    return { outputs, shape: answer.shape, metadata: model.getUserDefinedMetadata() }
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

export const worstDifference = (got: ArrayLike<number>, want: ArrayLike<number>): number =>
  Array.from(want).reduce((most, value, i) => Math.max(most, Math.abs(value - got[i])), 0)
