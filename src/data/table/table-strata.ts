/**
 * Classes of a table's rows, of which splits take equal parts: what data/split.ts does, by plain/assembly/split.ts, because on a large
 * table its few loops are over before they are compiled. Pure; any thread.
 */
import { keyOf, Purpose } from '../../tensor/random.js'
import type { Strata } from '../split.js'
import { Rooms, ScanMemory } from './plain/scan-module.js'

/** `rows`: of the table, ascending; `labels`: the class of each row of the table, below `classes`. */
export function tableStrata(rows: Uint32Array, labels: Int32Array, classes: number): Strata {
  const n = rows.length
  const rooms = new Rooms()
  const at = {
    ...{
      rows: rooms.take(4 * n),
      labels: rooms.take(4 * labels.length),
      order: rooms.take(4 * n),
      flags: rooms.take(n),
    },
    ...{ sizes: rooms.take(4 * classes), wanted: rooms.take(4 * classes), begins: rooms.take(4 * classes) },
    // Each is written one further than it has rows.
    ...{ words: rooms.take(32), first: rooms.take(4 * n), second: rooms.take(4 * n) },
  }
  const memory = new ScanMemory(rooms)
  const { call, ints } = memory
  ints.set(rows, at.rows / 4)
  ints.set(labels, at.labels / 4)
  call.count_labels(at.rows, n, at.labels, at.sizes, classes)
  const listOf = (from: number, count: number) => new Uint32Array(ints.buffer.slice(from, from + 4 * count))
  return {
    sizes: [...ints.subarray(at.sizes / 4, at.sizes / 4 + classes)],
    rows: n,
    divide(wanted, seed) {
      ints.set(wanted, at.wanted / 4)
      const key = keyOf(seed, Purpose.split)
      const places = [at.order, at.flags, at.begins, at.words] as const
      call.divide(at.rows, n, at.labels, at.sizes, at.wanted, classes, ...places, ...key, at.first, at.second)
      const count = wanted.reduce((sum, each) => sum + each, 0)
      const divided = { train: listOf(at.first, n - count), validation: listOf(at.second, count) }
      memory.release()
      return divided
    },
  }
}
