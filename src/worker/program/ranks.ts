/**
 * A program over several ranks: processes that run the same program over memories of their own, on one machine or many.
 *
 * A stage that says how its tasks are shared (`Shared` in stage.ts) becomes three: [tasks of this rank, each of which copies what it wrote
 * into the buffer of the exchange] [exchange: one task, which the communication thread of machines/ carries out] [what the others wrote is
 * copied to where their tasks would have left it]. After it all memories are as if this rank had run every task, but for what nobody else
 * reads, and the moments of a tile, which its owner alone has. So the following stages, and the bits, are those of one process: a task has the same operands
 * and shape whoever runs it, nothing is summed between ranks, and tasks do not depend on the number of ranks.
 *
 * For the passes that is: rows, or blocks of a layer, are divided, activations and deltas are gathered. For the update: each rank owns
 * some tiles, for which it has the moments, sums the gradient over all rows, and updates; the weights are gathered.
 *
 * A fault of a task ends the step in all ranks after its exchange: the smallest code of all ranks counts, as with one. Runs in workers.
 */
import {
  bytesOf as bytesWords,
  comingBytesOf,
  comingPlacesOf,
  Exchange,
  noteFault,
  Operation,
  placesOf as placesWords,
} from '../../machines/words.js'
import { EVERYONE, ownersOf } from '../plan/sharing.js'
import { Control } from '../plan/words.js'
import { addRuns, copyRuns, type Runs } from './regions.js'
import { type Piece, pieceOfRegion, placeSlices, type Ranges, type Slices } from './slices.js'
import type { RankTeam, Region, Shared, Stage } from './stage.js'

/** Longest sleep between two looks at the flags. */
const SLEEP_MS = 100
const BYTES = 4

/** Runs of a task's regions, and the word of the buffer where they begin. */
interface Place {
  readonly runs: Runs
  readonly at: number
}

/** Regions of a task of another rank. */
interface Taken {
  readonly task: number
  readonly places: readonly Place[]
}

/** Tasks of a stage dealt to the ranks, for one number of tasks and rows. */
interface Dealt {
  /** Tasks that this rank runs, and those that others run. */
  readonly mine: readonly number[]
  readonly foreign: readonly number[]
  /** Places of what this rank sends of each. */
  readonly own: ReadonlyMap<number, readonly Place[]>
  /** Regions that this rank takes from the others. */
  readonly taken: readonly Taken[]
  readonly exchanged: Omit<Exchanged, 'key'>
  /** Bytes that this rank gets. */
  readonly received: number
}

/** Facts that the sharing of a stage's tasks may depend on. */
type Context = { readonly rows: number } | null

/** The stages of one rank. `first`: number of the first stage, which tells programs apart where ranks compare their places. */
export function overRanks<C extends Context>(
  stages: readonly Stage<C>[],
  team: RankTeam | null,
  first = 0,
): Stage<C>[] {
  if (!team) return [...stages]
  return stages.flatMap((stage, index) => {
    const { shared } = stage
    return shared ? sharedStages(stage, shared, team, first + index) : [stage]
  })
}

function sharedStages<C extends Context>(stage: Stage<C>, shared: Shared<C>, team: RankTeam, key: number): Stage<C>[] {
  const dealtAt = dealer(stage, shared, team)
  const { name, phase, changesState } = stage
  const common = { phase, scheduling: 'dynamic', ...(changesState && { changesState }) } as const
  const own: Stage<C> = {
    ...common,
    name,
    tasks(context) {
      const { mine, foreign } = dealtAt(context)
      return mine.length + (shared.others ? foreign.length : 0)
    },
    run(index, context, worker) {
      const { mine, foreign, own } = dealtAt(context)
      if (index >= mine.length) {
        shared.others!(foreign[index - mine.length], context)
        return 0
      }
      const task = mine[index]
      const fault = stage.run(task, context, worker)
      // Others have to know: the step ends after the next exchange.
      if (fault !== 0) noteFault(team.words, fault)
      for (const { runs, at } of own.get(task) ?? []) copyRuns(team.arena, runs, at, false)
      return 0
    },
    ...(stage.flops && {
      flops: (index, context) => {
        const { mine } = dealtAt(context)
        return index < mine.length ? stage.flops!(mine[index], context) : 0
      },
    }),
  }
  if (!shared.writes) return [own]
  const exchange: Stage<C> = {
    ...common,
    name: `${name}: exchange`,
    tasks: context => (dealtAt(context).exchanged.largest > 0 ? 1 : 0),
    run: (_task, context) => runExchange(team, { key, ...dealtAt(context).exchanged }),
    bytes: context => dealtAt(context).received,
  }
  const take: Stage<C> = {
    ...common,
    name: `${name}: take`,
    tasks: context => dealtAt(context).taken.length,
    run(index, context) {
      const { task, places } = dealtAt(context).taken[index]
      for (const { runs, at } of places) copyRuns(team.arena, runs, at, true)
      shared.arrived?.(task)
      return 0
    },
  }
  return [own, exchange, take]
}

