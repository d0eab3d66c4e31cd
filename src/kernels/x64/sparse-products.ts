/**
 * Products in f32 that leave out zeros, by the machine code of sparse.ts, in the place of a library's: of each product
 * some of a is looked at first, and where too little of it is zero, the library multiplies. Any thread.
 */
import type { NativeGemm, ProductShape } from '../products.js'
import type { Assembler } from './assembler.js'
import { ARGUMENTS_WORD } from './calling-convention.js'
import { mayRun } from './cpu.js'
import { alignedBlock, type NativeFunction, openCode } from './executable-memory.js'
import {
  depthOf,
  LANES,
  LINES_AHEAD,
  MOST_ROWS,
  multiplyRows,
  PANEL_AT,
  packRows,
  rowWords,
  SPARSE_BLOCK_BYTES,
  startBlock,
  TURNED_AT,
  TURNED_ROW,
  turn,
  turnNumbers,
  type Where,
  WIDEST,
  WORD_BYTES,
} from './sparse.js'

const NEEDED = ['avx512f', 'avx512bw', 'fma', 'bmi1', 'popcnt']
const LINE_BYTES = 64
const F32_BYTES = 4
const VECTOR_BYTES = LANES * F32_BYTES
/** The share of numbers that are not zero up to which leaving out the others pays. */
const DENSEST = 0.7
/** Sums of so many products are not worth a library's call: of deltas of ten classes, say. */
const FEW = 16

/** The block, and functions for it, assembled when they are first asked for. */
interface Code {
  readonly words: Uint32Array
  /** The address of the block. */
  readonly block: number
  rowWords(where: Where): NativeFunction
  multiply(where: Where, vectors: number, adds: boolean): NativeFunction
  packRows(vectors: number): NativeFunction
  turn(): NativeFunction
  turnNumbers(): NativeFunction
}

/** As far as the CPU decides. */
export const mayLeaveOutZeros = (): boolean => mayRun(NEEDED)

/** What it says beside a library's name, for it decides bits; null where the library multiplies alone. */
export async function sparseTitle(): Promise<string | null> {
  const works = mayLeaveOutZeros() && (await openCode()) !== null
  return works ? 'zeros left out in AVX-512' : null
}

/** Cycles for each of k: two loads each, or four from sum to sum; what each row takes besides; and to pack the panel. */
export function sparseCost(rows: number, columns: number): number {
  const panels = Math.ceil(columns / (WIDEST * LANES))
  const vectors = Math.ceil(columns / (panels * LANES))
  return panels * (rows * (USUAL * Math.max(4, (vectors + 1) / 2) + 0.6) + 3 * vectors)
}
/** The share of numbers that are not zero after ReLU and dropout. */
const USUAL = 0.35

/** What multiplies in the place of a library's products. Null where this CPU, or this system, cannot. `base`: where the arena begins. */
export async function openSparse(base: number): Promise<((library: NativeGemm) => NativeGemm) | null> {
  if (!mayLeaveOutZeros()) return null
  const load = await openCode()
  if (!load) return null
  const { memory, offset, address } = await alignedBlock(SPARSE_BLOCK_BYTES)
  startBlock(new DataView(memory, offset), base)
  const once = <A extends readonly unknown[]>(emit: (...of: A) => Assembler) => {
    const known = new Map<string, NativeFunction>()
    return (...of: A): NativeFunction => {
      const key = of.join()
      const loaded = known.get(key) ?? load(emit(...of))
      known.set(key, loaded)
      return loaded
    }
  }
  const code: Code = {
    words: new Uint32Array(memory, offset, SPARSE_BLOCK_BYTES / 4),
    block: address,
    rowWords: once(rowWords),
    multiply: once(multiplyRows),
    packRows: once(packRows),
    turn: once(turn),
    turnNumbers: once(turnNumbers),
  }
  return library => ({ bind: shape => bind(code, base, shape, library.bind(shape)) })
}

/** Offsets in an arena have 32 bits. */
const isPlace = (offset: number): boolean => offset >= 0 && offset < 2 ** 32

