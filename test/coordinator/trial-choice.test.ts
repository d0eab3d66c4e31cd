/** Decision by the times of a trial, which are made up here. */
import t from 'tap'
import { chooseByTimes, type StepTime, timesText } from '../../src/coordinator/trial-choice.js'

const time = (backend: StepTime['backend'], ms: number, more: Partial<StepTime> = {}): StepTime => ({
  ...{ backend, ms, precision: 'f32', workers: 2 },
  ...more,
})
const bf16 = { precision: 'bf16' } as const
const one = { workers: 1 } as const

t.test('the fastest pair is chosen over the preferred one', async t => {
  const times = [time('onednn', 90), time('blas', 71), time('wasm', 194), time('onednn', 57, bf16)]
  t.equal(chooseByTimes(times, time('onednn', 0)), times[3])
  t.equal(chooseByTimes(times, time('wasm', 0)), times[3])
  t.equal(chooseByTimes(times.slice(0, 3), time('onednn', 0)), times[1])
  t.equal(chooseByTimes(times.slice(0, 1), time('wasm', 0)), times[0], 'the preferred one was not measured')
})

t.test('the preferred pair is kept where no other is more than 3 % faster', async t => {
  const onednn = time('onednn', 100)
  t.equal(chooseByTimes([onednn, time('blas', 97.1)], onednn), onednn)
  const blas = time('blas', 97)
  t.equal(chooseByTimes([onednn, blas], onednn), blas)
  t.equal(chooseByTimes([onednn, time('blas', 97.1), time('wasm', 90)], onednn).backend, 'wasm', 'not a close third')
  const rounded = time('onednn', 100, bf16)
  t.equal(chooseByTimes([rounded, time('onednn', 98)], rounded), rounded, 'precisions are pairs of their own')
})

t.test('pairs are compared by their best number of workers, and of a pair the larger number is preferred', async t => {
  const times = [time('onednn', 0.3), time('onednn', 0.1, one), time('wasm', 0.2), time('wasm', 0.15, one)]
  t.equal(chooseByTimes(times, time('wasm', 0)), times[1])
  const close = [time('wasm', 0.1), time('wasm', 0.0975, one)]
  t.equal(chooseByTimes(close, time('wasm', 0)), close[0])
  const clear = [time('wasm', 0.1), time('wasm', 0.097, one)]
  t.equal(chooseByTimes(clear, time('wasm', 0)), clear[1])
})

t.test('a preference for the pair and one for its workers together cost no more than one of them', async t => {
  const times = [time('wasm', 0.104), time('wasm', 0.1, one), time('blas', 0.098, one)]
  t.equal(chooseByTimes(times, times[0]), times[1])
  const [least, most] = [90, 110]
  for (const others of [
    [97, 95],
    [99, 97],
    [103, 101, 99, 97, 95],
  ]) {
    for (let ms = least; ms < most; ms += 0.5) {
      const all = [time('wasm', ms), ...others.map((of, i) => time(i % 2 ? 'blas' : 'wasm', of, i < 2 ? one : {}))]
      const fastest = Math.min(...all.map(each => each.ms))
      t.ok(chooseByTimes(all, time('wasm', 0)).ms <= 1.03 * fastest)
    }
  }
})

t.test('the line lists every time, the chosen pair first, and the reason for the choice', async t => {
  const times = [time('onednn', 74.26), time('blas', 71.04), time('wasm', 194.4), time('onednn', 57.11, bf16)]
  t.equal(
    timesText(times, times[3], 'measured'),
    'onednn bf16 57.1 ms a step, blas 71, onednn 74.3, wasm 194 (measured)',
  )
  const close = time('onednn', 72.26)
  t.equal(
    timesText([close, times[1]], close, 'measured before'),
    'onednn 72.3 ms a step, blas 71 (measured before; less than 3 % apart)',
  )
  const small = [time('wasm', 0.0514, one), time('wasm', 0.2)]
  t.equal(
    timesText(small, small[0], 'measured'),
    'wasm 0.0514 ms a step with 1 worker, wasm 0.2 with 2 workers (measured)',
  )
})
