/** Lists of calls in an argument block: what is recorded is not run, what is run has its own arguments, and what does not fit is refused. */
import t from 'tap'
import { openBlock } from '../../../src/kernels/x64/argument-block.js'
import { at, RAX, RCX } from '../../../src/kernels/x64/assembler.js'
import { begin, type Loadable, wordsOf } from '../../../src/kernels/x64/calling-convention.js'
import { isChecking } from '../../../src/kernels/x64/cpu.js'
import { signature, updated, value } from '../../../src/kernels/x64/signature.js'
import { sparseObstacle } from '../../../src/kernels/x64/sparse-products.js'
import { createArena } from '../../../src/tensor/arena.js'

const ADD = signature(
  'add_number',
  updated('to', () => 8),
  value('number'),
)
const WORDS = wordsOf(ADD)

/** Adds a number to one in the arena; returns the sum. */
function addNumber(): Loadable {
  const { code, load } = begin(ADD)
  load(RCX, 'to')
  load(RAX, 'number')
  code.multiply(RAX, RAX)
  code.store32(at(RCX), RAX)
  code.ret()
  return { signature: ADD, code }
}

const memory = createArena(1 << 16)
const arena = new Uint32Array(memory.buffer)
const skip = (sparseObstacle() ?? false) || (isChecking() && 'every call is checked')

t.test('calls of a list run in their order, each with its arguments', { skip }, async t => {
  const block = await openBlock(memory, 128, 100)
  if (!block) return t.comment('the system does not let memory become code')
  const [square] = block.bind([addNumber()])
  const store = (to: number, number: number) => {
    block.words[WORDS.to] = to
    block.words[WORDS.number] = number
    return square()
  }
  arena.fill(0)
  const run = block.record(() => {
    t.equal(store(64, 3), 0)
    store(68, 4)
    store(72, 5)
  })
  t.equal(arena[16], 0, 'nothing is run while calls are listed')
  for (let i = 0; i < 2; i++) {
    t.equal(run?.(), 25, 'the result of the last call')
    t.strictSame([...arena.subarray(16, 20)], [9, 16, 25, 0])
    arena.fill(0)
  }
  t.equal(store(76, 6), 36, 'calls that are not listed')

  const many = (calls: number) => () => {
    for (let i = 0; i < calls; i++) store(64 + 4 * i, i)
  }
  t.equal(
    block.record(() => {}),
    null,
    'no call',
  )
  t.equal(block.record(many(65)), null, 'too many')
  t.throws(() =>
    block.record(() => {
      throw new Error('in between')
    }),
  )
  arena.fill(0)
  t.equal(store(64, 2), 4, 'after an error nothing is listed')
  const others = block.record(many(64))
  t.equal(block.record(many(40)), null, 'no room is left: 3 and 64 of 100 are taken')
  t.ok(block.record(many(33)), 'what fits is listed')
  t.equal(others?.(), 63 * 63)
  t.equal(run?.(), 25, 'the first list is still there')

  const without = await openBlock(memory, 128)
  t.equal(without?.record(many(1)), null, 'a block without lists')
})
