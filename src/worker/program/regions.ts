/**
 * Blocks of tensors as runs of 4-byte words of the arena, whichever layout a backend has: what exchanges with other ranks copy. Pure but
 * for `copyRuns`; runs in workers.
 */
import { byteOffsetOf } from '../../tensor/tensor.js'
import type { Region } from './stage.js'

const WORD_BYTES = 4
/** Length from which a copy by the engine is faster than a loop. */
const SHORT_RUN = 24

/** `count` runs of `length` words, `stride` words apart: four numbers each, one after another. */
export type Runs = number[]

/** Appends the runs of a region; returns their words. Rows that a region has whole, it has with their padding. */
export function addRuns(runs: Runs, { tensor, row, rows, start, end }: Region): number {
  const { shape } = tensor
  const unit = tensor.data.BYTES_PER_ELEMENT / WORD_BYTES
  const at = byteOffsetOf(tensor) / WORD_BYTES
  const add = (from: number, length: number, stride: number, count: number): number => {
    if (length === 0 || count === 0) return 0
    if (length === stride) runs.push(at + from * unit, length * count * unit, 0, 1)
    else runs.push(at + from * unit, length * unit, stride * unit, count)
    return length * count * unit
  }
  if (shape.length === 1) return add(start, end - start, end - start, 1)
  if (shape.length === 2) {
    const [, stride] = shape
    return add(row * stride + start, end - start, stride, rows)
  }
  const [, height, width] = shape
  let words = 0
  for (let panel = Math.floor(start / width); panel * width < end; panel++) {
    const from = Math.max(start, panel * width) - panel * width
    const to = Math.min(end, (panel + 1) * width) - panel * width
    words += add((panel * height + row) * width + from, to - from, width, rows)
  }
  return words
}

/** Copies a region to another of as many words, in the same order. */
export function copyRegion(arena: Int32Array, from: Region, to: Region): void {
  const [source, target]: Runs[] = [[], []]
  const values = new Int32Array(addRuns(source, from))
  if (addRuns(target, to) !== values.length) throw new RangeError('regions: not of one size')
  let done = 0
  eachRun(source, (at, length) => {
    values.set(arena.subarray(at, at + length), done)
    done += length
  })
  done = 0
  eachRun(target, (at, length) => {
    arena.set(values.subarray(done, done + length), at)
    done += length
  })
}

function eachRun(runs: Runs, visit: (at: number, length: number) => void): void {
  for (let r = 0; r < runs.length; r += 4) {
    for (let i = 0; i < runs[r + 3]; i++) visit(runs[r] + i * runs[r + 2], runs[r + 1])
  }
}

/** Copies runs to the words from `at` on, or, if `back`, from there to the runs. */
export function copyRuns(arena: Int32Array, runs: Runs, at: number, back: boolean): void {
  let to = at
  for (let r = 0; r < runs.length; r += 4) {
    const [first, length, stride, count] = [runs[r], runs[r + 1], runs[r + 2], runs[r + 3]]
    for (let i = 0, from = first; i < count; i++, from += stride, to += length) {
      if (length < SHORT_RUN) {
        if (back) for (let k = 0; k < length; k++) arena[from + k] = arena[to + k]
        else for (let k = 0; k < length; k++) arena[to + k] = arena[from + k]
      } else if (back) arena.copyWithin(from, to, to + length)
      else arena.copyWithin(to, from, from + length)
    }
  }
}