/** Returns the deal of a stage's tasks, which is made once for each number of tasks and rows. */
function dealer<C extends Context>(stage: Stage<C>, shared: Shared<C>, team: RankTeam): (context: C) => Dealt {
  const known = new Map<string, Dealt>()
  let last: { readonly rows: number; readonly tasks: number; readonly dealt: Dealt } | undefined
  return context => {
    const rows = context?.rows ?? 0
    const tasks = stage.tasks(context)
    if (last && last.rows === rows && last.tasks === tasks) return last.dealt
    const key = `${rows} ${tasks}`
    let dealt = known.get(key)
    if (!dealt) {
      dealt = deal(tasks, shared, context, team)
      known.set(key, dealt)
    }
    last = { rows, tasks, dealt }
    return dealt
  }
}

function deal<C>(tasks: number, shared: Shared<C>, context: C, team: RankTeam): Dealt {
  const { rank, size } = team
  const work = Array.from({ length: tasks }, (_, task) => shared.work(task, context))
  const { owner } = shared
  const owners = owner
    ? Int32Array.from(work, (_, task) => owner(task, context, size))
    : ownersOf(work, shared.deal, size)
  const all = Array.from(owners, (_, task) => task)
  return {
    mine: all.filter(task => owners[task] === rank || owners[task] === EVERYONE),
    foreign: all.filter(task => owners[task] !== rank && owners[task] !== EVERYONE),
    ...(shared.needs ? placeNeeded(owners, shared.needs, team) : placeWhole(owners, shared, context, team)),
  }
}

/** Places of what tasks write, all of which goes to all ranks, or to rank 0. */
function placeWhole<C>(
  owners: Int32Array,
  shared: Shared<C>,
  context: C,
  { rank, size, buffer }: RankTeam,
): Pick<Dealt, 'own' | 'taken' | 'exchanged' | 'received'> {
  const packed = Array.from(owners, (owner, task) => {
    const runs: Runs = []
    const regions = owner === EVERYONE ? [] : (shared.writes?.(task, context) ?? [])
    const words = regions.reduce((sum, region) => sum + addRuns(runs, region), 0)
    return { task, runs, words }
  })
  const words = new Array<number>(size).fill(0)
  const places = new Array<number>(size).fill(0)
  const own = new Map<number, readonly Place[]>()
  const taken: Taken[] = []
  const { reads, from = 0 } = shared
  const takes = (task: number) => (shared.to !== 'root' || rank === 0) && (shared.takes?.(task) ?? true)
  let end = from
  for (let of = 0; of < size; of++) {
    places[of] = end
    for (const { task, runs, words: count } of packed.filter(({ task }) => owners[task] === of)) {
      if (count === 0) continue
      const at = buffer.at + end
      if (of === rank) own.set(task, [{ runs: reads ? runsOf(reads(task, context)) : runs, at }])
      if (takes(task) && (of !== rank || reads)) taken.push({ task, places: [{ runs, at }] })
      words[of] += count
      end += count
    }
  }
  if (end > buffer.slicesAt - buffer.at)
    throw new RangeError(`exchange: needs ${end} words, expected at most ${buffer.slicesAt - buffer.at}`)
  return {
    own,
    taken,
    exchanged: {
      operation:
        shared.deal === 'root' ? Operation.broadcast : shared.to === 'root' ? Operation.gather : Operation.allgather,
      sent: {
        bytes: Int32Array.from(words, count => count * BYTES),
        places: Int32Array.from(places, place => place * BYTES),
      },
      largest: BYTES * Math.max(...words),
    },
    received: BYTES * taken.reduce((sum, of) => sum + (owners[of.task] === rank ? 0 : wordsOf(of.places[0].runs)), 0),
  }
}

function runsOf(regions: readonly Region[]): Runs {
  const runs: Runs = []
  for (const region of regions) addRuns(runs, region)
  return runs
}

