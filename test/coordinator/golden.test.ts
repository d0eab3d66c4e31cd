/**
 * Weights that a shipped experiment ends with, as a digest that has not changed since it was first recorded here.
 *
 * `wasm` computes the same bits on every CPU and operating system, so one digest is for all of them. scripts/digests.mjs does the same
 * for the first epochs of every shipped experiment.
 */
import t from 'tap'
import { train } from '../../src/coordinator/new-run.js'
import { loadExperiment } from '../../src/index.js'

for (const [name, digest] of [
  ['smoke', '0579ab28d430a7d7f6cefe5f3f6947dd855c264ce961cbfb0480c8b7227cc56a'],
  ['smoke-conv', '12b68fd20b1dc3e4e4278ac40295b9b33183ced5547003aacd4c5b5efccc60ca'],
] as const) {
  t.test(`configs/${name}.json ends with its golden digest on every CPU`, async t => {
    const experiment = await loadExperiment(`configs/${name}.json`, ['compute.backend=wasm'])
    const { weightsSha256, steps } = await train(experiment, { runDir: null })
    t.equal(steps, 81)
    t.equal(weightsSha256, digest)
  })
}
