/**
 * Facts of columns of numbers, taken by assembly/facts.ts in a thread's memory, and those of all threads put together. Any thread.
 */
import { type NumberFacts, shownDistinct } from '../profile.js'
import { Rooms, ScanMemory } from './scan-module.js'

/** Facts of a column in the rows of one thread; none of its values is infinite. */
export interface PackedNumbers {
  readonly rows: number
  readonly missing: number
  readonly min: number
  readonly max: number
  readonly isInteger: boolean
  /** Bits that no hash of a kept value has. */
  readonly mask: number
  /** Distinct values that are kept, in any order. */
  readonly kept: Float64Array
}

const STATE_BYTES = 48
const SLOTS = 2 ** 14
const TABLE_BYTES = 8 * SLOTS
const SMALLEST = 6
/** Index of the mask and of the logarithm of the slots, among the 32-bit words of a state. */
const MASK = 8
const USED = 10
const KEPT = 9

/** Columns whose tables fit into the memory of a module; a table has pages only where it is written. */
export const MOST_COLUMNS = 10_000

/** States and tables of columns in a thread's memory. */
export class FactTables {
  readonly #states: number
  readonly #tables: number
  readonly #spare: number
  readonly #rows: Float64Array
  #memory: ScanMemory | null = null

  /** Takes its parts of the memory, which `use` then gives it. */
  constructor(
    readonly columns: number,
    rooms: Rooms,
  ) {
    this.#states = rooms.take(STATE_BYTES * columns)
    this.#spare = rooms.take(TABLE_BYTES)
    this.#tables = rooms.take(TABLE_BYTES * columns)
    this.#rows = new Float64Array(columns)
  }

  use(memory: ScanMemory): void {
    this.#memory = memory
    for (let column = 0; column < this.columns; column++) this.reset(column)
  }

  /** Facts of no rows, for a column whose table has nothing or what is to be forgotten. */
  reset(column: number): void {
    const { floats, ints, bytes } = this.#memory!
    const state = this.#stateOf(column)
    const table = this.#tableOf(column)
    const used = ints[state / 4 + USED]
    if (used > 0) bytes.fill(0, table, table + 8 * 2 ** used)
    floats.set([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0], state / 8)
    ints[state / 4 + USED] = SMALLEST
    this.#rows[column] = 0
  }

  /** Adds the rows of a column whose values lie at `at` in the memory. */
  look(column: number, at: number, rows: number): void {
    this.#rows[column] += rows
    this.#memory!.call.look(at, rows, this.#stateOf(column), this.#tableOf(column), this.#spare)
  }

  /** Adds the facts of other rows. */
  merge(column: number, { rows, missing, min, max, isInteger, mask, kept }: PackedNumbers): void {
    const { call, floats } = this.#memory!
    const state = this.#stateOf(column)
    const at = state / 8
    floats[at] = Math.min(floats[at], min)
    floats[at + 1] = Math.max(floats[at + 1], max)
    floats[at + 2] += missing
    if (!isInteger) floats[at + 3] = 1
    this.#rows[column] += rows
    // The spare slots are used when the table is made anew: values come in parts of another table's room.
    floats.set(kept, this.#tables / 8 + SLOTS)
    call.absorb(this.#tables + TABLE_BYTES, kept.length, mask, state, this.#tableOf(column), this.#spare)
  }

  pack(column: number): PackedNumbers {
    const { call, floats, ints } = this.#memory!
    const state = this.#stateOf(column)
    const count = call.take(state, this.#tableOf(column), this.#spare)
    return {
      ...this.#facts(column),
      mask: ints[state / 4 + MASK],
      kept: floats.slice(this.#spare / 8, this.#spare / 8 + count),
    }
  }

  facts(column: number): NumberFacts {
    const { ints } = this.#memory!
    const word = this.#stateOf(column) / 4
    const facts = this.#facts(column)
    return { ...facts, firstInfinite: -1, distinct: shownDistinct(ints[word + KEPT], ints[word + MASK], facts) }
  }

  #facts(column: number) {
    const [min, max, missing, fraction] = this.#memory!.floats.subarray(this.#stateOf(column) / 8)
    return { rows: this.#rows[column], missing, min, max, isInteger: fraction === 0 }
  }

  #stateOf(column: number): number {
    return this.#states + STATE_BYTES * column
  }

  #tableOf(column: number): number {
    return this.#tables + TABLE_BYTES * column
  }
}

/** Puts the facts of the threads' rows together, column by column. */
export function merger(): (parts: readonly PackedNumbers[]) => NumberFacts {
  const rooms = new Rooms()
  // The second table is room for values.
  const tables = new FactTables(2, rooms)
  tables.use(new ScanMemory(rooms))
  return parts => {
    tables.reset(0)
    for (const part of parts) tables.merge(0, part)
    return tables.facts(0)
  }
}
