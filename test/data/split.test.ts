/** Split into training and validation rows. */

import t from 'tap'
import { splitValidation } from '../../src/data/split.js'
import fc from '../helpers/fast-check.js'

const countBy = (labels: Int32Array, rows: Uint32Array): number[] => {
  const counts = Array<number>(labels.length === 0 ? 0 : Math.max(...labels) + 1).fill(0)
  for (const row of rows) counts[labels[row]]++
  return counts
}

t.test('every row exactly once, ascending, each class within a row of its share, no class emptied', async t => {
  let runs = 0
  const labels = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 40, maxLength: 300 })
  fc.assert(
    fc.property(labels, fc.double({ min: 0.05, max: 0.6, noNaN: true }), fc.nat(), (array, fraction, seed) => {
      const all = Int32Array.from(array)
      const { train, validation } = splitValidation(all, fraction, seed)
      const seen = [...train, ...validation].sort((a, b) => a - b)
      const ascending = (rows: Uint32Array) => rows.every((row, i) => i === 0 || rows[i - 1] < row)
      const sizes = countBy(all, Uint32Array.from(all.keys()))
      const held = countBy(all, validation)
      runs++
      return (
        seen.every((row, i) => row === i) &&
        seen.length === all.length &&
        ascending(train) &&
        ascending(validation) &&
        sizes.every((size, label) => size === 0 || held[label] < size) &&
        // A class of one row keeps it, and others give a row more for it: seven classes, so seven at most.
        held.every((count, label) => Math.abs(count - sizes[label] * fraction) <= 7) &&
        Math.abs(validation.length - all.length * fraction) <= 0.5 + 1e-9
      )
    }),
    { numRuns: 200 },
  )
  t.equal(runs, 200)
})

t.test('with classes of equal size, each gives its exact share', async t => {
  const labels = Int32Array.from({ length: 1000 }, (_, row) => row % 10)
  const { train, validation } = splitValidation(labels, 0.1, 1)
  t.same(countBy(labels, validation), Array(10).fill(10))
  t.equal(train.length, 900)
})

t.test('rows left over by rounding come from the classes with the largest remainders', async t => {
  const labels = Int32Array.from({ length: 21 }, (_, row) => (row < 10 ? 0 : 1))
  t.same(countBy(labels, splitValidation(labels, 0.25, 1).validation), [2, 3], 'shares are 2.5 and 2.75, 5 in all')
})

t.test('the same seed gives the same rows, another seed other rows', async t => {
  const labels = Int32Array.from({ length: 500 }, (_, row) => row % 3)
  const one = splitValidation(labels, 0.2, 1).validation
  t.same(splitValidation(labels, 0.2, 1).validation, one)
  t.notSame(splitValidation(labels, 0.2, 2).validation, one)
  t.same([...one.subarray(0, 6)], [1, 7, 9, 11, 22, 23], 'golden: resuming an old run finds its rows again')
})

t.test('fraction 0 keeps every row in training', async t => {
  const { train, validation } = splitValidation(Int32Array.of(1, 0, 1), 0, 9)
  t.same([...train], [0, 1, 2])
  t.equal(validation.length, 0)
})

t.test('every class keeps a training row, even at a large fraction', async t => {
  const { train, validation } = splitValidation(Int32Array.of(0, 1, 1, 1, 2), 0.9, 3)
  t.equal(train.length, 3)
  t.equal(validation.length, 2)
  t.ok(train.includes(0) && train.includes(4), 'classes of one row stay in training')
})

t.test('a fraction that gives an empty split, or is out of range, is refused', async t => {
  const labels = Int32Array.of(0, 0, 1, 1)
  t.throws(() => splitValidation(labels, 0.01, 1), {
    name: 'ConfigError',
    message: /data.validation is 0.01, which leaves the validation split empty, expected enough for a row/,
  })
  t.throws(() => splitValidation(Int32Array.of(0, 1, 2), 0.9, 1), {
    name: 'ConfigError',
    message: /each class keeps one for training/,
  })
  for (const fraction of [-0.1, 1, Number.NaN]) {
    t.throws(() => splitValidation(labels, fraction, 1), {
      name: 'ConfigError',
      message: `data.validation is ${fraction}`,
    })
  }
})

t.test('the error of an empty split has a hint', t => {
  const prices = Int32Array.from({ length: 300 }, (_, i) => i)
  const what = (labels: Int32Array, fraction: number, setting?: string) => {
    try {
      splitValidation(labels, fraction, 0, setting)
    } catch (error) {
      return error as Error & { hint?: string }
    }
    return undefined
  }
  const numbers = what(prices, 0.2, 'data.testFraction')
  t.match(numbers, {
    message: /test split empty.*300 rows in 300 classes/,
    hint: /for regression: --set data\.task=regression/,
  })
  const xor = what(Int32Array.of(0, 1, 1, 0), 0.01, 'data.testFraction')
  t.match(xor, { message: /data\.testFraction is 0\.01/, hint: /larger fraction$/ })
  t.throws(() => splitValidation(Int32Array.of(0, 1, 1, 0), 0.01, 0, 'data.testFraction', 'what helps'), {
    message: /data\.testFraction is 0\.01/,
    hint: 'what helps',
  })
  t.notMatch(xor!.message, /expected 0/, 'which the setting refuses')
  t.match(what(Int32Array.of(0, 1, 1, 0), 0.01), { hint: /or 0 for none/ })
  t.end()
})
