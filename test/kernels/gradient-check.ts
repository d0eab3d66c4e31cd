/** Central differences against analytic gradients, number by number. For tests. */
import { eachCell, type Region } from './lab.js'

/** The five-point difference: its error shrinks with the fourth power of the width, so the width can be large. */
const WIDTH = 1e-3

export class GradientCheck {
  /** Numbers compared, of them zero on both sides, and the largest relative error. */
  count = 0
  zeros = 0
  worst = 0

  /** d objective / d x for every x of a region, against what a kernel says it is, row by row. */
  compare(objective: () => number, region: Region, gradient: ArrayLike<number>): void {
    const { data } = region.sheet.tensor
    let n = 0
    eachCell(region, index => {
      const x = data[index]
      const at = (distance: number) => {
        data[index] = x + distance * WIDTH
        return objective()
      }
      const slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * WIDTH)
      data[index] = x
      const largest = Math.max(Math.abs(slope), Math.abs(gradient[n]))
      if (largest === 0) this.zeros++
      else this.worst = Math.max(this.worst, Math.abs(slope - gradient[n]) / largest)
      this.count++
      n++
    })
  }
}
