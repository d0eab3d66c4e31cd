/** The matrix product of the reference backend: three plain loops. Runs on any thread. */
import type { FloatTensor } from '../../tensor/tensor.js'

/**
 * c (M, N) = a (M, K) · b (K, N), each sum in the order of k. Overwrites c, or, with `accumulate`, continues the sums
 * in c. Takes any strides, so a transposed operand is `x.transpose(1, 0)`. c must not overlap a or b.
 */
export function matmul(c: FloatTensor, a: FloatTensor, b: FloatTensor, accumulate = false): void {
  const [M, N] = c.shape
  const K = a.shape[1]
  const [aRow, aCol] = a.stride
  const [bRow, bCol] = b.stride
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = accumulate ? c.get(m, n) : 0
      for (let k = 0; k < K; k++) sum += a.data[a.offset + m * aRow + k * aCol] * b.data[b.offset + k * bRow + n * bCol]
      c.set(m, n, sum)
    }
  }
}
