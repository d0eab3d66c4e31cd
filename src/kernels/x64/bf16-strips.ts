/** What becomes of a strip of a product in bf16, in one pass, as in wasm/assembly/bf16.ts. Pure: become code in code.ts. */
import {
  type Assembler,
  at,
  COMPARE,
  k,
  R8,
  R9,
  R10,
  R11,
  R13,
  R14,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  type Register,
  RSI,
  zeroing,
  zmm,
} from './assembler.js'
import { pair, rounding } from './bf16-forms.js'
import { argument, begin, count, pointer } from './calling-convention.js'
import {
  BYTES,
  COUNTERS_AT,
  check,
  constant,
  flush,
  PAIR_BYTES,
  philox,
  returnBad,
  STRIP_ROW_BYTES,
} from './emit-helpers.js'

/** Asks for `bytes` at `ahead`, which then is behind them. Overwrites `bytes`. */
function readAhead(code: Assembler, ahead: Register, bytes: Register): void {
  code.unlessZero(bytes, () => {
    code.loop(bytes, BYTES, () => {
      code.prefetcht1(at(ahead))
      code.add(ahead, BYTES)
    })
  })
}

/** Rows of a block that are asked for before they are written or read: they lie so far apart that no processor guesses them. */
const ROWS_AHEAD = 16

/** to = from + rows · stride. */
function rowsOn(code: Assembler, to: Register, from: Register, stride: Register): void {
  code.mov(to, stride)
  for (let rows = 1; rows < ROWS_AHEAD; rows *= 2) code.add(to, to)
  code.add(to, from)
}

/** bf16_forward(z, zRow, strip, rows, bias, to, toStride, ahead, aheadRow), or bf16_forward_dropout(..., first, samples, scratch, k0, k1, layer, epoch, threshold, scale). */
export function forward(drops: boolean): Assembler {
  const code = begin()
  const kept = [RBP, RBX, R14, R15]
  code.push(...kept)
  const [z, zRow, strip, left, to, toStride, ahead, sample, bytes] = [RCX, RDX, RSI, R8, R9, R10, R11, RBX, R15]
  pointer(code, z, 0)
  count(code, zRow, 1)
  pointer(code, strip, 2)
  count(code, left, 3)
  pointer(code, to, 5)
  count(code, toStride, 6)
  pointer(code, ahead, 7)
  const m = [zmm(12), zmm(13)]
  const counters = [zmm(14), zmm(15)]
  const [least, factor, zero, bad, x, scratch] = [16, 17, 18, 19, 20, 21].map(zmm)
  const biases = [22, 23, 24, 25].map(zmm)
  if (drops) {
    pointer(code, sample, 10)
    code.vbroadcastss(m[0], constant('philox0'))
    code.vbroadcastss(m[1], constant('philox1'))
    code.vbroadcastss(least, argument(16))
    code.vbroadcastss(factor, argument(17))
    code.vbroadcastss(x, argument(9))
    for (const [i, counter] of counters.entries()) code.vpaddd(counter, x, at(RDI, COUNTERS_AT + BYTES * i))
  }
  pointer(code, bytes, 4)
  for (const [i, vector] of biases.entries()) code.vmovups(vector, at(bytes, BYTES * i))
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  const [zAhead, toAhead] = [R14, RBP]
  rowsOn(code, zAhead, z, zRow)
  rowsOn(code, toAhead, to, toStride)
  code.vpxord(zero, zero, zero)
  code.vpxord(bad, bad, bad)
  code.loop(left, 1, () => {
    count(code, bytes, 8)
    readAhead(code, ahead, bytes)
    for (let i = 0; i < 4; i++) code.prefetchw(at(zAhead, BYTES * i))
    for (let i = 0; i < 2; i++) code.prefetchw(at(toAhead, BYTES * i))
    code.add(zAhead, zRow)
    code.add(toAhead, toStride)
    const words = !drops
      ? []
      : [0, 1].flatMap(i => {
          const c = [0, 1, 2, 3].map(j => zmm(6 * i + j))
          code.vmovups(c[0], counters[i])
          code.vbroadcastss(c[1], argument(14))
          code.vbroadcastss(c[2], at(sample))
          code.vbroadcastss(c[3], argument(15))
          return philox(code, c, [zmm(6 * i + 4), zmm(6 * i + 5)], m)
        })
    for (const [i, vector] of biases.entries()) {
      code.vaddps(x, vector, at(strip, BYTES * i))
      check(code, bad, x, scratch)
      code.vmaxps(x, zero, x)
      if (drops) {
        code.vpcmpud(k(1), words[i], least)
        code.vmulps(x, x, factor, zeroing(k(1)))
      }
      code.vmovups(at(z, BYTES * i), x)
      round(x)
      code.vpsrld(x, x, 16)
      code.vpmovdw(at(to, (BYTES / 2) * i), x)
    }
    code.add(z, zRow)
    code.add(strip, STRIP_ROW_BYTES)
    code.add(to, toStride)
    if (drops) code.add(sample, 4)
  })
  code.pop(...kept)
  returnBad(code, bad)
  return code
}

