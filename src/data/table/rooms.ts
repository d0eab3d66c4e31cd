/**
 * Memory of columns that is used for one after the other: the first write to a page of memory takes longer than most of what is done
 * with it. Pure; any thread.
 */

/** Arrays by place; what was there is overwritten. */
export class Rooms {
  readonly #numbers: Float64Array[] = []
  readonly #codes: Int32Array[] = []

  numbers(place: number, rows: number): Float64Array {
    if (!(this.#numbers[place]?.length >= rows)) this.#numbers[place] = new Float64Array(rows)
    return this.#numbers[place].subarray(0, rows)
  }

  codes(place: number, rows: number): Int32Array {
    if (!(this.#codes[place]?.length >= rows)) this.#codes[place] = new Int32Array(rows)
    return this.#codes[place].subarray(0, rows)
  }
}
