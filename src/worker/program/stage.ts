/** Stages and tasks, which programs are made of. Types and small helpers; runs in workers. */
import type { Backend, BiasTensors, WeightTensors } from '../../kernels/backend.js'
import type { FloatTensor, IntTensor } from '../../tensor/tensor.js'
import type { Network } from '../network/network.js'
import type { StepContext } from '../plan/clock.js'
import type { RunPlan } from '../plan/run-plan.js'
import type { Deal } from '../plan/sharing.js'

/** `compute`: passes over the batch; `update`: gradients of parameters, and their updates. */
export type Phase = 'compute' | 'update'

export interface Stage<C> {
  /** Name for people: nothing depends on it. */
  readonly name: string
  readonly phase: Phase
  /** `dynamic`: a free worker claims the next task; `static`: task t goes to worker t mod W, where bits depend on who does it. */
  readonly scheduling: 'dynamic' | 'static'
  /** True if the stage changes what a snapshot holds: nothing before it does, and no fault comes from it. */
  readonly changesState?: true
  /** Number of tasks. */
  tasks(context: C): number
  /** Returns 0, or the code of a fault (see plan/faults.ts). */
  run(task: number, context: C, worker: number): number
  /** How the tasks are shared by the ranks of a run over several (ranks.ts); absent: every rank runs all of them. */
  readonly shared?: Shared<C>
  /** Bytes that this rank gets from others; absent: none. */
  bytes?(context: C): number
  /** Multiplications and additions of a task's matrix products, counted by bench/balance.ts; absent: next to none. */
  flops?(task: number, context: C): number
}

/** A block of a tensor: rows of a matrix or of weights, and columns; of a vector, elements as columns. */
export interface Region {
  readonly tensor: FloatTensor | IntTensor
  /** [row, row + rows), and [start, end). */
  readonly row: number
  readonly rows: number
  readonly start: number
  readonly end: number
}

/** The tasks of a stage in a run over ranks: each is run by one rank, and what it writes goes to all others. */
export interface Shared<C> {
  /**
   * How tasks are dealt. `neighbours`: in their order, each rank as much work; `largest`: the largest first, each to the rank
   * that has least; `root`: all to rank 0.
   */
  readonly deal: Deal
  /** The rank that a task belongs to, whatever the work; absent: as it is dealt. */
  readonly owner?: (task: number, context: C, size: number) => number
  /** Work of a task, in any unit; 0: every rank runs it. The same at every step where a rank keeps what it computed. */
  work(task: number, context: C): number
  /** Regions that a task writes and others need; absent: nothing. A fault then counts at the next exchange. */
  readonly writes?: ((task: number, context: C) => readonly Region[]) | undefined
  /** Regions of as many words in its owner's memory, where others get them elsewhere, and so does the owner itself; absent: `writes`. */
  readonly reads?: (task: number, context: C) => readonly Region[]
  /**
   * Name of a chain of stages, which follow each other: none of them reads what other ranks write in the chain, so that it may travel while the
   * next ones compute. Their own tasks are as before; absent: all wait for it.
   */
  readonly chain?: string
  /** First word in the buffer of exchanges; default: 0. In a chain, that of its first stage. */
  readonly from?: number
  /** Who gets it; default: all. */
  readonly to?: 'all' | 'root'
  /** Regions of what a task writes that a rank gets; absent: all. */
  readonly needs?: ((task: number, rank: number) => readonly Region[]) | undefined
  /** Work of a rank in place of a task of another. */
  readonly others?: (task: number, context: C) => void
  /** Whether this rank takes what another has written; default: yes. */
  readonly takes?: (task: number) => boolean
  /** Called when the regions of a task of another rank have arrived. */
  readonly arrived?: ((task: number) => void) | undefined
}

/** A task that has nothing to report. */
export type PlainTask = (context: StepContext, worker: number) => void

export const runPlain = (tasks: readonly PlainTask[]) => (task: number, context: StepContext, worker: number) => {
  tasks[task](context, worker)
  return 0
}

/** The tensors of a network, as its layout has them. */
export interface StateTensors {
  /** By block. */
  readonly weights: readonly WeightTensors[]
  readonly vectors: readonly BiasTensors[]
}

/** This process among the ranks of a run; see ranks.ts. */
export interface RankTeam {
  readonly rank: number
  readonly size: number
  /** Control words of this rank's workers, and words of the exchange. */
  readonly control: Int32Array
  readonly words: Int32Array
  /** The whole memory in words, and where in it the buffer of the exchange lies. */
  readonly arena: Int32Array
  readonly buffer: {
    readonly at: number
    readonly words: number /** Where slices.ts begins. */
    readonly slicesAt: number
    /** First word of the tiles of moments that come from other ranks, counted from the first of the buffer. */
    readonly tiles: number
  }
  readonly spinTurns: number
}

export interface ProgramParts {
  readonly plan: RunPlan
  readonly backend: Backend
  readonly network: Network
  /** Sample index of each row of a split. */
  readonly sampleIndices: Readonly<Record<'train' | 'validation' | 'test', IntTensor>>
  /** Weights of the training samples; null: all count the same. */
  readonly weights: FloatTensor | null // (N)
  readonly stats: FloatTensor
  /** Sums of squares of the gradient's parts; see whole-gradient.ts. */
  readonly squares: FloatTensor
  /** Byte offset of a place for the gradient of a tile, of a worker: see layout.partials. */
  partialsAt(worker: number, level: number): number
  /** Parameters and their moments. */
  readonly state: StateTensors
  /** null: this process runs all tasks. */
  readonly ranks: RankTeam | null
}
