/** Facts of the threads of a scan as those of one pass over all rows. Main thread; rewrites the codes of texts in the store. */

import type { Scan, ScannedColumn } from '../duckdb/scan.js'
import type { RowSource } from '../duckdb/source.js'
import { type PackedBlock, PackedRows } from '../packed.js'
import { TextStats } from '../profile.js'
import { Meanings } from '../text/reading.js'
import { ELSEWHERE, type PlainPart } from './blocks.js'
import { merger } from './number-facts.js'
import type { PlainForm, RowPlace } from './parse.js'

/** Facts of all threads, put together as those of one pass. */
export class Merging {
  /** Blocks in order, and rows before each. */
  readonly #blocks: readonly PackedBlock[]
  readonly #starts: number[] = []
  readonly #merge: ReturnType<typeof merger>

  constructor(
    readonly form: Pick<PlainForm, 'decimal' | 'isText'>,
    readonly source: RowSource,
    readonly parts: readonly PlainPart[],
    readonly rows: number,
  ) {
    this.#merge = merger()
    const blocks: PackedBlock[] = []
    for (const part of parts) {
      for (const { block, packed } of part.blocks)
        blocks[block] = blocks[block] ? joined(blocks[block], packed) : packed
    }
    this.#blocks = blocks
    let start = 0
    for (const { rows } of blocks) {
      this.#starts.push(start)
      start += rows
    }
  }

  scan(): Scan {
    const dictionaries: (readonly string[] | null)[] = []
    const columns = this.form.isText.map((isText, index) => {
      if (!isText) {
        dictionaries.push(null)
        return this.#numbers(index)
      }
      const { column, dictionary } = this.#texts(index)
      dictionaries.push(dictionary)
      return column
    })
    return { rows: this.rows, columns, kept: new PackedRows(this.#blocks, dictionaries) }
  }

  #rowOf({ block, row }: RowPlace): number {
    return this.#starts[block] + row
  }

  #numbers(index: number): ScannedColumn {
    const numbers = this.#merge(this.parts.map(part => part.numbers[index]!))
    let [nan, others] = [0, 0]
    let first: { readonly row: number; readonly text: string } | null = null
    for (const part of this.parts) {
      const missing = part.missing[index]
      nan += missing.nan
      others += missing.others
      if (missing.first === null) continue
      const row = this.#rowOf(missing.first)
      if (first === null || row < first.row) first = { row, text: missing.first.text }
    }
    const isPadded = this.parts.some(part => part.padded[index] > 0)
    if (first === null || others === 0) return { index, numbers, nan, isPadded, texts: null, meanings: null }
    // A column with NA and the like would be one of texts that are numbers.
    const meanings = new Meanings(this.form.decimal)
    meanings.numbers = this.rows - numbers.missing
    meanings.missing = nan + others
    meanings.fields = meanings.numbers + meanings.missing
    meanings.firstMissing = first
    return { index, numbers, nan: 0, isPadded, texts: null, meanings }
  }

  /** Gives all threads' texts one dictionary, in the order in which they first occur; rewrites the codes. */
  #texts(index: number): { column: ScannedColumn; dictionary: readonly string[] } {
    const { source, form } = this
    const all = new Map<string, { count: number; row: number }>()
    for (const part of this.parts) {
      const { texts, counts, firsts } = part.texts[index]!
      texts.forEach((text, code) => {
        const row = this.#rowOf(firsts[code])
        const known = all.get(text)
        if (known === undefined) all.set(text, { count: counts[code], row })
        else {
          known.count += counts[code]
          known.row = Math.min(known.row, row)
        }
      })
    }
    const ordered = [...all].sort(([, a], [, b]) => a.row - b.row)
    const codeOf = new Map(ordered.map(([text], code) => [text, code]))
    for (const part of this.parts) {
      const map = Int32Array.from(part.texts[index]!.texts, text => codeOf.get(text)!)
      for (const { packed } of part.blocks) {
        if (packed.offsets[index] === ELSEWHERE) continue
        const codes = new Int32Array(packed.buffer, packed.offsets[index], packed.rows)
        for (let row = 0; row < codes.length; row++) if (codes[row] >= 0) codes[row] = map[codes[row]]
      }
    }
    const texts = new TextStats()
    texts.rows = this.rows
    const meanings = source.columns[index].decides ? new Meanings(form.decimal) : null
    let present = 0
    for (const [text, { count, row }] of ordered) {
      texts.see(text)
      present += count
      meanings?.add(text, count, row)
    }
    texts.missing = this.rows - present
    return { column: { index, numbers: null, nan: 0, texts, meanings }, dictionary: ordered.map(([text]) => text) }
  }
}

/** One block of the columns that two threads have packed. */
function joined(first: PackedBlock, second: PackedBlock): PackedBlock {
  const [offsets, packings] = [first.offsets.slice(), first.packings.slice()]
  for (const [column, offset] of second.offsets.entries()) {
    if (offset === ELSEWHERE) continue
    offsets[column] = offset
    packings[column] = second.packings[column]
  }
  return { ...first, offsets, packings }
}
