/** Softmax with cross-entropy, and the mean squared error, row by row, in float64. Runs in workers; changes logits, losses and hits of its rows. */
import ndarray from 'ndarray'
import ops from 'ndarray-ops'
import type { FloatTensor } from '../../tensor/tensor.js'
import type { Kernels } from '../backend.js'
import { checkSoftmaxLoss, checkTargetLoss } from '../shapes.js'
import { allFinite } from './activation.js'

export function softmaxLoss(args: Parameters<Kernels['softmaxLoss']>[0]): ReturnType<Kernels['softmaxLoss']> {
  const { z, bias, labels, samples, losses, correct, smoothing, weights, mixed } = args
  checkSoftmaxLoss(args)
  return (row, rows, deltaScale) => {
    let finite = true
    const share = deltaScale > 0 ? smoothing / z.cols : 0 // target of every class
    const rest = deltaScale > 0 ? 1 - smoothing : 1 //       added for the label
    for (let r = row; r < row + rows; r++) {
      const label = labels.get(samples.get(r))
      const p: FloatTensor = z.tensor.pick(r, null).hi(z.cols) // (C): logits, then softmax, then deltas
      ops.addeq(p, bias.master)
      correct.set(r, Number(firstLargest(p) === label))

      // softmax(x) = softmax(x - max x), in which no exponential overflows.
      ops.subseq(p, ops.sup(p))
      const own = deltaScale > 0 && mixed ? mixed.shares[r] * rest : rest
      const other = mixed ? labels.get(mixed.partners[r]) : label
      const target = own * p.get(label) + (rest - own) * p.get(other) + share * ops.sum(p)
      ops.expeq(p)
      const sum = ops.sum(p)
      const weight = deltaScale > 0 && weights ? weights.get(samples.get(r)) : 1
      const loss = (Math.log(sum) - target) * weight
      losses.set(r, loss)
      ops.divseq(p, sum)

      if (deltaScale > 0) {
        ops.subseq(p, share)
        p.set(label, p.get(label) - own)
        p.set(other, p.get(other) - (rest - own))
        ops.mulseq(p, deltaScale * weight)
      }
      finite &&= Number.isFinite(loss) && allFinite(p)
    }
    return finite
  }
}

export function squaredLoss(args: Parameters<Kernels['squaredLoss']>[0]): ReturnType<Kernels['squaredLoss']> {
  const { z, bias, targets, samples, losses, correct, weights } = args
  checkTargetLoss('squaredLoss', args)
  return (row, rows, deltaScale) => {
    let finite = true
    for (let r = row; r < row + rows; r++) {
      const target: FloatTensor = targets.pick(samples.get(r), null) // (C)
      const y: FloatTensor = z.tensor.pick(r, null).hi(z.cols) // (C): outputs, then deltas
      ops.addeq(y, bias.master)
      correct.set(r, Number(firstLargest(y) === firstLargest(target)))
      const difference = ndarray(new Float64Array(z.cols)) // (C)
      ops.sub(difference, y, target)
      const weight = deltaScale > 0 && weights ? weights.get(samples.get(r)) : 1
      const loss = (ops.norm2squared(difference) / z.cols) * weight
      losses.set(r, loss)
      if (deltaScale > 0) ops.muls(y, difference, (2 / z.cols) * deltaScale * weight)
      finite &&= Number.isFinite(loss)
    }
    return finite
  }
}

export function sigmoidLoss(args: Parameters<Kernels['sigmoidLoss']>[0]): ReturnType<Kernels['sigmoidLoss']> {
  const { z, bias, targets, samples, losses, correct, weights } = args
  checkTargetLoss('sigmoidLoss', args)
  return (row, rows, deltaScale) => {
    let finite = true
    for (let r = row; r < row + rows; r++) {
      const weight = deltaScale > 0 && weights ? weights.get(samples.get(r)) : 1
      const y: FloatTensor = z.tensor.pick(r, null).hi(z.cols) // (C): logits, then probabilities, then deltas
      ops.addeq(y, bias.master)
      let [sum, right] = [0, 0]
      for (let c = 0; c < z.cols; c++) {
        const [logit, target] = [y.get(c), targets.get(samples.get(r), c)]
        // -log of the probability of the target: no exponential overflows.
        sum += Math.max(logit, 0) - logit * target + Math.log1p(Math.exp(-Math.abs(logit)))
        const [probability, other] = [sigmoid(logit), sigmoid(-logit)]
        right += Number(probability > 0.5 === target > 0.5)
        // probability - target, without the difference of numbers that are nearly equal.
        const delta = (1 - target) * probability - target * other
        y.set(c, deltaScale > 0 ? (delta / z.cols) * deltaScale * weight : probability)
      }
      const loss = (sum / z.cols) * weight
      losses.set(r, loss)
      correct.set(r, right)
      finite &&= Number.isFinite(loss)
    }
    return finite
  }
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

function firstLargest(x: FloatTensor): number {
  let best = 0
  for (let i = 1; i < x.shape[0]; i++) if (x.get(i) > x.get(best)) best = i
  return best
}
