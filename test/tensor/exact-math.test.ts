/** Against the engine's functions, whose errors are far smaller than the bounds, or against exact integers. */
import t from 'tap'
import { cosineSine, exponential, falling, fractionalPower, logarithm, power } from '../../src/tensor/exact-math.js'

t.test('power is exact where the result is', async t => {
  t.equal(power(0, 0), 1)
  t.equal(power(0, 1), 0)
  t.equal(power(0.5, 1), 0.5)
  t.equal(power(0.5, 1000), 2 ** -1000)
  t.equal(power(0.5, 2000), 0)
  t.equal(power(3, 33), 5559060566555523)
  t.equal(power(-1, 7), -1)
  t.equal(power(1, 2 ** 40), 1)
})

t.test('power(base, n): relative error < n · 2^-53 against exact integers', async t => {
  let compared = 0
  for (const base of [0.5000001, 0.9, 0.99, 0.999, 0.99999]) {
    for (let n = 6; n <= 200; n++) {
      // base is an integer over 2^53, and the result one over 2^300.
      const exact = BigInt(base * 2 ** 53) ** BigInt(n)
      const got = BigInt(power(base, n) * 2 ** 300) << BigInt(53 * n - 300)
      const error = Number(((got - exact) << 80n) / exact) / 2 ** 80
      if (!(Math.abs(error) < n * 2 ** -53))
        t.fail(`power(${base}, ${n}) is ${power(base, n)}, relative error ${error}`)
      compared++
    }
  }
  t.equal(compared, 5 * 195)
})

/** The largest of `error` for 0, 1, …, n. */
const worstOf = (n: number, error: (i: number) => number): number =>
  Array.from({ length: n + 1 }, (_, i) => error(i)).reduce((worst, e) => (e <= worst ? worst : e), 0)

t.test('half a cosine: error < 1e-15; the ends and the middle are exact', async t => {
  const worst = worstOf(1000, n => Math.abs(falling(n / 1000) - (1 + Math.cos((Math.PI * n) / 1000)) / 2))
  t.ok(worst < 1e-15, `${worst}`)
  t.same([falling(0), falling(0.5), falling(1)], [1, 0.5, 0])
})

t.test('fractional powers: relative error < 1e-14', async t => {
  for (const base of [0.001, 0.1, 0.5, 0.95, 0.9999, 1]) {
    const worst = worstOf(1000, n => Math.abs(fractionalPower(base, n / 100) / base ** (n / 100) - 1))
    t.ok(worst < 1e-14, `${base}: ${worst}`)
  }
})

t.test('exponential: relative error < 1e-13 from -20 to 0', async t => {
  const worst = worstOf(2000, n => Math.abs(exponential(-n / 100) / Math.exp(-n / 100) - 1))
  t.ok(worst < 1e-13, `${worst}`)
  t.equal(exponential(0), 1)
})

t.test('logarithm: relative error < 1e-14 from 2^-33 to 1 - 2^-33', async t => {
  const worst = worstOf(1000, n => {
    const x = (n * 4294967 + 0.5) / 2 ** 32
    return Math.abs(logarithm(x) / Math.log(x) - 1)
  })
  t.ok(worst < 1e-14, `${worst}`)
})

t.test('cosine and sine: error < 1e-15 in every quarter', async t => {
  const worst = worstOf(4096, n => {
    const word = Math.min(n * 2 ** 20, 2 ** 32 - 1)
    const [cosine, sine] = cosineSine(word)
    const angle = (2 * Math.PI * (word + 0.5)) / 2 ** 32
    return Math.max(Math.abs(cosine - Math.cos(angle)), Math.abs(sine - Math.sin(angle)))
  })
  t.ok(worst < 1e-15, `${worst}`)
})
