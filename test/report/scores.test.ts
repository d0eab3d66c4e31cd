/** Scores of a classifier, against numbers worked out by hand. */
import t from 'tap'
import { scoresOf } from '../../src/report/scores.js'

const scores = scoresOf({
  classNames: ['a', 'b', 'c'],
  labels: Int32Array.of(0, 0, 0, 0, 1, 1, 1, 1),
  predicted: Int32Array.of(0, 0, 0, 1, 1, 1, 0, 0),
  confidence: Float32Array.of(1, 1, 0.5, 0.5, 0.75, 0.75, 0.75, 0.75),
})
const near = (value: number, wanted: number) => Math.abs(value - wanted) < 1e-12

t.test('confusion matrix, precision, recall, F1, means; a class that never comes has no scores', async t => {
  t.strictSame(scores.confusion, [
    [3, 1, 0],
    [2, 2, 0],
    [0, 0, 0],
  ])
  const [a, b, c] = scores.classes
  t.match(a, { support: 4, predicted: 5, right: 3, precision: 3 / 5, recall: 3 / 4, f1: 6 / 9 })
  t.match(b, { support: 4, predicted: 3, right: 2, precision: 2 / 3, recall: 2 / 4, f1: 4 / 7 })
  t.match(c, { support: 0, predicted: 0, precision: null, recall: null, f1: null })
  t.ok(near(scores.macro.precision, (3 / 5 + 2 / 3) / 2), 'c is left out')
  t.ok(near(scores.weighted.f1, (6 / 9 + 4 / 7) / 2))
  t.strictSame(scores.confusions, [
    { truth: 1, predicted: 0, images: 2 },
    { truth: 0, predicted: 1, images: 1 },
  ])
})

t.test('accuracy with the interval of Wilson', async t => {
  t.equal(scores.accuracy, 5 / 8)
  // R: prop.test(5, 8, correct = FALSE)
  t.ok(Math.abs(scores.interval[0] - 0.3057423) < 1e-6)
  t.ok(Math.abs(scores.interval[1] - 0.8631549) < 1e-6)
})

t.test('calibration: 15 bins, gaps weighted by images', async t => {
  const { bins, expectedError, largestError, meanConfidence } = scores.calibration
  t.equal(bins.length, 15)
  const filled = bins.filter(({ images }) => images > 0)
  t.match(filled, [
    { images: 2, confidence: 0.5, accuracy: 0.5 },
    { images: 4, confidence: 0.75, accuracy: 0.5 },
    { images: 2, confidence: 1, accuracy: 1 },
  ])
  t.equal(filled[2].to, 1, 'a confidence of 1 is in the last one')
  t.equal(expectedError, (4 * 0.25) / 8)
  t.equal(largestError, 0.25)
  t.equal(meanConfidence, 6 / 8)
})
