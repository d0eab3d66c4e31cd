/** A pass that several threads share, in one thread and in several: every task once, faults, errors, who comes late. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { createPassWords, endPass, faultOfPass, joinPass, openPass } from '../../src/inference/shared-pass.js'
import type { Stage } from '../../src/worker/program/stage.js'

const stageOf = (tasks: (rows: number) => number, run: Stage<number>['run']): Stage<number> => ({
  ...{ name: 'test', phase: 'compute', scheduling: 'dynamic' },
  ...{ tasks, run },
})

t.test('every task of every stage runs once, with the rows of the pass, again in the next pass', async t => {
  const words = createPassWords()
  const ran: string[] = []
  const stages = [3, 1, 5].map((tasks, stage) =>
    stageOf(
      rows => tasks + rows,
      (task, rows) => {
        ran.push(`${rows}: ${stage}.${task}`)
        return 0
      },
    ),
  )
  for (const rows of [2, 1]) {
    ran.length = 0
    openPass(words, rows)
    joinPass(words, stages)
    const want = [3, 1, 5].flatMap((tasks, s) => Array.from({ length: tasks + rows }, (_, i) => `${rows}: ${s}.${i}`))
    t.strictSame(ran, want)
    t.equal(faultOfPass(words), 0)
    joinPass(words, stages) // comes late: nothing is open
    t.equal(ran.length, want.length)
  }
})

t.test('a fault ends the pass after its stage, the smallest code of it; the next pass has none', async t => {
  const words = createPassWords()
  const late: number[] = []
  const stages = [
    stageOf(
      () => 3,
      task => [7, 4, 9][task],
    ),
    stageOf(
      () => 1,
      () => late.push(1),
    ),
  ]
  openPass(words, 1)
  joinPass(words, stages)
  t.equal(faultOfPass(words), 4)
  t.strictSame(late, [])
  openPass(words, 1)
  t.equal(faultOfPass(words), 0)
})

t.test('an error in a task is thrown on its thread and ends the pass for the others', async t => {
  const words = createPassWords()
  const fails = stageOf(
    () => 4,
    () => {
      throw new Error('broken')
    },
  )
  openPass(words, 1)
  t.throws(() => joinPass(words, [fails]), { message: 'broken' })
  joinPass(words, [fails])
  openPass(words, 1)
  endPass(words)
  joinPass(words, [fails])
  t.pass('who comes after the end leaves')
})

t.test('four threads: every task once, no stage before the last task of the one before', async t => {
  const [stages, tasks, passes] = [6, 9, 200]
  const words = createPassWords()
  const counts = new Int32Array(new SharedArrayBuffer(4 * (stages * tasks + 1)))
  const url = new URL('../../src/inference/shared-pass.js', import.meta.url).href
  const code = `
    const { workerData: { words, counts, url }, parentPort } = require('node:worker_threads')
    import(url).then(({ joinPass }) => {
      const stages = Array.from({ length: ${stages} }, (_, stage) => ({
        tasks: () => ${tasks},
        run(task, pass) {
          for (let i = 0; i < ${tasks} && stage > 0; i++) {
            if (Atomics.load(counts, (stage - 1) * ${tasks} + i) !== pass) Atomics.add(counts, ${stages * tasks}, 1)
          }
          Atomics.add(counts, stage * ${tasks} + task, 1)
          return 0
        },
      }))
      parentPort.on('message', () => { joinPass(words, stages); parentPort.postMessage('done') })
      parentPort.postMessage('ready')
    })`
  const threads = Array.from(
    { length: 4 },
    () => new Worker(code, { eval: true, execArgv: [], workerData: { words, counts, url } }),
  )
  t.teardown(() => Promise.all(threads.map(thread => thread.terminate())))
  await Promise.all(threads.map(thread => once(thread, 'message')))
  for (let pass = 1; pass <= passes; pass++) {
    openPass(words, pass)
    const done = threads.map(thread => once(thread, 'message'))
    for (const thread of threads) thread.postMessage('join')
    await Promise.all(done)
  }
  t.equal(counts[stages * tasks], 0, 'no task ran before its stage was open')
  t.ok(
    counts.subarray(0, stages * tasks).every(count => count === passes),
    'every task ran once in every pass',
  )
})
