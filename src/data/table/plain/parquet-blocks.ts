/**
 * One thread's part of a scan of Parquet files: claims column chunks in order, decodes them, takes their statistics, and packs their
 * values into the store that all threads share. Any thread; several share `StoredTask`.
 */
import { closeSync, openSync } from 'node:fs'
import type { PackedBlock } from '../packed.js'
import { BlockWriter } from './block-writer.js'
import { ELSEWHERE, type PlainPart, stop, Word } from './blocks.js'
import { isLeftToDuckDB, NotPlain, readAll } from './not-plain.js'
import { ColumnDecoder } from './parquet-column.js'
import type { StoredTable } from './parquet-footer.js'
import type { RowPlace } from './parse.js'
import { type MemoryUsed, Rooms, ScanMemory } from './scan-module.js'
import { TextCodes } from './text-codes.js'

export interface StoredTask extends StoredTable {
  readonly paths: readonly string[]
  readonly store: SharedArrayBuffer
  /** Words (blocks.ts); blocks are column chunks here. */
  readonly control: SharedArrayBuffer
}

/**
 * Scans until no chunk is left, and yields the rows of all threads after each. Null: the content is not plain, or another thread has
 * found that. `used`: called at the end.
 */
export function* scanStored(
  task: StoredTask,
  used: MemoryUsed = () => {},
): Generator<number, PlainPart | null, undefined> {
  const { columns, groups, chunks, paths } = task
  const control = new Int32Array(task.control)
  const store = new Uint8Array(task.store)
  const isText = columns.map(({ type }) => type === 'BYTE_ARRAY')
  const texts = isText.map(text => (text ? new TextCodes() : null))
  const firsts: RowPlace[][] = isText.map(() => [])
  const nan = new Float64Array(columns.length)
  const blocks = new Map<number, PackedBlock>()
  const mostRows = largest(groups)
  const bytes = new Uint8Array(largest(chunks.map(chunk => chunk.bytes)))
  const decoder = new ColumnDecoder()
  const rooms = new Rooms()
  const values = rooms.take(8 * mostRows)
  const writer = new BlockWriter(isText, mostRows, 1, rooms)
  const memory = new ScanMemory(rooms)
  writer.use(memory)
  decoder.numbers = memory.floats.subarray(values / 8, values / 8 + mostRows)
  const handles = new Map<number, number>()
  try {
    for (;;) {
      if (Atomics.load(control, Word.stop) !== 0) return null
      const next = Atomics.add(control, Word.nextBlock, 1)
      if (next >= chunks.length) break
      const chunk = chunks[next]
      const { file, group, column, rows } = chunk
      const handle = handles.get(file) ?? openSync(paths[file], 'r')
      handles.set(file, handle)
      readAll(handle, bytes, chunk.bytes, chunk.from)
      const form = { ...columns[column], rows, codec: chunk.codec }
      decoder.decode(bytes.subarray(0, chunk.bytes), form, texts[column], row =>
        firsts[column].push({ block: group, row }),
      )
      writer.begin()
      if (isText[column]) writer.addCodes(column, decoder.codes.subarray(0, rows))
      else {
        const missing = memory.call.count_nan(values, rows)
        if (missing < 0) throw new NotPlain() // infinite: its first row is asked for
        nan[column] += missing - decoder.absent
        writer.addNumbers(column, values, rows)
      }
      const place = 8 * Atomics.add(control, Word.used, writer.bytes / 8)
      if (place + writer.bytes > store.length) throw new NotPlain()
      store.set(writer.content, place)
      let block = blocks.get(group)
      if (block === undefined) {
        const offsets = new Float64Array(columns.length).fill(ELSEWHERE)
        block = { rows, buffer: task.store, offsets, packings: new Uint8Array(columns.length) }
        blocks.set(group, block)
      }
      block.offsets[column] = place + writer.offsets[column]
      block.packings[column] = writer.packings[column]
      yield Math.floor(Atomics.add(control, Word.rows, rows) / columns.length)
    }
  } catch (error) {
    stop(control)
    if (isLeftToDuckDB(error)) return null
    throw error
  } finally {
    for (const handle of handles.values()) closeSync(handle)
  }
  const part: PlainPart = {
    ...{ lf: 0, crlf: 0, misfits: new Uint8Array(columns.length), padded: new Uint8Array(columns.length) },
    missing: isText.map((_, column) => ({ nan: nan[column], others: 0, first: null })),
    blocks: [...blocks].map(([block, packed]) => ({ block, packed })),
    numbers: writer.numbers(),
    texts: texts.map((each, column) => each && { texts: each.texts, counts: each.counts, firsts: firsts[column] }),
  }
  used(memory)
  return part
}

const largest = (numbers: readonly number[]): number => numbers.reduce((most, each) => Math.max(most, each), 0)
