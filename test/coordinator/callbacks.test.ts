/** Callbacks that fail end the run with an error that names them; weights are saved, and the process lives. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resume } from '../../src/coordinator/resume.js'
import { train } from '../../src/coordinator/run-handle.js'
import { RunError, type TrainEvent } from '../../src/index.js'

const dir = t.testdir()
const features = Array.from({ length: 80 }, (_, i) => [i % 2, i / 80])
const data = { features, labels: features.map(([x]) => (x > 0 ? 'right' : 'left')) }
const experiment = {
  data: { dataset: 'memory' as const },
  model: { hidden: [4] },
  train: { epochs: 4, batchSize: 16 },
  compute: { backend: 'wasm' as const, workers: 1 },
}

t.test('a callback that throws, or whose promise is rejected: the run fails, is saved and can be resumed', async t => {
  const whole = await train(experiment, { runDir: null, data })
  const fail = (event: TrainEvent) => {
    if (event.type === 'epoch' && event.epoch === 2) throw new TypeError('the chart is gone')
  }
  for (const [name, onEvent] of [
    ['throws', fail],
    ['rejects', async (event: TrainEvent) => fail(event)],
  ] as const) {
    const runDir = join(dir, name)
    const error = await train(experiment, { runDir, data, onEvent }).then(
      () => t.fail('the run ended as if nothing had happened'),
      error => error,
    )
    t.ok(error instanceof RunError, name)
    t.equal(error.message, 'onEvent: the callback failed at event "epoch": TypeError: the chart is gone')
    t.match(error.hint, /the weights of step \d+ are saved; npx gradloom resume .* continues the run/)
    t.ok(error.cause instanceof TypeError)
    const summary = JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8'))
    t.match(summary, { status: 'failed', error: error.message, checkpoint: /step-\d+/ })
    t.equal((await resume(runDir, { data })).summary.weightsSha256, whole.weightsSha256, 'what resume gives')
  }
})

t.test('at progress, at the start, and at the end, when the run is complete', async t => {
  for (const type of ['progress', 'start', 'end'] as const) {
    const runDir = join(dir, type)
    let calls = 0
    const onEvent = (event: TrainEvent) => {
      if (event.type !== type) return
      calls++
      throw new Error('no')
    }
    // Progress is told every 100 ms: a run that would take hours ends with it.
    const epochs = type === 'progress' ? 1e6 : 2
    const options = { runDir, data, onEvent }
    await t.rejects(train({ ...experiment, train: { epochs, batchSize: 16 } }, options), {
      name: 'RunError',
      message: `onEvent: the callback failed at event "${type}": Error: no`,
      ...(type === 'end' && { hint: 'the run itself is complete' }),
    })
    t.ok(calls >= 1)
    const { status } = JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8'))
    t.equal(status, type === 'end' ? 'completed' : 'failed')
  }
})
