/**
 * Lists of the calls of one product that skips zeros, for the operands with which it was multiplied before. Any thread; a list
 * belongs to its thread's block.
 */
import type { ArgumentBlock, BoundKernel } from './argument-block.js'

/** Counts the numbers of a part of a that are not zero; a product with more than `most` in any is left to the library. */
export interface Look {
  readonly count: (a: number) => number
  readonly most: number
}

/** Calls of a product for operands at these offsets. */
interface Listed {
  readonly a: number
  readonly b: number
  readonly c: number
  /** Counts of looks, where they decide anything. */
  readonly counts: readonly BoundKernel[]
  readonly multiply: BoundKernel
}

/** Operands of one product that are listed, at most: blocks or tiles of a layer are no more. */
const MOST_LISTED = 32

/** Lists of a product by its operands: a task has the same ones in every step. */
export function openLists(
  { record }: ArgumentBlock,
  looks: readonly Look[],
  multiplyAll: (a: number, b: number, c: number) => void,
) {
  const decides = looks.some(({ most }) => most < Number.POSITIVE_INFINITY)
  const all: Listed[] = []
  let [next, isFull] = [0, false]
  return {
    /** Begins behind the one that was found last, as the tasks of a step follow each other. */
    find(a: number, b: number, c: number): Listed | null {
      for (let i = 0; i < all.length; i++) {
        if (next >= all.length) next = 0
        const listed = all[next++]
        if (listed.a === a && listed.b === b && listed.c === c) return listed
      }
      return null
    },
    add(a: number, b: number, c: number): void {
      if (isFull) return
      const counts = (decides ? looks : []).map(({ count }) => record(() => void count(a)))
      const multiply = record(() => {
        if (!decides) for (const { count } of looks) count(a)
        multiplyAll(a, b, c)
      })
      const isWhole = multiply !== null && counts.every(count => count !== null)
      if (isWhole) all.push({ a, b, c, counts, multiply })
      isFull = !isWhole || all.length === MOST_LISTED
    },
  }
}
