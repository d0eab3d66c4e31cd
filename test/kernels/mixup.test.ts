/** Mixup: what it draws, and how it mixes bytes and labels. */
import t from 'tap'
import { labelMixer, mixBytes, mixtures } from '../../src/augment/mixup.js'

/** Mean of the larger of a number from Beta(alpha, alpha) and 1 less it: by 4 million draws of NumPy. */
for (const [alpha, mean, deviation] of [
  [0.2, 0.8988, 0.1397],
  [1, 0.75, 0.1443],
  [2, 0.6875, 0.1218],
] as const) {
  t.test(`alpha ${alpha}: mean and deviation of 20,000 shares within 0.005 of those of Beta`, async t => {
    const draw = mixtures(alpha, 5, [3, 4, 9])
    const shares = Array.from({ length: 20_000 }, (_, image) => draw(image, 1).parts / 256)
    const got = shares.reduce((sum, share) => sum + share, 0) / shares.length
    const spread = Math.sqrt(shares.reduce((sum, share) => sum + (share - got) ** 2, 0) / shares.length)
    t.ok(Math.abs(got - mean) < 0.005, `mean ${got}`)
    t.ok(Math.abs(spread - deviation) < 0.005, `deviation ${spread}`)
    t.ok(shares.every(share => share >= 0.5 && share <= 1 && Number.isInteger(share * 256)))
  })
}

t.test('very small alphas mix nothing, and end', async t => {
  const draw = mixtures(1e-6, 1, [0])
  for (let image = 0; image < 100; image++) t.equal(draw(image, 0).parts, 256)
})

t.test(
  'partners are images of the training split alone, each as often; a function of seed, epoch and image',
  async t => {
    const trained = [2, 3, 5, 7, 11]
    const counts = new Map<number, number>()
    const draw = mixtures(0.4, 9, trained)
    for (let image = 0; image < 10_000; image++) {
      const { partner } = draw(image, 0)
      counts.set(partner, (counts.get(partner) ?? 0) + 1)
    }
    t.same(
      [...counts.keys()].sort((a, b) => a - b),
      trained,
    )
    for (const count of counts.values()) t.ok(Math.abs(count - 2000) < 200, `${count} of 10,000`)
    const of = (image: number, epoch: number, seed = 9) => ({ ...mixtures(0.4, seed, trained)(image, epoch) })
    t.same(of(77, 3), of(77, 3))
    const others = [of(77, 4), of(78, 3), of(77, 3, 8)]
    for (const other of others) t.notSame(other, of(77, 3))
  },
)

t.test('bytes are mixed and rounded; shares are 1 from the first plain epoch on', async t => {
  const pixels = Uint8Array.of(9, 0, 255, 10, 9)
  mixBytes(pixels, Uint8Array.of(8, 8, 255, 0, 13), [1, 2], 0, 3, 0.75)
  t.same(
    [...pixels],
    [9, 64, 191, 11, 9],
    '0.75 · 0 + 0.25 · 255 = 63.75; 0.75 · 255 = 191.25; 0.75 · 10 + 0.25 · 13 = 10.75',
  )
  mixBytes(pixels, Uint8Array.of(8, 8, 8, 8, 8), [0, 0], 0, 5, 1)
  t.same([...pixels], [9, 64, 191, 11, 9])
  const draw = mixtures(1, 3, [7])
  let drawn = 0
  const counted: typeof draw = (...of) => {
    drawn++
    return draw(...of)
  }
  const mixer = labelMixer(counted, [5, 6, 5], 2)
  mixer.mix(1, 2, 1)
  t.same([...mixer.partners], [0, 7, 7])
  t.equal(mixer.shares[0], 0)
  const [, first, second] = mixer.shares
  t.ok(first >= 0.5 && first < 1 && second !== first)
  const before = drawn
  mixer.mix(0, 3, 2)
  t.same([...mixer.shares], [1, 1, 1])
  t.same([...mixer.partners], [5, 6, 5], 'each is its own partner')
  t.equal(drawn, before, 'nothing is drawn for it')
})
