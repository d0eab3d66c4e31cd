/** One short training on the embedded digits, for the tests of a file that need a network that has learned something. */
import { resolveExperiment, train } from '../../src/index.js'

/** Trains to about 94 % of the test digits in a second or two, into `runDir`. */
export async function trainDigits(runDir: string): Promise<string> {
  const experiment = resolveExperiment({
    name: 'seen',
    data: { dataset: 'digits' },
    model: { hidden: [64, 30], dropout: 0 },
    train: { epochs: 3, batchSize: 64, l2: 0 },
    optimizer: { learningRate: 0.002 },
    compute: { workers: 1, backend: 'wasm' },
  })
  await train(experiment, { runDir })
  return runDir
}
