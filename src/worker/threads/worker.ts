/**
 * A worker: opens a plan over the shared memory, then runs programs in step with the other workers. Runs in a thread of
 * the pool; called by the coordinator through comlink, blocks its thread while it runs.
 */
import { performance } from 'node:perf_hooks'
import { loadBackend } from '../../kernels/backends.js'
import type { openProducts } from '../../kernels/native/open-products.js'
import { parameterTable } from '../../model/parameters.js'
import { type StateTensor, stateTable } from '../../model/state.js'
import { viewSlot } from '../../tensor/arena.js'
import { bindNetwork } from '../network/bind.js'
import { type StepContext, startClock } from '../plan/clock.js'
import { planLayout } from '../plan/layout.js'
import { PROTOCOL, type RunPlan, type Split } from '../plan/run-plan.js'
import { scoreProgram } from '../program/score.js'
import type { ProgramParts, Stage } from '../program/stage.js'
import { deriveProgram, initialProgram, restoreProgram, snapshotProgram } from '../program/state.js'
import { trainProgram } from '../program/train.js'
import { AbortedError, Crew } from './barrier.js'
import type { SpanReport, StageTime, TrainWorker } from './protocol.js'

interface Opened {
  readonly plan: RunPlan
  readonly crew: Crew
  readonly parts: ProgramParts
  readonly pieceRows: number
  readonly clock: ReturnType<typeof startClock>
  readonly train: readonly Timed<StepContext>[]
  readonly state: readonly StateTensor[]
}

export function createWorker(): TrainWorker {
  let opened: Opened | undefined
  const get = (): Opened => {
    if (!opened) throw new Error('worker: called before open()')
    return opened
  }

  return {
    async open(plan, memory, module, id) {
      if (plan.protocol !== PROTOCOL) {
        throw new Error(`worker: the plan has protocol ${plan.protocol}, expected ${PROTOCOL}`)
      }
      const backend = await loadBackend(plan.backend, plan.precision)
      const layout = planLayout(plan, backend)
      const scratchByteOffset = layout.scratch[id].byteOffset
      const native = plan.library && (await openLibrary(plan.library, plan.precision, memory))
      const kernels = backend.instantiate({ memory, module, scratchByteOffset, native })
      const parts: ProgramParts = {
        plan,
        backend,
        network: bindNetwork(plan, layout, memory, kernels),
        order: {
          train: viewSlot(memory, layout.order.train),
          validation: viewSlot(memory, layout.order.validation),
          test: viewSlot(memory, layout.order.test),
        },
        stats: viewSlot(memory, layout.stats),
        squares: viewSlot(memory, layout.squares),
      }
      opened = {
        plan,
        crew: new Crew(viewSlot(memory, layout.control), id, plan.workers, plan.spinTurns),
        parts,
        pieceRows: layout.bufferRows,
        clock: startClock(plan),
        train: plan.purpose === 'train' ? trainProgram(parts).map(timed) : [],
        state: stateTable(parameterTable(plan.widths, plan.norm.type), plan),
      }
      return { protocol: PROTOCOL }
    },

    initialise() {
      const { crew, parts } = get()
      guard(crew, () => runStages(initialProgram(parts).map(timed), null, crew))
    },

    derive() {
      const { crew, parts } = get()
      guard(crew, () => runStages(deriveProgram(parts).map(timed), null, crew))
    },

    snapshot(to) {
      const { crew, parts, state } = get()
      return guard(crew, () => runStages(snapshotProgram(parts, state, new Float32Array(to)).map(timed), null, crew))
    },

    restore(from) {
      const { crew, parts, state } = get()
      guard(crew, () => runStages(restoreProgram(parts, state, new Float32Array(from)).map(timed), null, crew))
    },

    run(fromStep, toStep, { rateFactor = 1, trace = false } = {}) {
      const { crew, clock, train } = get()
      const traced = trace ? toStep - fromStep : 0
      const steps = { totalMs: new Float64Array(traced), workMs: new Float64Array(traced) }
      const report = (step: number, fault = 0): SpanReport => ({
        step,
        stages: train.map(takeTimes),
        fault,
        ...(trace ? { steps } : {}),
      })
      const worked = () => train.reduce((total, { workMs }) => total + workMs, 0)
      // Only the last stages change the state, and the sums with it.
      const unchanging = train.filter(({ stage }) => !stage.changesState)
      const atBarrier = (stage: number) => {
        crew.markUpdating(train[stage + 1]?.stage.changesState ?? false)
        if (stage === train.length - 1) crew.latchStop()
      }
      /** All mini-batches of a step; only with the last of them does it change anything. */
      const runStep = (step: number): number => {
        for (let miniBatch = 0; ; miniBatch++) {
          const context = clock(step, rateFactor, miniBatch)
          if (context.isLast) return runStages(train, context, crew, atBarrier)
          const fault = runStages(unchanging, context, crew)
          if (fault !== 0) return fault
        }
      }
      return guard(crew, () => {
        for (let step = fromStep; step < toStep; step++) {
          const before = trace ? { at: performance.now(), workMs: worked() } : null
          crew.enterStep(step)
          const fault = runStep(step)
          if (before) {
            steps.totalMs[step - fromStep] = performance.now() - before.at
            steps.workMs[step - fromStep] = worked() - before.workMs
          }
          if (fault !== 0) return report(step, fault)
          if (crew.stopped) return report(step + 1)
        }
        return report(toStep)
      })
    },

    evaluate(split: Split) {
      const { plan, crew, parts, pieceRows } = get()
      const stages = scoreProgram(parts).map(timed)
      return guard(crew, () => {
        const total = plan.rows[split]
        let fault = 0
        for (let first = 0; first < total && fault === 0; first += pieceRows) {
          fault = runStages(stages, { split, first, rows: Math.min(pieceRows, total - first) }, crew)
        }
        return { step: 0, stages: stages.map(takeTimes), fault }
      })
    },
  }
}

