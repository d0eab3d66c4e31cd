/**
 * A worker: opens a plan over the shared memory, then runs programs in step with the other workers. Runs in a thread of
 * the pool; called by the coordinator through comlink, blocks its thread while it runs.
 */
import { loadBackend } from '../../kernels/backends.js'
import type { openProducts } from '../../kernels/native/open-products.js'
import { parametersOf } from '../../model/parameters.js'
import { type StateTensor, stateTable } from '../../model/state.js'
import { viewSlot } from '../../tensor/arena.js'
import { bindNetwork } from '../network/bind.js'
import { startClock } from '../plan/clock.js'
import { type Layout, planLayout } from '../plan/layout.js'
import { PROTOCOL, type RunPlan } from '../plan/run-plan.js'
import { scoreProgram } from '../program/score.js'
import { beginMoments, gatherProgram, partsUnfit, shareProgram } from '../program/shared-state.js'
import type { ProgramParts, Stage } from '../program/stage.js'
import { deriveProgram, initialProgram, restoreProgram, snapshotProgram } from '../program/state.js'
import { trainProgram } from '../program/train.js'
import { ThreadTeam } from './barrier.js'
import type { TrainWorker } from './protocol.js'
import { meetingOf, rankTeam, stateTensors } from './rank-team.js'
import { guarded, runStages, takeTimes, timed } from './run-stages.js'
import { runSpan, type SpanParts } from './span.js'

/** Number of the first stage of a program that is run once, apart from those of a step, where ranks compare their places. */
const ONCE = 1000

interface Opened extends SpanParts {
  readonly parts: ProgramParts
  /** Rows of a piece of evaluation. */
  readonly pieceRows: number
  readonly state: readonly StateTensor[]
}

export function createWorker(): TrainWorker {
  let opened: Opened | undefined
  const kept = new Map<string, Opened>()
  const get = (): Opened => {
    if (!opened) throw new Error('worker: called before open()')
    return opened
  }
  /** Runs a program over the state once. `together`: with the ranks that share memory; else they are idle. */
  const runOnce = (programOf: (opened: Opened) => Stage<null>[], together = false): number => {
    const of = get()
    return guarded(of.team, () => {
      const run = () => runStages(programOf(of).map(timed), null, of.team)
      return together ? of.team.withOthers(run, ONCE) : run()
    })
  }

  return {
    async open(plan, memory, module, id, name) {
      if (plan.protocol !== PROTOCOL) {
        throw new Error(`worker: the plan has protocol ${plan.protocol}, expected ${PROTOCOL}`)
      }
      opened = await openPlan(plan, memory, module, id)
      if (name === undefined) kept.clear()
      else kept.set(name, opened)
      return { protocol: PROTOCOL }
    },
    use(name) {
      opened = kept.get(name)
    },
    initialise: () => void runOnce(({ parts }) => [...initialProgram(parts), ...beginMoments(parts)], true),
    gather: (what, into) => void runOnce(({ parts, state }) => gatherProgram(parts, what, snapshotOf(state, into))),
    share: from => void runOnce(({ parts, state }) => shareProgram(parts, snapshotOf(state, from))),
    derive: () => void runOnce(({ parts }) => deriveProgram(parts)),
    snapshot: to => runOnce(({ parts, state }) => snapshotProgram(parts, state, new Float32Array(to))),
    restore: from => void runOnce(({ parts, state }) => restoreProgram(parts, state, new Float32Array(from))),
    run(fromStep, toStep, options = {}) {
      const of = get()
      return guarded(of.team, () => of.team.withOthers(() => runSpan(of, fromStep, toStep, options)))
    },
    evaluate(split, outputs, range) {
      const { parts, team, pieceRows } = get()
      const stages = scoreProgram(parts, outputs ? new Float32Array(outputs) : null).map(timed)
      return guarded(team, () => {
        const { from, to: total } = range ?? { from: 0, to: parts.plan.rows[split] }
        let fault = 0
        for (let first = from; first < total && fault === 0; first += pieceRows) {
          fault = runStages(stages, { split, first, rows: Math.min(pieceRows, total - first) }, team)
        }
        return { step: 0, stages: stages.map(takeTimes), fault }
      })
    },
  }
}

const snapshotOf = (table: readonly StateTensor[], buffer: SharedArrayBuffer | null) =>
  buffer && { table, values: new Float32Array(buffer) }

/**
 * Binds kernels and builds programs: libraries are loaded and machine code is assembled here, before the worker reports
 * that it is open, so that no step does either.
 */
async function openPlan(
  plan: RunPlan,
  memory: WebAssembly.Memory,
  module: WebAssembly.Module | null,
  id: number,
): Promise<Opened> {
  const backend = await loadBackend(plan.backend, plan.precision)
  const layout = planLayout(plan, backend)
  const scratchByteOffset = layout.scratch[id].byteOffset
  const native = plan.library && (await openLibrary(plan.library, plan.precision, memory))
  const kernels = backend.instantiate({ memory, module, scratchByteOffset, native })
  const { train, validation, test } = layout.sampleIndices
  const meeting = meetingOf(plan, layout, memory)
  const parts: ProgramParts = {
    plan,
    backend,
    network: bindNetwork(plan, layout, memory, kernels),
    sampleIndices: {
      train: viewSlot(memory, train),
      validation: viewSlot(memory, validation),
      test: viewSlot(memory, test),
    },
    weights: layout.weights && viewSlot(memory, layout.weights),
    stats: viewSlot(memory, layout.stats),
    squares: viewSlot(memory, layout.squares),
    partialsAt: placesOf(layout),
    state: stateTensors(layout, memory),
    ranks: plan.ranks && layout.exchange && rankTeam(plan, layout, memory),
  }
  const unfit = parts.ranks ? partsUnfit(parts.network) : []
  if (unfit.length > 0) throw new Error(`${unfit[0]}: this kind of layer cannot be trained by several ranks yet`)
  return {
    parts,
    team: new ThreadTeam(
      ...([viewSlot(memory, layout.control), id, plan.workers, plan.spinTurns] as const),
      ...([parts.ranks !== null || meeting !== null, meeting] as const),
    ),
    pieceRows: layout.scoreRows,
    clock: startClock(plan),
    train: plan.purpose === 'train' ? trainProgram(parts).map(timed) : [],
    state: stateTable(parametersOf(plan), plan),
  }
}

const placesOf =
  ({ partials }: Layout): ProgramParts['partialsAt'] =>
  (worker, level) => {
    const { byteOffset, shape } = partials[worker]
    if (level >= shape[0]) throw new RangeError(`partial sums: place ${level}, expected less than ${shape[0]}`)
    return byteOffset + level * shape[1]
  }

/** Loaded where it is used: a worker should not carry the code of libraries that it does not call. */
const openLibrary: typeof openProducts = async (...of) =>
  (await import('../../kernels/native/open-products.js')).openProducts(...of)
