/** Places in the arena: no two tensors overlap, none shares a cache line, all lie inside. */

import t from 'tap'
import { createArena, MAX_ARENA_BYTES, Reservations, viewSlot } from '../../src/tensor/arena.js'
import { bytesPerElement, type Dtype, sizeOf } from '../../src/tensor/tensor.js'
import fc from '../helpers/fast-check.js'

const request = fc.record({
  dtype: fc.constantFrom(...(Object.keys(bytesPerElement) as Dtype[])),
  shape: fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 3 }),
})

t.test('reservations are disjoint, aligned to cache lines, inside the arena, and the same on every thread', async t => {
  let runs = 0
  fc.assert(
    fc.property(fc.array(request, { maxLength: 20 }), requests => {
      const one = new Reservations()
      const other = new Reservations()
      requests.forEach(({ dtype, shape }, n) => {
        one.reserve(`tensor ${n}`, dtype, shape)
        other.reserve(`tensor ${n}`, dtype, shape)
      })
      t.same(one.slots, other.slots)
      let end = 1024
      for (const { byteOffset, dtype, shape } of one.slots) {
        if (byteOffset % 64 !== 0 || byteOffset < end) return false
        end = byteOffset + sizeOf(shape) * bytesPerElement[dtype]
      }
      runs++
      return one.bytes >= end && one.slots.length === requests.length
    }),
    { numRuns: 100 },
  )
  t.equal(runs, 100)
})

t.test('views of different slots do not touch each other', async t => {
  const reservations = new Reservations()
  const slots = [
    reservations.reserve('a', 'float32', [3, 7]),
    reservations.reserve('b', 'float64', [5]),
    reservations.reserve('c', 'uint8', [1]),
    reservations.reserve('d', 'int32', [2, 2, 2]),
  ]
  const memory = createArena(reservations.bytes)
  t.ok(memory.buffer instanceof SharedArrayBuffer)
  t.equal(memory.buffer.byteLength, 65536)
  const views = slots.map(slot => viewSlot(memory, slot))
  for (const view of views) t.ok(view.data.every(x => x === 0))
  views.forEach((view, n) => {
    view.data.fill(n + 1)
  })
  t.same(
    views.map(view => [...new Set(view.data)]),
    [[1], [2], [3], [4]],
  )
  t.same(
    views.map(view => view.shape),
    [[3, 7], [5], [1], [2, 2, 2]],
  )
})

t.test('an arena does not grow, and cannot exceed 32-bit addresses', async t => {
  const memory = createArena(65537)
  t.equal(memory.buffer.byteLength, 2 * 65536)
  t.throws(() => memory.grow(1), RangeError)
  t.equal(MAX_ARENA_BYTES, 2 ** 32)
  t.throws(() => createArena(MAX_ARENA_BYTES + 1))
})