/** bf16_backward(dx, dxRow, strip, rows, a, aRow, to, toStride, pairs, padded, ahead, aheadRow, scale), two rows at a time. */
export function backward(): Assembler {
  const code = begin()
  const kept = [RBP, RBX, R13, R14, R15]
  code.push(...kept)
  const [dx, dxRow, strip, left, a, aRow, to, toStride, pairsAt, bytes] = [
    ...[RCX, RDX, RSI, R8, R9, R10, R11, RBX, R14, R15],
  ]
  const ahead = RAX
  pointer(code, dx, 0)
  count(code, dxRow, 1)
  pointer(code, strip, 2)
  count(code, left, 3)
  pointer(code, a, 4)
  count(code, aRow, 5)
  pointer(code, to, 6)
  count(code, toStride, 7)
  pointer(code, pairsAt, 8)
  count(code, bytes, 10)
  code.add(ahead, bytes)
  const [factor, zero, bad, smallest, magnitude, scratch, upper] = [16, 17, 18, 19, 20, 21, 22].map(zmm)
  code.vbroadcastss(factor, argument(12))
  code.vbroadcastss(smallest, constant('smallestNormal'))
  code.vbroadcastss(magnitude, constant('magnitude'))
  code.vbroadcastss(upper, constant('upper'))
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  const [dxAhead, aAhead] = [RBP, R13]
  rowsOn(code, dxAhead, dx, dxRow)
  rowsOn(code, aAhead, a, aRow)
  code.vpxord(zero, zero, zero)
  code.vpxord(bad, bad, bad)
  code.loop(left, 2, () => {
    count(code, bytes, 11)
    code.add(bytes, bytes)
    readAhead(code, ahead, bytes)
    for (const r of [0, 1]) {
      for (let i = 0; i < 4; i++) {
        code.prefetchw(at(dxAhead, BYTES * i))
        code.prefetcht1(at(aAhead, BYTES * i))
      }
      code.add(dxAhead, dxRow)
      code.add(aAhead, aRow)
      for (let i = 0; i < 4; i++) {
        const x = zmm(4 * r + i)
        code.vmovups(x, at(a, BYTES * i))
        code.vcmpps(k(1), x, zero, COMPARE.greaterThan)
        code.vmulps(x, factor, at(strip, r * STRIP_ROW_BYTES + BYTES * i), zeroing(k(1)))
        check(code, bad, x, scratch)
        flush(code, x, { smallest, magnitude, scratch })
        code.vmovups(at(dx, BYTES * i), x)
        round(x)
        code.vpsrld(scratch, x, 16)
        code.vpmovdw(at(to, (BYTES / 2) * i), scratch)
      }
      code.add(a, aRow)
      code.add(dx, dxRow)
      code.add(to, toStride)
    }
    for (let i = 0; i < 4; i++) {
      const [first, second] = [zmm(i), zmm(4 + i)]
      pair(code, first, second, upper)
      code.vmovups(at(pairsAt, BYTES * i), first)
    }
    code.add(strip, 2 * STRIP_ROW_BYTES)
    code.add(pairsAt, PAIR_BYTES)
  })
  code.pop(...kept)
  returnBad(code, bad)
  return code
}
