/** The team of threads: claims, barrier, and the way out of both. */
import ndarray from 'ndarray'
import t from 'tap'
import { controlWords } from '../../../src/worker/plan/words.js'
import type { Stage } from '../../../src/worker/program/stage.js'
import { AbortedError, raiseAbort, ThreadTeam } from '../../../src/worker/threads/barrier.js'
import { runStages, timed } from '../../../src/worker/threads/run-stages.js'

const stageOf = (tasks: number, run: (task: number) => number): Stage<null> => ({
  name: 'any',
  phase: 'compute',
  scheduling: 'dynamic',
  tasks: () => tasks,
  run,
})

t.test('a worker stops after the task during which the run is aborted', async t => {
  const words = new Int32Array(new SharedArrayBuffer(4 * controlWords(2)))
  const team = new ThreadTeam(ndarray(words, [words.length]), 0, 2, 0) // the other one never arrives
  const done: number[] = []
  const stage = stageOf(1000, task => {
    done.push(task)
    if (task === 3) raiseAbort(words)
    return 0
  })
  t.throws(() => runStages([timed(stage)], null, team), AbortedError)
  t.strictSame(done, [0, 1, 2, 3])
})

t.test('a fault ends the program at the barrier of its stage, with the smallest code', async t => {
  const words = new Int32Array(new SharedArrayBuffer(4 * controlWords(1)))
  const team = new ThreadTeam(ndarray(words, [words.length]), 0, 1, 0)
  let later = 0
  const stages = [stageOf(3, task => [0, 9, 7][task]), stageOf(1, () => ++later)].map(timed)
  t.equal(runStages(stages, null, team), 7)
  t.equal(later, 0)
  t.equal(stages[0].tasks, 3)
})
