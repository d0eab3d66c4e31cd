/**
 * A pass that several threads run together: each takes the next task of a stage, and whoever ends the last one opens the next stage. No
 * thread waits for another to come: those that are there do the work. Runs in threads that predict; Atomics only, on the words of
 * the pass.
 *
 * A claimed task keeps its stage open, so that what is read after a claim is of the same stage.
 */
import type { Stage } from '../worker/program/stage.js'

/** Int32, each on a cache line of its own. */
const Word = {
  /** Counts stages that were opened, and ends; waiting threads sleep on it. */
  generation: 0,
  /** Tasks of the stage that nobody has claimed; below 1: none. */
  left: 16,
  ended: 32,
  stage: 48,
  /** Tasks of the stage. */
  tasks: 64,
  rows: 80,
  /** The smallest code of a fault; 0: none. */
  fault: 96,
  /** Not 0: nothing more is done. */
  over: 112,
} as const
const WORDS = 128

export const createPassWords = (): Int32Array =>
  new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT))

/** Longest sleep between two looks. */
const SLEEP_MS = 100

/** Opens a pass over `rows` rows, before any thread is sent to it. Nobody may be in the one before. */
export function openPass(words: Int32Array, rows: number): void {
  Atomics.store(words, Word.left, 0)
  Atomics.store(words, Word.fault, 0)
  Atomics.store(words, Word.rows, rows)
  Atomics.store(words, Word.ended, 0)
  Atomics.store(words, Word.stage, -1)
  Atomics.store(words, Word.over, 0)
  // The first thread that comes opens the first stage, by this task.
  Atomics.store(words, Word.tasks, 1)
  Atomics.store(words, Word.left, 1)
}

/** Ends a pass for all of its threads, also one that cannot go on. */
export function endPass(words: Int32Array): void {
  Atomics.store(words, Word.over, 1)
  Atomics.add(words, Word.generation, 1)
  Atomics.notify(words, Word.generation)
}

/** The code of a fault of the pass that has ended; 0: none. */
export const faultOfPass = (words: Int32Array): number => Atomics.load(words, Word.fault)

/**
 * Works on the pass that is open until it has ended; returns at once where none is. `spinTurns`: looks for the next stage before the
 * thread sleeps.
 */
export function joinPass(words: Int32Array, stages: readonly Stage<number>[], spinTurns = 0): void {
  for (;;) {
    const generation = Atomics.load(words, Word.generation)
    if (Atomics.load(words, Word.over) !== 0) return
    const left = Atomics.sub(words, Word.left, 1)
    if (left <= 0) wait(words, generation, spinTurns)
    else runTask(words, stages, left)
  }
}

/** Runs one claimed task; an error in it ends the pass for all. */
function runTask(words: Int32Array, stages: readonly Stage<number>[], left: number): void {
  const [stage, tasks, rows] = [Word.stage, Word.tasks, Word.rows].map(word => Atomics.load(words, word))
  try {
    if (stage >= 0) reportFault(words, stages[stage].run(tasks - left, rows, 0))
  } catch (error) {
    endPass(words)
    throw error
  }
  if (Atomics.add(words, Word.ended, 1) + 1 === tasks) openStage(words, stages, stage + 1, rows)
}

/** Opens a stage, or ends the pass after the last one or a fault. Only the thread that ended the stage before comes here. */
function openStage(words: Int32Array, stages: readonly Stage<number>[], stage: number, rows: number): void {
  if (stage === stages.length || faultOfPass(words) !== 0) {
    endPass(words)
    return
  }
  const tasks = stages[stage].tasks(rows)
  Atomics.store(words, Word.ended, 0)
  Atomics.store(words, Word.stage, stage)
  Atomics.store(words, Word.tasks, tasks)
  Atomics.store(words, Word.left, tasks)
  Atomics.add(words, Word.generation, 1)
  Atomics.notify(words, Word.generation)
}

function reportFault(words: Int32Array, code: number): void {
  for (;;) {
    const known = Atomics.load(words, Word.fault)
    if (code === 0 || (known !== 0 && known <= code)) return
    if (Atomics.compareExchange(words, Word.fault, known, code) === known) return
  }
}

function wait(words: Int32Array, generation: number, spinTurns: number): void {
  for (let turn = 0; turn < spinTurns; turn++) {
    if (Atomics.load(words, Word.generation) !== generation) return
  }
  Atomics.wait(words, Word.generation, generation, SLEEP_MS)
}
