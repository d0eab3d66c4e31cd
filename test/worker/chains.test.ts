/** Chains of stages over ranks: what is under way while a stage is computed, step by step, with the communication thread played by the test. */
import t from 'tap'
import { Exchange, exchangeWords, noteFault } from '../../src/machines/words.js'
import { viewTensor } from '../../src/tensor/tensor.js'
import { overRanks } from '../../src/worker/program/ranks.js'
import type { RankTeam, Stage } from '../../src/worker/program/stage.js'

const SIZE = 2
const VALUES = 8
const FAULT = 7

/** Rank 0 of two, whose stages each write two halves of a vector of their own: the first is its own, the second comes from rank 1. */
function rank0(names: readonly string[], { chain }: { chain?: string } = { chain: 'all' }) {
  const buffer = new SharedArrayBuffer(64 * 1024)
  const bufferAt = 1024
  const team: RankTeam = {
    ...{ rank: 0, size: SIZE, spinTurns: 0, arena: new Int32Array(buffer) },
    control: new Int32Array(new SharedArrayBuffer(4096)),
    words: new Int32Array(new SharedArrayBuffer(4 * exchangeWords(SIZE))),
    buffer: { at: bufferAt, words: 4096, slicesAt: bufferAt + 4096, tiles: 0 },
  }
  const log: string[] = []
  const tensors = names.map((_, s) => viewTensor(buffer, 'int32', [VALUES], 64 * s))
  const stages = names.map(
    (name, s): Stage<null> => ({
      ...({ name, phase: 'compute', scheduling: 'dynamic' } as const),
      tasks: () => 2,
      run(task) {
        log.push(`${name}${task}`)
        tensors[s].data.fill(100 * s + task, (task * VALUES) / 2, ((task + 1) * VALUES) / 2)
        return 0
      },
      shared: {
        ...{ deal: 'neighbours', work: () => 1, ...(chain && { chain }) },
        writes: task => [
          { tensor: tensors[s], row: 0, rows: 1, start: (task * VALUES) / 2, end: ((task + 1) * VALUES) / 2 },
        ],
      },
    }),
  )
  return { team, log, tensors, stages: overRanks(stages, team) }
}

const runStage = (stage: Stage<null>): number => {
  let fault = 0
  for (let task = 0; task < stage.tasks(null); task++) fault ||= stage.run(task, null, 0)
  return fault
}

/** Ends the exchange that is under way as the communication thread does; `value`: what rank 1 sends. */
function deliver({ words, arena, buffer }: RankTeam, value: number, fault = 0): void {
  const place = Exchange.ranks + SIZE
  const at = buffer.at + words[place + 1] / 4
  arena.fill(value, at, at + VALUES / 2)
  words[Exchange.faultOfAll] = fault
  Atomics.add(words, Exchange.done, 1)
}

const begun = ({ words }: RankTeam) => Atomics.load(words, Exchange.requested)
const ended = ({ words }: RankTeam) => Atomics.load(words, Exchange.done)

t.test(
  'an exchange is under way while the next stage computes, and what came is taken beside the stage after that',
  async t => {
    const { team, log, tensors, stages } = rank0(['a', 'b', 'c'])
    const next = () => runStage(stages.shift()!)
    next()
    next()
    t.same([log.splice(0), begun(team), ended(team)], [['a0'], 1, 0], 'nobody waits for the exchange of a')
    next()
    t.same([log.splice(0), begun(team), ended(team)], [['b0'], 1, 0])
    deliver(team, 11)
    next()
    t.same([begun(team), ended(team)], [2, 1], 'that of b begins when that of a has ended')
    t.same([...tensors[0].data], [0, 0, 0, 0, 0, 0, 0, 0])
    next()
    t.same([...tensors[0].data], [0, 0, 0, 0, 11, 11, 11, 11])
    t.same([log.splice(0), ended(team)], [['c0'], 1])
    deliver(team, 22)
    next()
    deliver(team, 33)
    next()
    t.same([...tensors[1].data], [100, 100, 100, 100, 22, 22, 22, 22])
    next()
    t.same([...tensors[2].data], [200, 200, 200, 200, 33, 33, 33, 33])
    t.same([stages.length, begun(team), ended(team)], [0, 3, 3])
  },
)

t.test('without a chain all wait for each exchange', async t => {
  const { team, stages } = rank0(['a', 'b'], {})
  t.equal(stages.length, 6)
  runStage(stages[0])
  deliver(team, 11)
  runStage(stages[1])
  t.same([begun(team), ended(team)], [1, 1])
})

t.test('a fault ends the chain when its exchange has ended; one that was met meanwhile is forgotten', async t => {
  const { team, stages } = rank0(['a', 'b', 'c'])
  for (const stage of stages.slice(0, 3)) t.equal(runStage(stage), 0)
  // As a task of b would: the exchange of a, which its communication thread may still be about to begin, does not have it.
  noteFault(team.words, FAULT - 1)
  t.equal(team.words[Exchange.ownFault], 0)
  deliver(team, 11, FAULT)
  t.equal(runStage(stages[3]), FAULT)
  t.equal(begun(team), 1, 'the next exchange does not begin')
  t.equal(Atomics.load(team.words, Exchange.fault), 0)
})

t.test('parts of a chain lie one after the other, so that none is written over while it travels', async t => {
  const { team, stages } = rank0(['a', 'b', 'c'])
  const places: number[] = []
  for (const stage of stages) {
    const before = begun(team)
    if (begun(team) > ended(team) && /exchange|take/.test(stage.name)) deliver(team, 1)
    runStage(stage)
    if (begun(team) > before) places.push(...team.words.slice(Exchange.ranks + SIZE, Exchange.ranks + 2 * SIZE))
  }
  t.same(
    places,
    [0, 1, 2, 3, 4, 5].map(half => (half * 4 * VALUES) / 2),
  )
})
