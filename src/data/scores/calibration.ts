/** Calibration of predictions: how far confidences are from the share that is right. Pure; any thread. `N` predictions. */

export interface CalibrationBin {
  /** Bin of confidences in [from, to); the last bin includes 1. */
  readonly from: number
  readonly to: number
  readonly images: number
  /** Means over the bin; null where the bin is empty. */
  readonly confidence: number | null
  readonly accuracy: number | null
}

export interface Calibration {
  readonly bins: readonly CalibrationBin[]
  /** Expected calibration error: the mean gap between confidence and accuracy, weighted by images; and the largest gap. */
  readonly expectedError: number
  readonly largestError: number
  readonly meanConfidence: number
}

/** Number of bins of Guo et al., "On Calibration of Modern Neural Networks", 2017. */
const BINS = 15

/** Needs at least one prediction. */
export function calibrationOf(
  confidence: Float32Array, // (N), from 0 to 1
  isRight: (row: number) => boolean,
): Calibration {
  const sums = Array.from({ length: BINS }, () => ({ images: 0, confidence: 0, right: 0 }))
  let total = 0
  for (let i = 0; i < confidence.length; i++) {
    const sure = confidence[i]
    const bin = sums[Math.min(BINS - 1, Math.floor(sure * BINS))]
    bin.images++
    bin.confidence += sure
    total += sure
    if (isRight(i)) bin.right++
  }
  const bins = sums.map(({ images, confidence, right }, i) => ({
    ...{ from: i / BINS, to: (i + 1) / BINS, images },
    confidence: images > 0 ? confidence / images : null,
    accuracy: images > 0 ? right / images : null,
  }))
  const gaps = bins.map(({ images, confidence, accuracy }) => ({
    images,
    gap: Math.abs((confidence ?? 0) - (accuracy ?? 0)),
  }))
  return {
    bins,
    expectedError: gaps.reduce((sum, { images, gap }) => sum + images * gap, 0) / confidence.length,
    largestError: Math.max(...gaps.map(({ gap }) => gap)),
    meanConfidence: total / confidence.length,
  }
}
