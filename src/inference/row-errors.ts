/** Errors of a regression sample by sample. Pure; any thread. `N` samples, `K` targets. */

export interface RegressionAnswers {
  readonly targets: Float32Array // (N, K)
  readonly predicted: Float32Array // (N, K)
  /** 1 / standard deviation in the training samples; 0 for a target that is constant in them. */
  readonly factor: readonly number[] // (K)
}

export interface RowError {
  readonly index: number
  /** Mean over the targets of the squared error, in standard deviations of the training samples. */
  readonly squaredError: number
}

/** All samples, those with the largest errors first, by index among equals. */
export function rowsByError({ targets, predicted, factor }: RegressionAnswers): RowError[] {
  const count = factor.length
  const squaredError = (row: number) => {
    let sum = 0
    for (let k = 0; k < count; k++) {
      const at = row * count + k
      // A target that was constant in training has no standard deviation: it counts in its own unit.
      sum += ((predicted[at] - targets[at]) * (factor[k] || 1)) ** 2
    }
    return sum / count
  }
  return Array.from({ length: targets.length / count }, (_, index) => ({
    index,
    squaredError: squaredError(index),
  })).sort((a, b) => b.squaredError - a.squaredError || a.index - b.index)
}
