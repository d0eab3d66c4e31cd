/**
 * Scores of a ranking: area under the ROC curve, and average precision, as scikit-learn's `roc_auc_score` and
 * `average_precision_score` define them. Rows of the same score are one threshold. Pure; any thread.
 */

export interface RankingScores {
  /** Probability that a positive row has a higher score than a negative one; equal scores count half. */
  readonly rocAuc: number
  /** Σ (recall at a threshold - recall at the one above) x precision at the threshold, from the highest one down. */
  readonly averagePrecision: number
}

/** Scores of positive and of negative rows, in any order; sorts both in place. null if there are none of either. */
export function rankingScores(positive: Float32Array, negative: Float32Array): RankingScores | null {
  if (positive.length === 0 || negative.length === 0) return null
  positive.sort()
  negative.sort()
  let [p, n] = [positive.length, negative.length] // rows below the threshold
  let pairs = 0 // twice the number of pairs in order: exact up to 2^53
  let precision = 0
  while (p > 0) {
    const threshold = n > 0 && negative[n - 1] > positive[p - 1] ? negative[n - 1] : positive[p - 1]
    const [above, before] = [p, n]
    while (p > 0 && positive[p - 1] >= threshold) p--
    while (n > 0 && negative[n - 1] >= threshold) n--
    const [hits, tied] = [above - p, before - n]
    pairs += hits * (2 * n + tied)
    const found = positive.length - p
    if (hits > 0) precision += hits * (found / (found + negative.length - n))
  }
  return {
    rocAuc: pairs / (2 * positive.length * negative.length),
    averagePrecision: precision / positive.length,
  }
}