function bind(
  code: Code,
  base: number,
  shape: ProductShape,
  dense: ReturnType<NativeGemm['bind']>,
): ReturnType<NativeGemm['bind']> {
  const { form, m, n, k, accumulate } = shape
  const { words, block } = code
  const aRow = shape.lda * F32_BYTES
  const bRow = shape.ldb * F32_BYTES
  const cRow = shape.ldc * F32_BYTES
  const turnsA = form === 'tn'
  const turnsB = form === 'nt'
  const where = turnsA ? 'block' : 'arena'
  const panels = Math.ceil(n / (WIDEST * LANES))
  const vectors = Math.ceil(n / (panels * LANES))
  const columns = vectors * LANES
  const depth = depthOf(vectors)
  /** The last panel may be narrower; then of fewer vectors. */
  const lastVectors = Math.ceil((n - (panels - 1) * columns) / LANES)
  const widths = [vectors, lastVectors]
  const [overwriting, adding] = [false, true].map(adds => widths.map(of => code.multiply(where, of, adds)))
  const packers = turnsB ? [] : widths.map(code.packRows)
  const rowWords = code.rowWords(where)
  const turnBlocks = code.turn()
  const turnRest = code.turnNumbers()
  /** A part of a in its midst stands for all of it. */
  const sample = Math.floor(Math.ceil(k / depth) / 2) * depth

  /** (rows, numbers) at an offset in the arena, transposed, to a place in the block. */
  const turn = (from: number, stride: number, rows: number, numbers: number, to: number, toStride: number) => {
    const steps = Math.floor(numbers / LANES)
    const whole = steps * LANES
    words[ARGUMENTS_WORD + 1] = stride
    for (let row = 0; row < rows; row += LANES) {
      const lanes = Math.min(LANES, rows - row)
      const turned = lanes === LANES ? whole : 0
      if (turned > 0) {
        words[ARGUMENTS_WORD] = from + row * stride
        words[ARGUMENTS_WORD + 2] = steps
        words[ARGUMENTS_WORD + 3] = to + row * F32_BYTES
        words[ARGUMENTS_WORD + 4] = toStride
        words[ARGUMENTS_WORD + 5] = LANES * toStride
        turnBlocks(block)
      }
      if (turned === numbers) continue
      words[ARGUMENTS_WORD] = from + row * stride + turned * F32_BYTES
      words[ARGUMENTS_WORD + 2] = lanes
      words[ARGUMENTS_WORD + 3] = numbers - turned
      words[ARGUMENTS_WORD + 4] = to + turned * toStride + row * F32_BYTES
      words[ARGUMENTS_WORD + 5] = toStride
      turnRest(block)
    }
  }

  /** Prepares rows of a over [from, from + numbers) of k; returns how many numbers are not zero. */
  const prepare = (a: number, row: number, rows: number, from: number, numbers: number): number => {
    if (turnsA) turn(a + from * aRow + row * F32_BYTES, aRow, numbers, rows, TURNED_AT, TURNED_ROW)
    words[ARGUMENTS_WORD] = turnsA ? TURNED_AT : a + row * aRow + from * F32_BYTES
    words[ARGUMENTS_WORD + 1] = turnsA ? TURNED_ROW : aRow
    words[ARGUMENTS_WORD + 2] = rows
    for (let i = 0; i < 4; i++) {
      const lanes = Math.min(Math.max(numbers - i * LANES, 0), LANES)
      words[ARGUMENTS_WORD + 3 + i] = (1 << lanes) - 1
    }
    return rowWords(block)
  }

  /** Where of b the panel lies that begins at (from, column). */
  const placeOf = (from: number, column: number) =>
    turnsB ? column * bRow + from * F32_BYTES : from * bRow + column * F32_BYTES

  /** One panel, whose rows lie as they are packed. */
  const isPacked = !turnsB && panels === 1 && bRow === vectors * VECTOR_BYTES && n % LANES === 0

  const pack = (b: number, numbers: number, width: number, isLast: boolean, mask: number) => {
    if (turnsB) return turn(b, bRow, width, numbers, PANEL_AT, (isLast ? lastVectors : vectors) * VECTOR_BYTES)
    words[ARGUMENTS_WORD] = b
    words[ARGUMENTS_WORD + 1] = bRow
    words[ARGUMENTS_WORD + 2] = numbers
    words[ARGUMENTS_WORD + 3] = mask
    packers[isLast ? 1 : 0](block)
  }

  const ofARow = turnsA ? TURNED_ROW : aRow
  const askedBytes = LINES_AHEAD * LINE_BYTES
  /**
   * Multiplies rows of a by the panel. While it does, it asks for another one: `aheadRows` rows of so many bytes, at
   * `ahead`; a run of rows of a for each `askedBytes` of them.
   */
  const multiply = (
    run: NativeFunction,
    a: number,
    c: number,
    rows: number,
    ahead: number,
    aheadRows: number,
    aheadBytes: number,
  ) => {
    for (let first = 0, asked = 0; first < rows; asked += askedBytes) {
      const asks = asked < aheadBytes
      const count = asks ? Math.min(aheadRows, rows - first) : rows - first
      words[ARGUMENTS_WORD] = a + first * ofARow
      words[ARGUMENTS_WORD + 1] = ofARow
      words[ARGUMENTS_WORD + 2] = count
      words[ARGUMENTS_WORD + 3] = c + first * cRow
      words[ARGUMENTS_WORD + 6] = first * WORD_BYTES
      // What is asked for where nothing is wanted is a line that is there.
      words[ARGUMENTS_WORD + 7] = asks ? ahead + asked : c
      words[ARGUMENTS_WORD + 8] = asks ? bRow : 0
      run(block)
      first += count
    }
  }

  return (aAt, bAt, cAt) => {
    const a = aAt - base
    const b = bAt - base
    const c = cAt - base
    if (!isPlace(a) || !isPlace(b) || !isPlace(c)) return dense(aAt, bAt, cAt)
    const sampled = Math.min(depth, k - sample)
    const sampledRows = Math.min(m, MOST_ROWS)
    const found = prepare(a, 0, sampledRows, sample, sampled)
    if (k > FEW && found > DENSEST * sampled * sampledRows) return dense(aAt, bAt, cAt)
    const isPrepared = sampled === k && sampledRows === m
    for (let row = 0; row < m; row += MOST_ROWS) {
      const rows = Math.min(MOST_ROWS, m - row)
      for (let from = 0; from < k; from += depth) {
        const numbers = Math.min(depth, k - from)
        if (!isPrepared) prepare(a, row, rows, from, numbers)
        const ofA = turnsA ? TURNED_AT : a + row * aRow + from * F32_BYTES
        const runs = accumulate || from > 0 ? adding : overwriting
        for (let column = 0; column < n; column += columns) {
          const width = Math.min(columns, n - column)
          const isLast = column + columns >= n
          const mask = (1 << (width - ((isLast ? lastVectors : vectors) - 1) * LANES)) - 1
          const ofB = b + placeOf(from, column)
          if (!isPacked) pack(ofB, numbers, width, isLast, mask)
          words[ARGUMENTS_WORD + 9] = isPacked ? ofB : 0
          const nextFrom = isLast ? from + depth : from
          const nextColumn = isLast ? 0 : column + columns
          const nextNumbers = Math.max(Math.min(depth, k - nextFrom), 0)
          const nextWidth = Math.min(columns, n - nextColumn)
          const aheadRows = turnsB ? nextWidth : nextNumbers
          const aheadBytes = nextNumbers === 0 ? 0 : (turnsB ? nextNumbers : nextWidth) * F32_BYTES
          words[ARGUMENTS_WORD + 4] = cRow
          words[ARGUMENTS_WORD + 5] = mask
          const ofC = c + row * cRow + column * F32_BYTES
          multiply(runs[isLast ? 1 : 0], ofA, ofC, rows, b + placeOf(nextFrom, nextColumn), aheadRows, aheadBytes)
        }
      }
    }
  }
}
