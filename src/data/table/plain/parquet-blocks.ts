/**
 * One thread's part of a scan of Parquet files: claims column chunks in order, decodes them, takes their statistics, and packs their
 * values into the store that all threads share. Any thread; several share `StoredTask`.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { BlockPacker, type PackedBlock } from '../packed.js'
import { NumberStats } from '../profile.js'
import { ELSEWHERE, isSystemError, type PlainPart, stop, Word } from './blocks.js'
import { NotPlain } from './not-plain.js'
import { ColumnDecoder } from './parquet-column.js'
import type { StoredTable } from './parquet-footer.js'
import type { RowPlace } from './parse.js'
import { TextCodes } from './text-codes.js'

export interface StoredTask extends StoredTable {
  readonly paths: readonly string[]
  readonly store: SharedArrayBuffer
  /** Words (blocks.ts); blocks are column chunks here. */
  readonly control: SharedArrayBuffer
}

/**
 * Scans until no chunk is left, and yields the rows of all threads after each. Null: the content is not plain, or another thread has
 * found that.
 */
export function* scanStored(task: StoredTask): Generator<number, PlainPart | null, undefined> {
  const { columns, groups, chunks, paths } = task
  const control = new Int32Array(task.control)
  const store = new Uint8Array(task.store)
  const isText = columns.map(({ type }) => type === 'BYTE_ARRAY')
  const stats = isText.map(text => (text ? null : new NumberStats()))
  const texts = isText.map(text => (text ? new TextCodes() : null))
  const firsts: RowPlace[][] = isText.map(() => [])
  const nan = new Float64Array(columns.length)
  const blocks = new Map<number, PackedBlock>()
  const decoder = new ColumnDecoder()
  const packer = new BlockPacker(columns.length, Math.max(...groups), 1)
  const handles = new Map<number, number>()
  let bytes = new Uint8Array(0)
  try {
    for (;;) {
      if (Atomics.load(control, Word.stop) !== 0) return null
      const next = Atomics.add(control, Word.nextBlock, 1)
      if (next >= chunks.length) break
      const chunk = chunks[next]
      const { file, group, column, rows } = chunk
      if (bytes.length < chunk.bytes) bytes = new Uint8Array(chunk.bytes)
      const handle = handles.get(file) ?? openSync(paths[file], 'r')
      handles.set(file, handle)
      readAll(handle, bytes, chunk.bytes, chunk.from)
      const form = { ...columns[column], rows, isCompressed: chunk.isCompressed }
      decoder.decode(bytes.subarray(0, chunk.bytes), form, texts[column], row =>
        firsts[column].push({ block: group, row }),
      )
      packer.begin()
      const all = stats[column]
      if (all === null) packer.addCodes(column, decoder.codes, 0, rows)
      else {
        all.add(decoder.numbers, 0, rows)
        nan[column] += decoder.nan
        packer.addNumbers(column, decoder.numbers, 0, rows)
      }
      const place = 8 * Atomics.add(control, Word.used, packer.bytes / 8)
      if (place + packer.bytes > store.length) throw new NotPlain()
      store.set(packer.content, place)
      let block = blocks.get(group)
      if (block === undefined) {
        const offsets = new Float64Array(columns.length).fill(ELSEWHERE)
        block = { rows, buffer: task.store, offsets, packings: new Uint8Array(columns.length) }
        blocks.set(group, block)
      }
      block.offsets[column] = place + packer.offsets[column]
      block.packings[column] = packer.packings[column]
      yield Math.floor(Atomics.add(control, Word.rows, rows) / columns.length)
    }
  } catch (error) {
    stop(control)
    if (error instanceof NotPlain || isSystemError(error)) return null
    throw error
  } finally {
    for (const handle of handles.values()) closeSync(handle)
  }
  return {
    ...{ lf: 0, crlf: 0, misfits: new Uint8Array(columns.length) },
    missing: isText.map((_, column) => ({ nan: nan[column], others: 0, first: null })),
    blocks: [...blocks].map(([block, packed]) => ({ block, packed })),
    numbers: stats.map(each => each?.pack() ?? null),
    texts: texts.map((each, column) => each && { texts: each.texts, counts: each.counts, firsts: firsts[column] }),
  }
}

/** Throws NotPlain if the file is shorter than it was. */
function readAll(handle: number, bytes: Uint8Array, length: number, from: number): void {
  for (let got = 0; got < length; ) {
    const count = readSync(handle, bytes, got, length - got, from + got)
    if (count === 0) throw new NotPlain()
    got += count
  }
}
