/**
 * Scores of a saved model are those at the end of its training: neither groups of gradients, which concern training alone, nor the rows of
 * a mini-batch change them.
 */
import { join } from 'node:path'
import t from 'tap'
import { evaluate, loadTestSamples, Predictor, resolveExperiment, train } from '../../src/index.js'
import { listBackends } from '../../src/kernels/backends.js'

const NETWORKS = {
  dense: { hidden: [40, 30] },
  convolution: { convolutions: [{ filters: 4, stride: 3, pool: { size: 2 } }], hidden: [16] },
  'convolution alone': { convolutions: [{ filters: 3, size: 5, stride: 4 }], hidden: [] },
}

t.test(
  'gradientGroups, every backend: evaluate and Predictor agree with the scores at the end of the training',
  async t => {
    let cases = 0
    for (const { name, available } of await listBackends()) {
      if (!available || name === 'reference') continue
      for (const [kind, model] of Object.entries(NETWORKS)) {
        const run = join(t.testdir(), 'run')
        const experiment = resolveExperiment({
          data: { dataset: 'digits' },
          model,
          train: { epochs: 1, batchSize: 256 },
          compute: { workers: 1, backend: name, gradientGroups: 4 },
        })
        const trained = await train(experiment, { runDir: run })
        const { loss, accuracy } = await evaluate(run)
        t.equal(loss, trained.test!.loss, `${name}, ${kind}: loss`)
        t.equal(accuracy, trained.test!.accuracy, `${name}, ${kind}: accuracy`)
        const predictor = await Predictor.open(run, { backend: name })
        const { features, labels, rows } = await loadTestSamples(predictor)
        const { data } = predictor.predict(features)
        let sum = 0
        for (let row = 0; row < rows; row++) sum -= Math.log(data[row * 10 + labels[row]])
        t.ok(Math.abs(sum / rows - loss) < 1e-5 * loss, `${name}, ${kind}: loss of predictions ${sum / rows}, ${loss}`)
        // One image: fewer rows than a group has.
        const one = predictor.predict(features.subarray(0, features.length / rows)).data
        t.same(one, data.slice(0, 10), `${name}, ${kind}: one image`)
        cases++
      }
    }
    t.ok(cases >= 3, `${cases} models`)
  },
)

t.test('convolutions, every backend: evaluate has the digits of the summary, whatever the mini-batch', async t => {
  let cases = 0
  for (const { name, available } of await listBackends()) {
    if (!available || name === 'reference') continue
    for (const batchSize of [32, 100, 300]) {
      const run = join(t.testdir(), 'run')
      const experiment = resolveExperiment({
        data: { dataset: 'digits', validation: 0.97 },
        model: { convolutions: [{ filters: 2, pool: { size: 2 } }], hidden: [33], activation: 'elu', dropout: 0 },
        train: { epochs: 1, batchSize },
        compute: { workers: 1, backend: name },
      })
      const trained = await train(experiment, { runDir: run })
      t.equal((await evaluate(run)).loss, trained.test!.loss, `${name}, mini-batches of ${batchSize}`)
      cases++
    }
  }
  t.ok(cases >= 3, `${cases} models`)
})

t.test(
  'a run that ends without saving its last weights: evaluate and Predictor say whose weights they use',
  async t => {
    const run = join(t.testdir(), 'run')
    const experiment = resolveExperiment({
      data: { dataset: 'digits', validation: 0.9 },
      model: { hidden: [8] },
      train: { epochs: 1 },
      compute: { workers: 1, backend: 'wasm' },
      checkpoint: { atEnd: false, keepBest: false, everySteps: 10 },
    })
    const { steps } = await train(experiment, { runDir: run })
    const said = new RegExp(
      `weights are those of step (10|20), the last that were saved; the scores of the run are those of step ${steps}`,
    )
    t.match((await evaluate(run)).note, said)
    t.match((await Predictor.open(run)).source.note, said)
  },
)