/** Loaded where it is used: a worker should not carry the code of libraries that it does not call. */
const openLibrary: typeof openProducts = async (...of) =>
  (await import('../../kernels/native/open-products.js')).openProducts(...of)

/** A stage with what this worker spent in it since the last report, in milliseconds and tasks. */
interface Timed<C> {
  readonly stage: Stage<C>
  workMs: number
  waitMs: number
  tasks: number
}

const timed = <C>(stage: Stage<C>): Timed<C> => ({ stage, workMs: 0, waitMs: 0, tasks: 0 })

function takeTimes<C>(from: Timed<C>): StageTime {
  const { workMs, waitMs, tasks } = from
  Object.assign(from, { workMs: 0, waitMs: 0, tasks: 0 })
  return { name: from.stage.name, phase: from.stage.phase, workMs, waitMs, tasks }
}

/**
 * The inner loop. `atBarrier` runs in each stage's barrier, in one worker, while the others wait. A fault ends the program at the barrier
 * of its stage, before anything that follows is changed; all workers then return the same code.
 */
function runStages<C>(
  stages: readonly Timed<C>[],
  context: C,
  crew: Crew,
  atBarrier?: (stage: number) => void,
): number {
  for (let s = 0; s < stages.length; s++) {
    const of = stages[s]
    const { stage } = of
    const started = performance.now()
    const tasks = stage.tasks(context)
    const isStatic = stage.scheduling === 'static'
    let done = 0
    for (
      let task = isStatic ? crew.id : crew.claim();
      task < tasks;
      task = isStatic ? task + crew.size : crew.claim()
    ) {
      const fault = stage.run(task, context, crew.id)
      if (fault !== 0) crew.reportFault(fault)
      done++
    }
    const arrived = performance.now()
    crew.barrier(atBarrier && (() => atBarrier(s)))
    of.workMs += arrived - started
    of.waitMs += performance.now() - arrived
    of.tasks += done
    if (crew.fault !== 0) return crew.fault
  }
  return 0
}

/** Whatever goes wrong here must free the others from their barrier. */
function guard<T>(crew: Crew, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof AbortedError)) crew.abort()
    throw error
  }
}
