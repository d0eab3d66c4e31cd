/** Labels of two samples in the place of one, around the kernel of the loss, which knows a single one. Runs in workers. */
import { byteOffsetOf } from '../../tensor/tensor.js'
import type { Kernels } from '../backend.js'
import type { PartOf } from './part.js'

const LANES = 4
const BYTES = 4

/**
 * Changes what the kernel of softmaxLoss computes with the label of a row to the mixture of two: (1 - share) of it moves to the partner's.
 * `before` reads logits; `after` changes losses and deltas. undefined: nothing is mixed.
 */
export function bindMixed(
  partOfZ: ReturnType<PartOf>,
  { z, bias, labels, samples, losses, smoothing, mixed }: Parameters<Kernels['softmaxLoss']>[0],
) {
  if (!mixed) return undefined
  const { partners, shares } = mixed
  const floats = new Float32Array(z.tensor.data.buffer)
  const biasAt = byteOffsetOf(bias.master) / BYTES
  const [label, sample] = [labels, samples].map(
    ({ data, offset }) =>
      (i: number) =>
        data[offset + i],
  )
  /** Logit of each row's label less that of its partner's. (B) */
  const differences = new Float64Array(shares.length)

  /** Index of a logit in all floats. */
  const cellOf = (row: number) => {
    const {
      place: [at, panel, rowBytes],
      vectors,
    } = partOfZ(row)
    const width = vectors * LANES
    return (r: number, c: number) => (at + (r - row) * rowBytes + Math.floor(c / width) * panel) / BYTES + (c % width)
  }
  const pairOf = (row: number): readonly [number, number] => [label(sample(row)), label(partners[row])]
  const isMixed = (row: number, [own, other]: readonly [number, number]) => shares[row] < 1 && own !== other

  return {
    before(row: number, rows: number): void {
      const at = cellOf(row)
      const logit = (r: number, c: number) => Math.fround(floats[at(r, c)] + floats[biasAt + c])
      for (let r = row; r < row + rows; r++) {
        const pair = pairOf(r)
        if (isMixed(r, pair)) differences[r] = logit(r, pair[0]) - logit(r, pair[1])
      }
    },
    after(row: number, rows: number, deltaScale: number): void {
      const at = cellOf(row)
      for (let r = row; r < row + rows; r++) {
        const pair = pairOf(r)
        if (!isMixed(r, pair)) continue
        const moved = (1 - smoothing) * (1 - shares[r])
        losses.set(r, losses.get(r) + moved * differences[r])
        floats[at(r, pair[0])] += moved * deltaScale
        floats[at(r, pair[1])] -= moved * deltaScale
      }
    },
  }
}
