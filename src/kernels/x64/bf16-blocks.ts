/** One 64-column block of a bf16 product, to activations or deltas in one pass, as in module/assembly/bf16.ts. Pure; any thread. */
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
import { pair, rounding } from './bf16-layouts.js'
import { begin } from './calling-convention.js'
import { BLOCK_ROW_BYTES, PAIR_BYTES, VECTOR_BYTES } from './constants.js'
import { COUNTERS_AT, check, constant, flush, loadMask, maskWords, returnBad } from './emit-helpers.js'
import { BF16_BACKWARD, BF16_FORWARD_DROPOUT } from './signatures.js'

/** Prefetches `bytes` at `ahead`, which then is behind them. Overwrites `bytes`. */
function readAhead(code: Assembler, ahead: Register, bytes: Register): void {
  code.unlessZero(bytes, () => {
    code.loop(bytes, VECTOR_BYTES, () => {
      code.prefetcht1(at(ahead))
      code.add(ahead, VECTOR_BYTES)
    })
  })
}

/** Prefetch distance in rows: they lie so far apart that no hardware prefetcher guesses them. */
const ROWS_AHEAD = 16

/** to = from + rows · stride. */
function rowsOn(code: Assembler, to: Register, from: Register, stride: Register): void {
  code.mov(to, stride)
  for (let rows = 1; rows < ROWS_AHEAD; rows *= 2) code.add(to, to)
  code.add(to, from)
}

/** Bias, ReLU, dropout and rounding of one block; arguments: BF16_FORWARD, or BF16_FORWARD_DROPOUT, which begins with the same. */
export function forward(drops: boolean): Assembler {
  const kernel = begin(BF16_FORWARD_DROPOUT)
  const { code, load } = kernel
  const kept = [RBP, RBX, R14, R15]
  code.push(...kept)
  const [z, zRow, product, left, to, toStride, ahead, sample, bytes] = [RCX, RDX, RSI, R8, R9, R10, R11, RBX, R15]
  load(z, 'z')
  load(zRow, 'zRow')
  load(product, 'product')
  load(left, 'rows')
  load(to, 'to')
  load(toStride, 'toStride')
  load(ahead, 'ahead')
  const m = [zmm(12), zmm(13)]
  const counters = [zmm(14), zmm(15)]
  const [least, factor, zero, bad, x, scratch] = [16, 17, 18, 19, 20, 21].map(zmm)
  const biases = [22, 23, 24, 25].map(zmm)
  if (drops) {
    load(sample, 'samples')
    loadMask(kernel, m, [least, factor, x])
    for (const [i, counter] of counters.entries()) code.vpaddd(counter, x, at(RDI, COUNTERS_AT + VECTOR_BYTES * i))
  }
  load(bytes, 'bias')
  for (const [i, vector] of biases.entries()) code.vmovups(vector, at(bytes, VECTOR_BYTES * i))
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  const [zAhead, toAhead] = [R14, RBP]
  rowsOn(code, zAhead, z, zRow)
  rowsOn(code, toAhead, to, toStride)
  code.vpxord(zero, zero, zero)
  code.vpxord(bad, bad, bad)
  code.loop(left, 1, () => {
    load(bytes, 'aheadRow')
    readAhead(code, ahead, bytes)
    for (let i = 0; i < 4; i++) code.prefetchw(at(zAhead, VECTOR_BYTES * i))
    for (let i = 0; i < 2; i++) code.prefetchw(at(toAhead, VECTOR_BYTES * i))
    code.add(zAhead, zRow)
    code.add(toAhead, toStride)
    const words = !drops
      ? []
      : [0, 1].flatMap(i => {
          const free = [0, 1, 2, 3, 4, 5].map(j => zmm(6 * i + j))
          return maskWords(kernel, m, counters[i], sample, free)
        })
    for (const [i, vector] of biases.entries()) {
      code.vaddps(x, vector, at(product, VECTOR_BYTES * i))
      check(code, bad, x, scratch)
      code.vmaxps(x, zero, x)
      if (drops) {
        code.vpcmpud(k(1), words[i], least)
        code.vmulps(x, x, factor, zeroing(k(1)))
      }
      code.vmovups(at(z, VECTOR_BYTES * i), x)
      round(x)
      code.vpsrld(x, x, 16)
      code.vpmovdw(at(to, (VECTOR_BYTES / 2) * i), x)
    }
    code.add(z, zRow)
    code.add(product, BLOCK_ROW_BYTES)
    code.add(to, toStride)
    if (drops) code.add(sample, 4)
  })
  code.pop(...kept)
  returnBad(code, bad)
  return code
}

/** Activation derivative and rounding of one block of deltas, two rows at a time; arguments: BF16_BACKWARD. */
export function backward(): Assembler {
  const { code, argument, load, loadOffset } = begin(BF16_BACKWARD)
  const kept = [RBP, RBX, R13, R14, R15]
  code.push(...kept)
  const [dx, dxRow, product, left, a, aRow, to, toStride, pairsAt, bytes] = [
    ...[RCX, RDX, RSI, R8, R9, R10, R11, RBX, R14, R15],
  ]
  const ahead = RAX
  load(dx, 'dx')
  load(dxRow, 'dxRow')
  load(product, 'product')
  load(left, 'rows')
  load(a, 'a')
  load(aRow, 'aRow')
  load(to, 'to')
  load(toStride, 'toStride')
  load(pairsAt, 'pairs')
  loadOffset(bytes, 'ahead')
  code.add(ahead, bytes)
  const [factor, zero, bad, smallest, magnitude, scratch, upper] = [16, 17, 18, 19, 20, 21, 22].map(zmm)
  code.vbroadcastss(factor, argument('scale'))
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
    load(bytes, 'aheadRow')
    code.add(bytes, bytes)
    readAhead(code, ahead, bytes)
    for (const r of [0, 1]) {
      for (let i = 0; i < 4; i++) {
        code.prefetchw(at(dxAhead, VECTOR_BYTES * i))
        code.prefetcht1(at(aAhead, VECTOR_BYTES * i))
      }
      code.add(dxAhead, dxRow)
      code.add(aAhead, aRow)
      for (let i = 0; i < 4; i++) {
        const x = zmm(4 * r + i)
        code.vmovups(x, at(a, VECTOR_BYTES * i))
        code.vcmpps(k(1), x, zero, COMPARE.greaterThan)
        code.vmulps(x, factor, at(product, r * BLOCK_ROW_BYTES + VECTOR_BYTES * i), zeroing(k(1)))
        check(code, bad, x, scratch)
        flush(code, x, { smallest, magnitude, scratch })
        code.vmovups(at(dx, VECTOR_BYTES * i), x)
        round(x)
        code.vpsrld(scratch, x, 16)
        code.vpmovdw(at(to, (VECTOR_BYTES / 2) * i), scratch)
      }
      code.add(a, aRow)
      code.add(dx, dxRow)
      code.add(to, toStride)
    }
    for (let i = 0; i < 4; i++) {
      const [first, second] = [zmm(i), zmm(4 + i)]
      pair(code, first, second, upper)
      code.vmovups(at(pairsAt, VECTOR_BYTES * i), first)
    }
    code.add(product, 2 * BLOCK_ROW_BYTES)
    code.add(pairsAt, PAIR_BYTES)
  })
  code.pop(...kept)
  returnBad(code, bad)
  return code
}
