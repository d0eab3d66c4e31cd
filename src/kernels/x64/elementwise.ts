/** Kernels between products, as in wasm/assembly/elementwise.ts and gather.ts. Pure: become code in code.ts. */
import {
  type Assembler,
  at,
  COMPARE,
  k,
  R8,
  R9,
  R10,
  R11,
  R14,
  RAX,
  RCX,
  RDI,
  RDX,
  RSI,
  type Vector,
  zeroing,
  zmm,
} from './assembler.js'
import { argument, begin, count, pointer } from './calling-convention.js'
import { BYTES, COUNTERS_AT, check, constant, flush, LANES, philox, returnBad } from './emit-helpers.js'

/** bias_relu_dropout(z, zPanel, zRow, rows, panels, vectors, first, bias, samples, scratch, k0, k1, layer, epoch, threshold, scale). */
export function biasReluDropout(): Assembler {
  const code = begin()
  const [z, zRow, left, bias, sample, vectors, zAt, biasAt] = [RCX, RDX, RSI, R8, R9, R10, R11, RAX]
  pointer(code, z, 0)
  count(code, zRow, 2)
  count(code, left, 3)
  pointer(code, bias, 7)
  pointer(code, sample, 8)
  const m = [zmm(16), zmm(17)]
  const counters = [zmm(18), zmm(19)]
  const [least, factor, zero, bad, first, step] = [20, 21, 22, 23, 24, 25].map(zmm)
  code.vbroadcastss(m[0], constant('philox0'))
  code.vbroadcastss(m[1], constant('philox1'))
  code.vbroadcastss(least, argument(14))
  code.vbroadcastss(factor, argument(15))
  code.vbroadcastss(first, argument(6))
  code.vpxord(zero, zero, zero)
  code.vpxord(bad, bad, bad)
  // Sixteen counters serve 64 units.
  code.vbroadcastss(step, constant('one'))
  for (let i = 0; i < 4; i++) code.vpaddd(step, step, step)
  code.loop(left, 1, () => {
    count(code, vectors, 5)
    code.mov(zAt, z)
    code.mov(biasAt, bias)
    for (const [i, counter] of counters.entries()) code.vpaddd(counter, first, at(RDI, COUNTERS_AT + BYTES * i))
    code.loop(vectors, LANES, () => {
      const words: Vector[] = []
      for (const i of [0, 1]) {
        const x = [0, 1, 2, 3].map(j => zmm(6 * i + j))
        code.vmovups(x[0], counters[i])
        code.vbroadcastss(x[1], argument(12))
        code.vbroadcastss(x[2], at(sample))
        code.vbroadcastss(x[3], argument(13))
        words.push(...philox(code, x, [zmm(6 * i + 4), zmm(6 * i + 5)], m))
        code.vpaddd(counters[i], counters[i], step)
      }
      for (const [i, word] of words.entries()) {
        const [x, scratch] = [zmm(26), zmm(27)]
        code.vmovups(x, at(zAt, BYTES * i))
        code.vaddps(x, x, at(biasAt, BYTES * i))
        check(code, bad, x, scratch)
        code.vpcmpud(k(1), word, least)
        code.vmaxps(x, zero, x)
        code.vmulps(x, x, factor, zeroing(k(1)))
        code.vmovups(at(zAt, BYTES * i), x)
      }
      code.add(zAt, 4 * BYTES)
      code.add(biasAt, 4 * BYTES)
    })
    code.add(z, zRow)
    code.add(sample, 4)
  })
  returnBad(code, bad)
  return code
}

/**
 * gather(out, outPanel, outRow, rows, panels, vectors, features, images, samples). x / 255 is x times the reciprocal, and
 * what that lacks times the reciprocal again: for whole numbers below 256, exactly rounded.
 */
