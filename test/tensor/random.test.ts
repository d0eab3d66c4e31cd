/** Philox against its authors' vectors; permutations; keys. */

import t from 'tap'
import { keyOf, Purpose, permutation, philox } from '../../src/tensor/random.js'
import fc from '../helpers/fast-check.js'

const purposes = Object.values(Purpose)
const seeds = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })

t.test('philox matches the known answers of Random123', async t => {
  const ones = 0xffffffff
  const answers = [
    { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
    { counter: [ones, ones, ones, ones], key: [ones, ones], words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd] },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ]
  for (const { counter, key, words } of answers) {
    const out = new Uint32Array(4)
    const [c0, c1, c2, c3] = counter
    philox(out, c0, c1, c2, c3, key[0], key[1])
    t.same([...out], words)
  }
})

t.test('a permutation has every index once, and is the same every time', async t => {
  let runs = 0
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 500 }), seeds, fc.nat(3000), (n, seed, epoch) => {
      const order = permutation(n, seed, Purpose.shuffle, epoch)
      const again = permutation(n, seed, Purpose.shuffle, epoch)
      runs++
      return (
        order.length === n &&
        new Set(order).size === n &&
        order.every(i => i < n) &&
        order.every((i, at) => again[at] === i)
      )
    }),
    { numRuns: 200 },
  )
  t.equal(runs, 200)
})

t.test('permutations match stored values: an old run resumes with the same order', async t => {
  t.same([...permutation(10, 1, Purpose.shuffle, 0)], [9, 0, 3, 5, 6, 4, 7, 8, 2, 1])
})

/** Σ (count - expected)² / expected over outcomes that are all as likely. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}

t.test('the 24 permutations of 4 are equally likely: chi-square below its 99.9 % point', async t => {
  for (const seed of [1, 2, 3]) {
    const counts = new Map<string, number>()
    for (let epoch = 0; epoch < 24_000; epoch++) {
      const order = permutation(4, seed, Purpose.shuffle, epoch).join()
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    t.equal(counts.size, 24)
    const statistic = chiSquare([...counts.values()])
    t.ok(statistic < 49.73, `seed ${seed}: ${statistic.toFixed(1)}, 23 degrees of freedom`)
  }
})

t.test('words are uniform in their high and low bytes: chi-square below its 99.9 % point', async t => {
  const [k0, k1] = keyOf(1, Purpose.dropout)
  for (const shift of [0, 24]) {
    const counts = Array<number>(256).fill(0)
    const words = new Uint32Array(4)
    for (let c = 0; c < 16_384; c++) {
      philox(words, c % 128, 3, c >>> 7, 0, k0, k1)
      for (const word of words) counts[(word >>> shift) & 255]++
    }
    const statistic = chiSquare(counts)
    t.ok(statistic < 330.52, `bits ${shift} to ${shift + 7}: ${statistic.toFixed(1)}, 255 degrees of freedom`)
  }
})

t.test('keys differ by purpose and seed: no two uses share a random number', async t => {
  let pairs = 0
  // The purpose changes bits of k1 that no seed reaches, so keys of two purposes differ whatever their seeds.
  const seedBits = 2 ** 21
  for (const a of purposes) {
    for (const b of purposes) {
      if (a === b) continue
      t.ok((keyOf(0, a)[1] ^ keyOf(0, b)[1]) >>> 0 >= seedBits, `purposes ${a} and ${b}`)
      pairs++
    }
  }
  t.equal(pairs, purposes.length * (purposes.length - 1))
  fc.assert(
    fc.property(seeds, seeds, fc.constantFrom(...purposes), (one, other, purpose) => {
      const [a, b] = [keyOf(one, purpose), keyOf(other, purpose)]
      return (a[0] === b[0] && a[1] === b[1]) === (one === other)
    }),
  )
  t.notSame(keyOf(2 ** 32, Purpose.init), keyOf(0, Purpose.init), 'the high word of a seed counts')
})
