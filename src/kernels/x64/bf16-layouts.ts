/** Layouts that products in bf16 read, as in module/assembly/bf16.ts: rows, pairs of rows, columns. Pure; any thread. */
import {
  type Assembler,
  at,
  COMPARE,
  k,
  merging,
  R8,
  R9,
  R10,
  R11,
  R14,
  R15,
  RAX,
  RBX,
  RCX,
  RDX,
  RSI,
  type Vector,
  zmm,
} from './assembler.js'
import { begin } from './calling-convention.js'
import { LANES, PAIR_BYTES, VECTOR_BYTES } from './constants.js'
import { constant } from './emit-helpers.js'
import { BF16_COLUMNS, BF16_PAIRS, BF16_ROWS } from './signatures.js'
import { transpose } from './transpose.js'

/** Rounds lanes to bf16, in their upper halves. */
export function rounding(code: Assembler, [one, half, nan, scratch]: readonly Vector[]): (x: Vector) => void {
  code.vbroadcastss(one, constant('one'))
  code.vbroadcastss(half, constant('half'))
  code.vbroadcastss(nan, constant('nan'))
  return x => {
    code.vpsrld(scratch, x, 16)
    code.vpandd(scratch, scratch, one)
    code.vpaddd(scratch, scratch, half)
    code.vcmpps(k(1), x, x, COMPARE.unordered)
    code.vpaddd(x, x, scratch)
    code.vmovups(x, nan, merging(k(1)))
  }
}

/** Rounds rows to bf16; arguments: BF16_ROWS. */
export function rows(): Assembler {
  const { code, load } = begin(BF16_ROWS)
  const [to, toStride, from, fromStride, left, octets] = [RCX, RDX, RSI, R8, R9, R10]
  load(to, 'to')
  load(toStride, 'toStride')
  load(from, 'from')
  load(fromStride, 'fromStride')
  load(left, 'rows')
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  code.loop(left, 1, () => {
    load(octets, 'octets')
    code.clear(R11)
    code.mov(RAX, from)
    code.loop(octets, 2, () => {
      code.vmovups(zmm(0), at(RAX))
      round(zmm(0))
      code.vpsrld(zmm(0), zmm(0), 16)
      code.vpmovdw(at(to, 0, R11), zmm(0))
      code.add(RAX, VECTOR_BYTES)
      code.add(R11, VECTOR_BYTES / 2)
    })
    code.add(to, toStride)
    code.add(from, fromStride)
  })
  code.ret()
  return code
}

/** a = lanes of 32 bits with bf16 of a below bf16 of b; both are rounded. */
export function pair(code: Assembler, a: Vector, b: Vector, upper: Vector): void {
  code.vpsrld(a, a, 16)
  code.vpandd(b, b, upper)
  code.vpord(a, a, b)
}

/** Rounds rows to bf16 in pairs; arguments: BF16_PAIRS. */
export function pairs(): Assembler {
  const { code, load } = begin(BF16_PAIRS)
  const [to, from, stride, left] = [RCX, RDX, RSI, R8]
  load(to, 'to')
  load(from, 'from')
  load(stride, 'fromStride')
  load(left, 'rows')
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  code.vbroadcastss(zmm(27), constant('upper'))
  code.loop(left, 2, () => {
    for (let j = 0; j < PAIR_BYTES; j += VECTOR_BYTES) {
      const [a, b] = [zmm(j / VECTOR_BYTES), zmm(4 + j / VECTOR_BYTES)]
      code.vmovups(a, at(from, j))
      code.vmovups(b, at(from, j, stride))
      round(a)
      round(b)
      pair(code, a, b, zmm(27))
      code.vmovups(at(to, j), a)
    }
    code.add(to, PAIR_BYTES)
    code.add(from, stride)
    code.add(from, stride)
  })
  code.ret()
  return code
}

/** Rounds to bf16 and transposes; arguments: BF16_COLUMNS. */
export function columns(): Assembler {
  const { code, load } = begin(BF16_COLUMNS)
  const kept = [RBX, R14, R15]
  code.push(...kept)
  const [to, from, stride, left, column, row, out, width, width4] = [RCX, RDX, RSI, R8, R9, R10, R11, RBX, R14]
  const place = R15
  load(to, 'to')
  load(width, 'toStride')
  load(from, 'from')
  load(stride, 'fromStride')
  load(column, 'vectors')
  code.mov(width4, width)
  code.add(width4, width4)
  code.add(width4, width4)
  code.loop(column, 4, () => {
    load(left, 'rows')
    code.mov(row, from)
    code.mov(out, to)
    code.loop(left, 2 * LANES, () => {
      const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
      code.vbroadcastss(zmm(27), constant('upper'))
      for (let p = 0; p < LANES; p++) {
        const [a, b] = [zmm(p), zmm(16 + (p & 7))]
        code.vmovups(a, at(row))
        code.vmovups(b, at(row, 0, stride))
        code.add(row, stride)
        code.add(row, stride)
        round(a)
        round(b)
        pair(code, a, b, zmm(27))
      }
      // Rows come as 0, 4, 8, 12, then 1, 5, ...
      code.mov(RAX, out)
      transpose(code, (r, vector) => {
        if (r === 0) code.mov(place, RAX)
        else if (r < 4) {
          code.add(RAX, width)
          code.mov(place, RAX)
        } else code.add(place, width4)
        code.vmovups(at(place), vector)
      })
      code.add(out, VECTOR_BYTES)
    })
    for (let i = 0; i < LANES / 4; i++) code.add(to, width4)
    code.add(from, VECTOR_BYTES)
  })
  code.pop(...kept)
  code.ret()
  return code
}
