import t from 'tap'
import { claimAt, Exchange, exchangeWords, Head, headAt, headWords, waitsOf } from '../../../src/machines/words.js'
import { Control, controlWords } from '../../../src/worker/plan/words.js'
import { Meeting } from '../../../src/worker/threads/meeting.js'

const shared = (words: number) => new Int32Array(new SharedArrayBuffer(4 * words))

/** Rank 0 of two; what the other one says is written here, since it is another process. */
function lab() {
  const heads = shared(headWords(2))
  const parts = { rank: 0, size: 2, words: shared(exchangeWords(2)), control: shared(controlWords(1)), heads }
  const meeting = new Meeting({ ...parts, spinTurns: 0 })
  const arrive = (count: number, key: number, more: Partial<Record<keyof typeof Head, number>> = {}) => {
    const at = headAt(1, count)
    for (const [name, value] of Object.entries({ key, fault: 0, stop: 0, ...more })) {
      heads[at + Head[name as keyof typeof Head]] = value
    }
    Atomics.store(heads, at, count)
  }
  const meet = (key: number, fault = 0) =>
    meeting.meet(key, fault, () => {
      throw new Error('aborted')
    })
  return { ...parts, arrive, meet, meeting }
}

t.test('ranks that meet agree on the smallest fault and on a stop, and tell what they waited for', async t => {
  const { words, control, heads, arrive, meet } = lab()
  arrive(1, 5)
  t.equal(meet(5), 0)
  t.equal(Atomics.load(control, Control.agreedStop), 0)
  t.equal(Atomics.load(words, Exchange.done), 1)
  t.equal(heads[headAt(0, 1) + Head.key], 5, 'the others see where this rank is')
  arrive(2, 6, { fault: 3, stop: 1, waited: 70 })
  t.equal(meet(6, 4), 3, 'the other one has the smaller')
  t.equal(heads[headAt(0, 2) + Head.fault], 4)
  t.equal(Atomics.load(control, Control.agreedStop), 1)
  t.equal(waitsOf(words, 2)[1], 70)
  arrive(3, 7, { fault: 9 })
  t.equal(meet(7, 2), 2)
  arrive(4, 8, { fault: 9 })
  t.equal(meet(8), 9)
})

t.test('a rank that is one meeting ahead does not disturb one that has still to read', async t => {
  const { arrive, meet, heads } = lab()
  arrive(1, 5, { fault: 3 })
  arrive(2, 6, { fault: 2 })
  t.equal(meet(5), 3)
  t.equal(meet(6), 2)
  t.not(headAt(0, 1), headAt(0, 2))
  t.equal(headAt(0, 1), headAt(0, 3))
  t.equal(heads.length, headWords(2))
})

t.test('tasks of a stage are claimed once by all ranks, and those of the next stage from the first on', async t => {
  const { heads, arrive, meet, meeting } = lab()
  const ofOther = (count: number) => Atomics.add(heads, claimAt(2, count), 1)
  t.same([meeting.claim(), ofOther(1), meeting.claim()], [0, 1, 2])
  arrive(1, 5)
  meet(5)
  t.same([ofOther(2), meeting.claim(), ofOther(2)], [0, 1, 2])
  arrive(2, 6)
  meet(6)
  t.same([meeting.claim(), ofOther(3)], [0, 1], 'the words are used again')
  t.ok(claimAt(2, 1) + 1 < headWords(2) && claimAt(2, 0) >= headAt(1, 1) + 16)
})

t.test('ranks at different places of the program are an error', async t => {
  const { arrive, meet } = lab()
  arrive(1, 5)
  t.throws(() => meet(6), { message: 'rank 1 is at stage 5 of meeting 1; rank 0 is at stage 6 of meeting 1' })
})

t.test('whoever waits leaves when the run over ranks has failed, or this rank is to end', async t => {
  const failed = lab()
  Atomics.store(failed.words, Exchange.failed, 1)
  t.throws(() => failed.meet(5), { message: 'the exchange with other ranks has failed' })
  const aborted = lab()
  Atomics.store(aborted.control, Control.abort, 1)
  t.throws(() => aborted.meet(5), { message: 'aborted' })
})
