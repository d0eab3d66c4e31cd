/** Small trainings of which only the bits matter, for the tests of the bar "bits". */
import type { Test } from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { Session } from '../../src/coordinator/session.js'
import { TINY, writeTinyData } from '../helpers/tiny-data.js'

/** `t` is the file's own, whose folder holds the data until the end. */
export function bitsLab(t: Test, sizes = TINY) {
  const path = writeTinyData(t.testdir(), sizes)
  /** Dropout on, and a last mini-batch of 130 rows out of 200. */
  const base = {
    data: { dataset: 'idx', path },
    model: { hidden: [29, 13], dropout: 0.3 },
    train: { epochs: 2, batchSize: 200, l2: 0.05 },
  } satisfies ExperimentInput

  const digestOf = async (compute: ExperimentInput['compute'], more: Partial<ExperimentInput> = {}) =>
    (await train(resolveExperiment({ ...base, ...more, compute: { ...compute } }), { runDir: null })).weightsSha256

  /** Weights after some steps, in table order. */
  async function weightsAfter(
    compute: ExperimentInput['compute'],
    steps: number,
    model: ExperimentInput['model'] = base.model,
  ): Promise<Float32Array[]> {
    const { experiment, baseDir } = resolveExperiment({ ...base, compute, model })
    const session = await Session.start(
      await prepareSession(experiment, baseDir, { purpose: 'train', splits: ['train', 'test'] }),
      experiment,
    )
    try {
      await session.pool.all('initialise', worker => worker.initialise())
      await session.pool.all('run', worker => worker.run(0, steps))
      return session.parameters().map(({ data }) => data)
    } finally {
      await session.close()
    }
  }

  return { base, digestOf, weightsAfter }
}

/** The largest difference between two sets of weights. */
export function distance(one: readonly Float32Array[], other: readonly Float32Array[]): number {
  let worst = 0
  for (const [p, data] of one.entries()) {
    for (let i = 0; i < data.length; i++) worst = Math.max(worst, Math.abs(data[i] - other[p][i]))
  }
  return worst
}
