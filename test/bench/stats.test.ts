import t from 'tap'
import { mean, meanRate, median, pairedRatio, quantile, spread, sum, summarise } from '../../bench/stats.js'

t.test('quantiles: between samples, in any order, input untouched', async t => {
  const values = [40, 10, 30, 20]
  t.equal(median(values), 25)
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([7]), 7)
  t.equal(quantile(values, 0), 10)
  t.equal(quantile(values, 1), 40)
  t.equal(quantile(values, 0.25), 17.5)
  t.strictSame(values, [40, 10, 30, 20])
  t.equal(median([100, 9, 1000]), 100, 'sorted as numbers')
  t.throws(() => median([]), { name: 'RangeError', message: 'quantile: values are [], expected at least one' })
})

t.test('summary and spread use quartiles, so one outlier changes neither', async t => {
  const summary = summarise([5, 1, 3, 2, 4])
  t.strictSame(summary, { count: 5, median: 3, low: 2, high: 4, min: 1, max: 5 })
  t.equal(spread(summary), 2 / 3)
  t.equal(spread(summarise([5, 5, 5])), 0)
  t.equal(spread(summarise([1, 2, 3, 4, 500])), spread(summarise([1, 2, 3, 4, 5])))
})

t.test('sums and means', async t => {
  t.equal(sum([]), 0)
  t.equal(sum([1, 2, 3.5]), 6.5)
  t.equal(mean([1, 2, 6]), 3)
})

t.test('a paired ratio does not change when the machine changes speed for both sides', async t => {
  const slow = [2, 4, 20]
  t.equal(
    pairedRatio(
      slow.map(x => 1.9 * x),
      slow,
    ),
    1.9,
  )
  t.equal(pairedRatio([2, 9, 4], [1, 1, 2]), 2)
  t.throws(() => pairedRatio([1], [1, 2]), { name: 'RangeError', message: 'pairedRatio: 1 samples beside 2' })
})

t.test('the mean rate is all the work divided by all the time', async t => {
  // 30 units at 10 a second and 30 at 30 a second take 4 seconds.
  const parts = [
    { work: 30, rate: 10 },
    { work: 30, rate: 30 },
  ]
  t.equal(meanRate(parts), 15)
  t.equal(meanRate([{ work: 5, rate: 7 }]), 7)
})
