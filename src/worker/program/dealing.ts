/**
 * Tasks of a stage dealt to the ranks, and the places of what they write in the buffer of the exchange. Runs in workers; see ranks.ts.
 */
import { Operation } from '../../machines/words.js'
import { EVERYONE, ownersOf } from '../plan/sharing.js'
import { addRuns, type Runs } from './regions.js'
import { type Piece, pieceOfRegion, placeSlices, type Ranges } from './slices.js'
import type { RankTeam, Region, Shared, Stage } from './stage.js'

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
export interface Dealt {
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
  /** Words of the buffer up to the end of the parts. */
  readonly end: number
}

type Placed = Pick<Dealt, 'own' | 'taken' | 'exchanged' | 'received' | 'end'>

/** Facts that the sharing of a stage's tasks may depend on. */
export type Context = { readonly rows: number } | null

/** Parts of an exchange. */
export interface Exchanged {
  readonly key: number
  readonly operation: number
  /** Parts that are sent, or of all ranks where all get the same; and those that come. */
  readonly sent: Ranges
  readonly received?: Ranges
  readonly largest: number
}

/** Returns the deal of a stage's tasks, which is made once for each number of tasks and rows. */
export function dealer<C extends Context>(
  stage: Stage<C>,
  shared: Shared<C>,
  team: RankTeam,
  startAt: (context: C) => number = () => shared.from ?? 0,
): (context: C) => Dealt {
  const known = new Map<string, Dealt>()
  let last: { readonly rows: number; readonly tasks: number; readonly dealt: Dealt } | undefined
  return context => {
    const rows = context?.rows ?? 0
    const tasks = stage.tasks(context)
    if (last && last.rows === rows && last.tasks === tasks) return last.dealt
    const key = `${rows} ${tasks}`
    let dealt = known.get(key)
    if (!dealt) {
      dealt = deal(tasks, shared, context, team, startAt(context))
      known.set(key, dealt)
    }
    last = { rows, tasks, dealt }
    return dealt
  }
}

function deal<C>(tasks: number, shared: Shared<C>, context: C, team: RankTeam, start: number): Dealt {
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
    ...(shared.needs
      ? placeNeeded(owners, shared.needs, team, start)
      : placeWhole(owners, shared, context, team, start)),
  }
}

/** Places of what tasks write, all of which goes to all ranks, or to rank 0. */
function placeWhole<C>(
  owners: Int32Array,
  shared: Shared<C>,
  context: C,
  { rank, size, buffer }: RankTeam,
  start: number,
): Placed {
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
  const { reads } = shared
  const takes = (task: number) => (shared.to !== 'root' || rank === 0) && (shared.takes?.(task) ?? true)
  let end = start
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
    end,
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
  start: number,
): Placed {
  const { rank, size } = team
  const pieces: (Piece & { readonly task: number })[] = []
  for (const [task, from] of owners.entries()) {
    for (let to = 0; to < size; to++) {
      if (from === to || from === EVERYONE) continue
      for (const region of needs(task, to)) pieces.push({ task, ...pieceOfRegion(from, to, region) })
    }
  }
  const { at, sent, received, largest } = placeSlices(pieces, team, start)
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
    received: sumOf(received.bytes),
    end: start + (sumOf(sent.bytes) + sumOf(received.bytes)) / BYTES,
  }
}

export const sumOf = (values: Int32Array): number => values.reduce((sum, value) => sum + value, 0)

const wordsOf = (runs: Runs): number => {
  let words = 0
  for (let r = 0; r < runs.length; r += 4) words += runs[r + 1] * runs[r + 3]
  return words
}
