/**
 * A program over several ranks: processes that run the same program over memories of their own, on one machine or many.
 *
 * A stage that says how its tasks are shared (`Shared` in stage.ts) becomes three: [tasks of this rank, each of which copies what it wrote
 * into the buffer of the exchange] [exchange: one task, which the communication thread of machines/ carries out] [what the others wrote is
 * copied to where their tasks would have left it]. After it all memories are as if this rank had run every task, but for what nobody else
 * reads, and the moments of a tile, which its owner alone has. So the following stages, and the bits, are those of one process: a task has the same operands
 * and shape whoever runs it, nothing is summed between ranks, and tasks do not depend on the number of ranks.
 *
 * Exchanges in a chain (`Shared.chain`) are under way while the workers compute: see `chainStages`.
 *
 * For the passes that is: rows, or blocks of a layer, are divided, activations and deltas are gathered. For the update: each rank owns
 * some tiles, for which it has the moments, sums the gradient over all rows, and updates; the weights are gathered.
 *
 * A fault of a task ends the step in all ranks after its exchange: the smallest code of all ranks counts, as with one. Runs in workers.
 */
import { performance } from 'node:perf_hooks'
import {
  bytesOf as bytesWords,
  comingBytesOf,
  comingPlacesOf,
  Exchange,
  noteFault,
  Operation,
  placesOf as placesWords,
} from '../../machines/words.js'
import { Control } from '../plan/words.js'
import { type Context, type Dealt, dealer, type Exchanged, sumOf } from './dealing.js'
import { copyRuns } from './regions.js'
import type { Slices } from './slices.js'
import type { RankTeam, Shared, Stage } from './stage.js'

/** Longest sleep between two looks at the flags. */
const SLEEP_MS = 100

/** The stages of one rank, those of a chain as one. `first`: number of the first stage, which tells programs apart where ranks compare their places. */
export function overRanks<C extends Context>(
  stages: readonly Stage<C>[],
  team: RankTeam | null,
  first = 0,
): Stage<C>[] {
  if (!team) return [...stages]
  return chainsOf(stages).flatMap(({ begin, end }): Stage<C>[] => {
    if (!stages[begin].shared) return [stages[begin]]
    const links: Link<C>[] = []
    for (let s = begin; s < end; s++) {
      const before = links.at(-1)
      links.push(
        linkOf(stages[s], stages[s].shared!, team, first + s, before && (context => before.dealt(context).end)),
      )
    }
    return links.length > 1 ? chainStages(links, team) : alone(links[0], team)
  })
}

/** Ranges of stages that are one chain each, or one stage. */
function chainsOf<C>(stages: readonly Stage<C>[]): { readonly begin: number; readonly end: number }[] {
  const ranges: { begin: number; end: number }[] = []
  for (const [s, { shared }] of stages.entries()) {
    const last = ranges.at(-1)
    const isNext = last && shared?.chain !== undefined && stages[last.begin].shared?.chain === shared.chain
    if (isNext) last.end = s + 1
    else ranges.push({ begin: s, end: s + 1 })
  }
  return ranges
}

/** A stage whose tasks are shared, as one rank runs it. */
interface Link<C> {
  /** Tasks of this rank, each of which copies what others need to the buffer. */
  readonly own: Stage<C>
  /** Tasks that copy what others wrote from the buffer. */
  readonly take: Stage<C>
  readonly dealt: (context: C) => Dealt
  readonly key: number
  /** False: no rank needs anything of another. */
  readonly exchanges: boolean
}

/** `startAt`: the first word of the buffer that its parts may take. */
function linkOf<C extends Context>(
  stage: Stage<C>,
  shared: Shared<C>,
  team: RankTeam,
  key: number,
  startAt?: (context: C) => number,
): Link<C> {
  const dealtAt = dealer(stage, shared, team, startAt)
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
  return { own, take, key, dealt: dealtAt, exchanges: shared.writes !== undefined }
}

/** [tasks] [exchange] [take]: all wait for the exchange. */
function alone<C extends Context>({ own, take, key, dealt, exchanges }: Link<C>, team: RankTeam): Stage<C>[] {
  if (!exchanges) return [own]
  const exchange: Stage<C> = {
    ...take,
    name: `${own.name}: exchange`,
    tasks: context => (dealt(context).exchanged.largest > 0 ? 1 : 0),
    run: (_task, context) => runExchange(team, { key, ...dealt(context).exchanged }),
    bytes: context => dealt(context).received,
  }
  return [own, exchange, take]
}

