/** Time of workers by phase, in metrics.jsonl, for every form of a step. */
import t from 'tap'
import type { ExperimentInput } from '../../src/config/schema.js'
import { workerTimes } from '../../src/coordinator/phases.js'
import { resolveExperiment, train } from '../../src/index.js'
import type { StepsEvent } from '../../src/run/events.js'

t.test('stages are summed by phase, waiting apart', async t => {
  // Display names decide nothing: a pass may be called 'update'.
  const stage = (name: string, phase: 'compute' | 'update', workMs: number) => ({
    ...{ name, phase, workMs },
    ...{ waitMs: 1, tasks: 1 },
  })
  const stages = [stage('forward 0', 'compute', 2), stage('update', 'compute', 3), stage('any', 'update', 4.00004)]
  t.strictSame(workerTimes([{ stages }]), [{ computeMs: 5, updateMs: 4, waitMs: 3, tasks: 1 }])
})

const forms: Record<string, Partial<ExperimentInput>> = {
  fused: {},
  buffers: { compute: { allReduce: 'buffers', backend: 'wasm', workers: 2 } },
  clipped: { train: { clipNorm: 1, maxNorm: 2, epochs: 1, batchSize: 128 } },
  normalised: { model: { hidden: [16, 8], norm: 'batch', dropout: 0 } },
}
for (const [name, form] of Object.entries(forms)) {
  t.test(`${name}: each worker has time in both phases, together no more than there was`, async t => {
    const spans: StepsEvent[] = []
    const experiment = resolveExperiment({
      data: { dataset: 'digits' },
      model: { hidden: [16], dropout: 0 },
      train: { epochs: 1, batchSize: 128 },
      compute: { backend: 'wasm', workers: 2 },
      ...form,
    })
    await train(experiment, { runDir: null, onEvent: event => event.type === 'steps' && spans.push(event) })
    t.ok(spans.length > 0)
    for (const { workers = [], from, step, samplesPerSecond } of spans) {
      t.equal(workers.length, 2)
      const wallMs = (1000 * (step - from) * 128) / samplesPerSecond
      // A worker may sleep through a whole span while the other does everything: on a busy machine, that is so.
      t.ok(workers.some(({ computeMs }) => computeMs > 0) && workers.some(({ updateMs }) => updateMs > 0))
      t.ok(workers.every(({ computeMs, updateMs, waitMs }) => computeMs + updateMs + waitMs <= wallMs + 1))
    }
  })
}