/** Places of what tasks write, of which each rank gets what it needs. */
function placeNeeded(
  owners: Int32Array,
  needs: NonNullable<Shared<unknown>['needs']>,
  team: RankTeam,
): Pick<Dealt, 'own' | 'taken' | 'exchanged' | 'received'> {
  const { rank, size } = team
  const pieces: (Piece & { readonly task: number })[] = []
  for (const [task, from] of owners.entries()) {
    for (let to = 0; to < size; to++) {
      if (from === to || from === EVERYONE) continue
      for (const region of needs(task, to)) pieces.push({ task, ...pieceOfRegion(from, to, region) })
    }
  }
  const { at, sent, received, largest } = placeSlices(pieces, team, 0)
  const placesBy = (of: (piece: Piece) => boolean): Map<number, Place[]> => {
    const places = new Map<number, Place[]>()
    for (const [i, piece] of pieces.entries()) {
      if (!of(piece)) continue
      const { task, runs } = piece
      places.set(task, [...(places.get(task) ?? []), { runs: runs!, at: at[i] }])
    }
    return places
  }
  return {
    own: placesBy(({ from }) => from === rank),
    taken: Array.from(
      placesBy(({ to }) => to === rank),
      ([task, places]) => ({ task, places }),
    ),
    exchanged: { operation: Operation.alltoall, sent, received, largest },
    received: received.bytes.reduce((sum, bytes) => sum + bytes, 0),
  }
}

const wordsOf = (runs: Runs): number => {
  let words = 0
  for (let r = 0; r < runs.length; r += 4) words += runs[r + 1] * runs[r + 3]
  return words
}

/** Numbers of the first exchange of slices, apart from those of stages. */
const SLICES = 3000

/** The stages of an exchange of slices, whose places `slicesAt` has. `copy`: copies a piece to the buffer, or back. */
export function sliceStages<C>(
  team: RankTeam,
  name: string,
  slicesAt: (context: C) => Slices,
  copy: (context: C, piece: number, back: boolean) => void,
): Stage<C>[] {
  const common = { phase: 'update', scheduling: 'dynamic' } as const
  const copying = (what: string, of: (slices: Slices) => readonly number[], back: boolean): Stage<C> => ({
    ...common,
    name: `${name}: ${what}`,
    tasks: context => of(slicesAt(context)).length,
    run(index, context) {
      copy(context, of(slicesAt(context))[index], back)
      return 0
    },
  })
  return [
    copying('pack', ({ packed }) => packed, false),
    {
      ...common,
      name: `${name}: exchange`,
      tasks: context => (slicesAt(context).largest > 0 ? 1 : 0),
      run(_task, context) {
        const { sent, received, largest } = slicesAt(context)
        return runExchange(team, { key: SLICES, operation: Operation.alltoall, sent, received, largest })
      },
      bytes: context => slicesAt(context).received.bytes.reduce((sum, bytes) => sum + bytes, 0),
    },
    copying('take', ({ taken }) => taken, true),
  ]
}

interface Exchanged {
  readonly key: number
  readonly operation: number
  /** Parts that are sent, or of all ranks where all get the same; and those that come. */
  readonly sent: Ranges
  readonly received?: Ranges
  readonly largest: number
}

/** Has the communication thread exchange the parts. Returns the smallest fault of all ranks. */
function runExchange(team: RankTeam, { key, operation, sent, received, largest }: Exchanged): number {
  const { words, size } = team
  bytesWords(words, size).set(sent.bytes)
  placesWords(words, size).set(sent.places)
  if (received) {
    comingBytesOf(words, size).set(received.bytes)
    comingPlacesOf(words, size).set(received.places)
  }
  words[Exchange.key] = key
  words[Exchange.operation] = operation
  words[Exchange.largest] = largest
  const before = Atomics.load(words, Exchange.done)
  Atomics.add(words, Exchange.requested, 1)
  Atomics.add(words, Exchange.wake, 1)
  Atomics.notify(words, Exchange.wake)
  for (let turn = 0; turn < team.spinTurns && Atomics.load(words, Exchange.done) === before; turn++) {}
  while (Atomics.load(words, Exchange.done) === before) {
    if (Atomics.load(words, Exchange.failed) !== 0) throw new Error('the exchange with other ranks has failed')
    if (Atomics.load(team.control, Control.abort) !== 0) throw aborted()
    Atomics.wait(words, Exchange.done, before, SLEEP_MS)
  }
  return words[Exchange.faultOfAll]
}

/** As threads/barrier.ts throws it where another worker has failed. */
function aborted(): Error {
  const error = new Error('aborted: another worker failed')
  error.name = 'AbortedError'
  return error
}
