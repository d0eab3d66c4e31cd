/**
 * One thread's part of a scan: claims blocks of the files in order, parses them, takes their statistics, and packs their values into
 * the store that all threads share. Any thread; several share `PlainTask`.
 */
import { closeSync, openSync } from 'node:fs'
import type { PackedBlock } from '../packed.js'
import { BlockWriter } from './block-writer.js'
import { isLeftToDuckDB, NotPlain, readAll } from './not-plain.js'
import type { PackedNumbers } from './number-facts.js'
import { type MissingTexts, type PlainForm, PlainParser, type RowPlace } from './parse.js'
import { type MemoryUsed, Rooms, ScanMemory } from './scan-module.js'

/** Bytes of text that are parsed at once: with their numbers they stay in a core's cache. */
export const BLOCK_BYTES = 2 ** 18
/** Bytes that a record may reach beyond its block. */
export const TAIL_BYTES = 2 ** 14

export interface PlainFile {
  readonly path: string
  /** First byte of the first row, and number of all bytes. */
  readonly from: number
  readonly bytes: number
}

/** Words that the threads share. */
/** Blocks that are claimed; whether all are to end; bytes of the store that are used, in eights; rows so far. */
export const Word = { nextBlock: 0, stop: 1, used: 2, rows: 3, count: 4 } as const

export interface PlainTask {
  readonly form: PlainForm
  readonly files: readonly PlainFile[]
  /** Packed values of all blocks, in any order. */
  readonly store: SharedArrayBuffer
  /** Words. */
  readonly control: SharedArrayBuffer
}

/** Place of a column in a block that another thread has packed. */
export const ELSEWHERE = -1

/** Facts of the blocks of one thread, by column. */
export interface PlainPart {
  readonly numbers: readonly (PackedNumbers | null)[]
  readonly missing: readonly MissingTexts[]
  readonly misfits: Uint8Array
  readonly padded: Uint8Array
  readonly texts: readonly ({ texts: readonly string[]; counts: Uint32Array; firsts: readonly RowPlace[] } | null)[]
  readonly lf: number
  readonly crlf: number
  /** Blocks that it has read, ascending: their place among all, and their rows in the store. */
  readonly blocks: readonly { readonly block: number; readonly packed: PackedBlock }[]
}

export const blocksOf = ({ from, bytes }: PlainFile): number => Math.ceil(Math.max(0, bytes - from) / BLOCK_BYTES)

/**
 * Scans until no block is left, and yields the rows of all threads after each block. Null: the content is not plain, or another thread
 * has found that. `used`: called at the end.
 */
export function* scanBlocks(
  task: PlainTask,
  used: MemoryUsed = () => {},
): Generator<number, PlainPart | null, undefined> {
  const { form, files } = task
  const control = new Int32Array(task.control)
  const store = new Uint8Array(task.store)
  const count = files.reduce((sum, file) => sum + blocksOf(file), 0)
  const columns = form.isText.length
  const stride = Math.ceil(BLOCK_BYTES / columns) + 1
  const rooms = new Rooms()
  const text = rooms.take(1 + BLOCK_BYTES + TAIL_BYTES + 1)
  const parser = new PlainParser(form, stride, rooms)
  const writer = new BlockWriter(form.isText, stride, columns, rooms)
  const memory = new ScanMemory(rooms, parser)
  parser.use(memory)
  writer.use(memory)
  const reader = new BlockReader(files, memory.bytes.subarray(text, text + 1 + BLOCK_BYTES + TAIL_BYTES + 1))
  const blocks: { block: number; packed: PackedBlock }[] = []
  try {
    for (;;) {
      if (Atomics.load(control, Word.stop) !== 0) return null
      const block = Atomics.add(control, Word.nextBlock, 1)
      if (block >= count) break
      const [from, to] = reader.read(block)
      const rows = parser.parse(block, text + from, text + to)
      if (rows > 0 && parser.end - 1 === text + reader.end) parser.lf--
      writer.begin()
      for (let column = 0; column < columns; column++) {
        if (form.isText[column]) {
          const at = parser.codesOf(column)
          writer.addCodes(column, parser.codes.subarray(at, at + rows))
        } else writer.addNumbers(column, parser.numbersOf(column), rows)
      }
      const place = 8 * Atomics.add(control, Word.used, writer.bytes / 8)
      if (place + writer.bytes > store.length) throw new NotPlain()
      store.set(writer.content, place)
      const offsets = writer.offsets.map(offset => place + offset)
      blocks.push({ block, packed: { rows, buffer: task.store, offsets, packings: writer.packings.slice() } })
      yield Atomics.add(control, Word.rows, rows) + rows
    }
  } catch (error) {
    stop(control)
    if (isLeftToDuckDB(error)) return null
    throw error
  } finally {
    reader.close()
  }
  const { missing, misfits, lf, crlf } = parser
  const padded = parser.padded()
  const part: PlainPart = {
    ...{ missing, misfits, padded, lf, crlf, blocks, numbers: writer.numbers() },
    texts: parser.texts.map(
      (each, column) => each && { texts: each.texts, counts: each.counts, firsts: parser.firsts[column] },
    ),
  }
  used(memory)
  return part
}

/** Ends all threads at their next block. */
export function stop(control: Int32Array): void {
  Atomics.store(control, Word.stop, 1)
}

/** Reads the bytes of blocks, with the whole of the last record that begins in each. */
class BlockReader {
  /** Place of a line end that was added, because the file has none at its end; -1: there is none in the bytes. */
  end = -1
  readonly #open = new Map<number, number>()

  constructor(
    readonly files: readonly PlainFile[],
    readonly bytes: Uint8Array,
  ) {}

  /** Returns where in `bytes` its first record begins, and where the block ends. Throws NotPlain if the file is shorter than it was. */
  read(block: number): readonly [from: number, to: number] {
    const { bytes, files } = this
    let index = 0
    while (block >= blocksOf(files[index])) block -= blocksOf(files[index++])
    const file = files[index]
    const begin = file.from + block * BLOCK_BYTES
    const end = Math.min(begin + BLOCK_BYTES, file.bytes)
    // A record begins here if the byte before ends a line.
    const first = block === 0 ? begin : begin - 1
    const wanted = Math.min(end + TAIL_BYTES, file.bytes) - first
    readAll(this.#handle(index), bytes, wanted, first)
    const isEnd = first + wanted === file.bytes
    // The last line may have no end. Nothing else is to end a record that is longer than what was read.
    this.end = isEnd && bytes[wanted - 1] !== LF ? wanted : -1
    if (this.end >= 0 && bytes[wanted - 1] === CR) throw new NotPlain()
    bytes[wanted] = isEnd ? LF : 0
    let from = 0
    if (block > 0) {
      const at = bytes.indexOf(LF)
      if (at < 0 || at > wanted || (at === wanted && !isEnd)) throw new NotPlain()
      from = at + 1
    }
    return [from, end - first]
  }

  #handle(file: number): number {
    let handle = this.#open.get(file)
    if (handle === undefined) {
      handle = openSync(this.files[file].path, 'r')
      this.#open.set(file, handle)
    }
    return handle
  }

  close(): void {
    for (const handle of this.#open.values()) closeSync(handle)
  }
}

const LF = 10
const CR = 13