export function gather(): Assembler {
  const code = begin()
  const kept = [R14]
  code.push(...kept)
  const [out, outRow, left, features, images, sample, from, i, to] = [RCX, RDX, RSI, R8, R9, R10, R11, RAX, R14]
  pointer(code, out, 0)
  count(code, outRow, 2)
  count(code, left, 3)
  count(code, features, 6)
  pointer(code, images, 7)
  pointer(code, sample, 8)
  const [white, reciprocal, x, q] = [16, 17, 0, 1].map(zmm)
  code.vbroadcastss(white, constant('white'))
  code.vbroadcastss(reciprocal, constant('whiteReciprocal'))
  code.loop(left, 1, () => {
    code.mov32(from, at(sample))
    code.multiply(from, features)
    code.add(from, images)
    code.mov(i, features)
    code.mov(to, out)
    code.loop(i, LANES, () => {
      code.vpmovzxbd(x, at(from))
      code.vcvtdq2ps(x, x)
      code.vmulps(q, x, reciprocal)
      code.vfnmadd231ps(x, q, white)
      code.vfmadd231ps(q, x, reciprocal)
      code.vmovups(at(to), q)
      code.add(from, LANES)
      code.add(to, BYTES)
    })
    code.add(out, outRow)
    code.add(sample, 4)
  })
  code.pop(...kept)
  code.ret()
  return code
}

/** relu_backward(dx, dxPanel, dxRow, a, aPanel, aRow, rows, panels, vectors, scale). */
export function reluBackward(): Assembler {
  const code = begin()
  const [dx, dxRow, a, aRow, left, vectors, i] = [RCX, RDX, RSI, R8, R9, R10, R11]
  pointer(code, dx, 0)
  count(code, dxRow, 2)
  pointer(code, a, 3)
  count(code, aRow, 5)
  count(code, left, 6)
  const [factor, zero, bad, smallest, magnitude, x, scratch] = [16, 17, 18, 19, 20, 0, 1].map(zmm)
  code.vbroadcastss(factor, argument(9))
  code.vbroadcastss(smallest, constant('smallestNormal'))
  code.vbroadcastss(magnitude, constant('magnitude'))
  code.vpxord(zero, zero, zero)
  code.vpxord(bad, bad, bad)
  code.loop(left, 1, () => {
    count(code, vectors, 8)
    code.clear(i)
    code.loop(vectors, 4, () => {
      code.vmovups(x, at(a, 0, i))
      code.vcmpps(k(1), x, zero, COMPARE.greaterThan)
      code.vmulps(x, factor, at(dx, 0, i), zeroing(k(1)))
      check(code, bad, x, scratch)
      flush(code, x, { smallest, magnitude, scratch })
      code.vmovups(at(dx, 0, i), x)
      code.add(i, BYTES)
    })
    code.add(dx, dxRow)
    code.add(a, aRow)
  })
  returnBad(code, bad)
  return code
}

/** column_sums(g, dz, dzRow, rows, vectors, accumulate), without the last. */
export function columnSums(): Assembler {
  const code = begin()
  const [g, dz, stride, left, vectors, row] = [RCX, RDX, RSI, R8, R9, R10]
  pointer(code, g, 0)
  pointer(code, dz, 1)
  count(code, stride, 2)
  count(code, vectors, 4)
  code.loop(vectors, LANES, () => {
    count(code, left, 3)
    code.mov(row, dz)
    const sums = [0, 1, 2, 3].map(zmm)
    for (const sum of sums) code.vpxord(sum, sum, sum)
    code.loop(left, 1, () => {
      for (const [i, sum] of sums.entries()) code.vaddps(sum, sum, at(row, BYTES * i))
      code.add(row, stride)
    })
    for (const [i, sum] of sums.entries()) code.vmovups(at(g, BYTES * i), sum)
    code.add(g, 4 * BYTES)
    code.add(dz, 4 * BYTES)
  })
  code.ret()
  return code
}

/** copy_rows(to, toStride, from, fromStride, rows, bytes). */
export function copyRows(): Assembler {
  const code = begin()
  const [to, toStride, from, fromStride, left, bytes, i] = [RCX, RDX, RSI, R8, R9, R10, R11]
  pointer(code, to, 0)
  count(code, toStride, 1)
  pointer(code, from, 2)
  count(code, fromStride, 3)
  count(code, left, 4)
  code.loop(left, 1, () => {
    count(code, bytes, 5)
    code.clear(i)
    code.loop(bytes, BYTES, () => {
      code.vmovups(zmm(0), at(from, 0, i))
      code.vmovups(at(to, 0, i), zmm(0))
      code.add(i, BYTES)
    })
    code.add(to, toStride)
    code.add(from, fromStride)
  })
  code.ret()
  return code
}
