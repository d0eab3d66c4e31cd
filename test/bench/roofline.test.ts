import t from 'tap'
import { REFERENCE_BATCH, REFERENCE_WIDTHS } from '../../bench/reference-network.js'
import { forwardFlops, rooflineOf, stepWork } from '../../bench/roofline.js'

t.test(
  'work of a step: three products of each layer, no backward through the first; Adam of weights and biases',
  async t => {
    // 2 -> 3 -> 4: 6 + 12 weights, 3 + 4 biases.
    t.strictSame(stepWork([2, 3, 4], 10), {
      flops: 2 * 10 * (6 + 12 + 12 + 6 + 12),
      updateBytes: 24 * (18 + 7),
      weightBytes: 4 * (18 + 12),
    })
    t.equal(stepWork([2, 3, 4], 10, 2).weightBytes, 2 * (18 + 12), 'bf16 weights')
    t.equal(stepWork([5, 7], 3).flops, 2 * 3 * 2 * 35, 'one layer: forward and gradient')
    t.equal(forwardFlops([2, 3, 4], 10), 2 * 10 * 18)
  },
)

t.test('the reference network: 29.3 GFLOP and 0.63 GB', async t => {
  const { flops, updateBytes, weightBytes } = stepWork(REFERENCE_WIDTHS, REFERENCE_BATCH)
  t.equal(flops, 29_296_128_000)
  t.equal(updateBytes, 24 * 19_867_510)
  t.equal(weightBytes, 4 * (2 * 19_857_000 - 784 * 3000))
})

t.test('roofline: the longer of arithmetic and traffic; one after the other, their sum', async t => {
  const work = { flops: 200e9, updateBytes: 20e9, weightBytes: 10e9 }
  t.strictSame(rooflineOf(work, { gflops: 100, gbytes: 20 }), {
    arithmeticSeconds: 2,
    trafficSeconds: 1.5,
    seconds: 2,
    sequentialSeconds: 3.5,
  })
  t.equal(rooflineOf(work, { gflops: 400, gbytes: 20 }).seconds, 1.5)
})