/**
 * Stages of which none reads what others write in the chain: each exchange is under way while the tasks of the next stage are computed, whose
 * exchange begins when it has ended. For stages a, b, c: [a] [begin a] [b] [end a, begin b] [take a, c] [end b, begin c] [take b, end c] [take c].
 * Their parts lie one after the other in the buffer. A fault of a counts when its exchange has ended; b has changed nothing that outlives it.
 */
function chainStages<C extends Context>(links: readonly Link<C>[], team: RankTeam): Stage<C>[] {
  const sends = ({ exchanges, dealt }: Link<C>, context: C) => exchanges && dealt(context).exchanged.largest > 0
  const stages = links.flatMap((link, i): Stage<C>[] => {
    const { own, take, key, dealt } = link
    const turn: Stage<C> = {
      ...take,
      name: `${own.name}: exchange`,
      tasks: context => (sends(link, context) || (i > 0 && sends(links[i - 1], context)) ? 1 : 0),
      run(_task, context) {
        const fault = i > 0 && sends(links[i - 1], context) ? endExchange(team) : 0
        if (fault === 0 && sends(link, context)) beginExchange(team, { key, ...dealt(context).exchanged })
        return fault
      },
      bytes: context => (sends(link, context) ? dealt(context).received : 0),
    }
    return [i > 1 ? joined(links[i - 2].take, own) : own, turn]
  })
  const last = links[links.length - 1]
  const end: Stage<C> = { ...last.take, tasks: context => (sends(last, context) ? 1 : 0), run: () => endExchange(team) }
  return [...stages, joined(links[links.length - 2].take, end), last.take]
}

/** The tasks of two stages, which do not depend on each other. */
function joined<C>(one: Stage<C>, other: Stage<C>): Stage<C> {
  return {
    ...other,
    tasks: context => one.tasks(context) + other.tasks(context),
    run(task, context, worker) {
      const own = task - one.tasks(context)
      return own < 0 ? one.run(task, context, worker) : other.run(own, context, worker)
    },
    ...(other.flops && {
      flops: (task, context) => {
        const own = task - one.tasks(context)
        return own < 0 ? 0 : other.flops!(own, context)
      },
    }),
  }
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
      bytes: context => sumOf(slicesAt(context).received.bytes),
    },
    copying('take', ({ taken }) => taken, true),
  ]
}

/** Has the communication thread exchange the parts. Returns the smallest fault of all ranks. */
function runExchange(team: RankTeam, of: Exchanged): number {
  beginExchange(team, of)
  return endExchange(team)
}

/** Has the communication thread begin to exchange the parts; none is under way. */
function beginExchange(team: RankTeam, { key, operation, sent, received, largest }: Exchanged): void {
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
  // A fault that is noted from now on belongs to the next exchange.
  words[Exchange.ownFault] = Atomics.exchange(words, Exchange.fault, 0)
  Atomics.add(words, Exchange.requested, 1)
  Atomics.add(words, Exchange.wake, 1)
  Atomics.notify(words, Exchange.wake)
}

/** Waits until the exchange that was begun last has ended. Returns the smallest fault of all ranks, with which the step ends. */
function endExchange({ words, control, spinTurns }: RankTeam): number {
  const requested = Atomics.load(words, Exchange.requested)
  const started = performance.now()
  for (let turn = 0; turn < spinTurns && Atomics.load(words, Exchange.done) !== requested; turn++) {}
  for (;;) {
    const done = Atomics.load(words, Exchange.done)
    if (done === requested) break
    if (Atomics.load(words, Exchange.failed) !== 0) throw new Error('the exchange with other ranks has failed')
    if (Atomics.load(control, Control.abort) !== 0) throw aborted()
    Atomics.wait(words, Exchange.done, done, SLEEP_MS)
  }
  Atomics.add(words, Exchange.waited, Math.round(1000 * (performance.now() - started)))
  const fault = words[Exchange.faultOfAll]
  // Faults of the stage that was computed meanwhile do not count: its step ends here.
  if (fault !== 0) Atomics.store(words, Exchange.fault, 0)
  return fault
}

/** As threads/barrier.ts throws it where another worker has failed. */
function aborted(): Error {
  const error = new Error('aborted: another worker failed')
  error.name = 'AbortedError'
  return error
}
