/** Kernels between products, as in module/assembly/elementwise.ts and module/assembly/gather.ts: bias, ReLU, dropout, sums, copies. Pure. */
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
import { begin } from './calling-convention.js'
import { LANES, VECTOR_BYTES } from './constants.js'
import { COUNTERS_AT, check, constant, gradientRows, loadMask, maskWords, returnBad } from './emit-helpers.js'
import { BIAS_RELU, BIAS_RELU_DROPOUT, COLUMN_SUMS, COPY_ROWS, DROPOUT, GATHER, RELU_BACKWARD } from './signatures.js'

/** Bias and ReLU, which keeps a NaN; arguments: BIAS_RELU. */
export function biasRelu(): Assembler {
  const { code, load } = begin(BIAS_RELU)
  const [z, zRow, left, bias, vectors, i] = [RCX, RDX, RSI, R8, R9, R10]
  load(z, 'z')
  load(zRow, 'zRow')
  load(left, 'rows')
  load(bias, 'bias')
  const [x, scratch, zero, bad] = [0, 1, 16, 17].map(zmm)
  code.vpxord(zero, zero, zero)
  code.vpxord(bad, bad, bad)
  code.loop(left, 1, () => {
    load(vectors, 'vectors')
    code.clear(i)
    code.loop(vectors, 4, () => {
      code.vmovups(x, at(z, 0, i))
      code.vaddps(x, x, at(bias, 0, i))
      check(code, bad, x, scratch)
      code.vmaxps(x, zero, x)
      code.vmovups(at(z, 0, i), x)
      code.add(i, VECTOR_BYTES)
    })
    code.add(z, zRow)
  })
  returnBad(code, bad)
  return code
}

/** Bias, ReLU and dropout; arguments: BIAS_RELU_DROPOUT. */
export function biasReluDropout(): Assembler {
  const kernel = begin(BIAS_RELU_DROPOUT)
  const { code, load } = kernel
  const [z, zRow, left, bias, sample, vectors, zAt, biasAt] = [RCX, RDX, RSI, R8, R9, R10, R11, RAX]
  load(z, 'z')
  load(zRow, 'zRow')
  load(left, 'rows')
  load(bias, 'bias')
  load(sample, 'samples')
  const m = [zmm(16), zmm(17)]
  const counters = [zmm(18), zmm(19)]
  const [least, factor, zero, bad, first, step] = [20, 21, 22, 23, 24, 25].map(zmm)
  loadMask(kernel, m, [least, factor, first])
  code.vpxord(zero, zero, zero)
  code.vpxord(bad, bad, bad)
  // Sixteen counters serve 64 units.
  code.vbroadcastss(step, constant('one'))
  for (let i = 0; i < 4; i++) code.vpaddd(step, step, step)
  code.loop(left, 1, () => {
    load(vectors, 'vectors')
    code.mov(zAt, z)
    code.mov(biasAt, bias)
    for (const [i, counter] of counters.entries()) code.vpaddd(counter, first, at(RDI, COUNTERS_AT + VECTOR_BYTES * i))
    code.loop(vectors, LANES, () => {
      const words: Vector[] = []
      for (const i of [0, 1]) {
        const free = [0, 1, 2, 3, 4, 5].map(j => zmm(6 * i + j))
        words.push(...maskWords(kernel, m, counters[i], sample, free))
        code.vpaddd(counters[i], counters[i], step)
      }
      for (const [i, word] of words.entries()) {
        const [x, scratch] = [zmm(26), zmm(27)]
        code.vmovups(x, at(zAt, VECTOR_BYTES * i))
        code.vaddps(x, x, at(biasAt, VECTOR_BYTES * i))
        check(code, bad, x, scratch)
        code.vpcmpud(k(1), word, least)
        code.vmaxps(x, zero, x)
        code.vmulps(x, x, factor, zeroing(k(1)))
        code.vmovups(at(zAt, VECTOR_BYTES * i), x)
      }
      code.add(zAt, 4 * VECTOR_BYTES)
      code.add(biasAt, 4 * VECTOR_BYTES)
    })
    code.add(z, zRow)
    code.add(sample, 4)
  })
  returnBad(code, bad)
  return code
}

/** Dropout alone, of a matrix without derivatives; arguments: DROPOUT. Eight counters serve 32 units. */
export function dropout(): Assembler {
  const kernel = begin(DROPOUT)
  const { code, load } = kernel
  const [z, zRow, left, sample, vectors, zAt] = [RCX, RDX, RSI, R8, R9, R10]
  load(z, 'z')
  load(zRow, 'zRow')
  load(left, 'rows')
  load(sample, 'samples')
  const m = [zmm(16), zmm(17)]
  const [counter, least, factor, first, step, x] = [18, 19, 20, 21, 22, 23].map(zmm)
  loadMask(kernel, m, [least, factor, first])
  code.vbroadcastss(step, constant('one'))
  for (let i = 0; i < 3; i++) code.vpaddd(step, step, step)
  code.loop(left, 1, () => {
    load(vectors, 'vectors')
    code.mov(zAt, z)
    code.vpaddd(counter, first, at(RDI, COUNTERS_AT))
    code.loop(vectors, LANES / 2, () => {
      const free = [0, 1, 2, 3, 4, 5].map(zmm)
      for (const [i, word] of maskWords(kernel, m, counter, sample, free).entries()) {
        code.vpcmpud(k(1), word, least)
        code.vmovups(x, at(zAt, VECTOR_BYTES * i))
        code.vmulps(x, x, factor, zeroing(k(1)))
        code.vmovups(at(zAt, VECTOR_BYTES * i), x)
      }
      code.vpaddd(counter, counter, step)
      code.add(zAt, 2 * VECTOR_BYTES)
    })
    code.add(z, zRow)
    code.add(sample, 4)
  })
  code.ret()
  return code
}

/**
 * Images of samples, divided by 255; arguments: GATHER. x / 255 is x times the reciprocal, plus the remainder times the
 * reciprocal: exactly rounded for integers below 256.
 */
export function gather(): Assembler {
  const { code, load } = begin(GATHER)
  const kept = [R14]
  code.push(...kept)
  const [out, outRow, left, features, images, sample, from, i, to] = [RCX, RDX, RSI, R8, R9, R10, R11, RAX, R14]
  load(out, 'out')
  load(outRow, 'outRow')
  load(left, 'rows')
  load(features, 'features')
  load(images, 'images')
  load(sample, 'samples')
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
      code.add(to, VECTOR_BYTES)
    })
    code.add(out, outRow)
    code.add(sample, 4)
  })
  code.pop(...kept)
  code.ret()
  return code
}

/** Backward pass of ReLU and dropout; arguments: RELU_BACKWARD. */
export function reluBackward(): Assembler {
  const kernel = begin(RELU_BACKWARD)
  const { code } = kernel
  const factor = zmm(16)
  code.vbroadcastss(factor, kernel.argument('scale'))
  return gradientRows(kernel, ['a', 'aRow'], (x, a, zero, dx) => {
    code.vcmpps(k(1), a, zero, COMPARE.greaterThan)
    code.vmulps(x, factor, dx, zeroing(k(1)))
  })
}

/** Sums of columns, which it overwrites; arguments: COLUMN_SUMS. */
export function columnSums(): Assembler {
  const { code, load } = begin(COLUMN_SUMS)
  const [g, dz, stride, left, vectors, row] = [RCX, RDX, RSI, R8, R9, R10]
  load(g, 'g')
  load(dz, 'dz')
  load(stride, 'dzRow')
  load(vectors, 'vectors')
  code.loop(vectors, LANES, () => {
    load(left, 'rows')
    code.mov(row, dz)
    const sums = [0, 1, 2, 3].map(zmm)
    for (const sum of sums) code.vpxord(sum, sum, sum)
    code.loop(left, 1, () => {
      for (const [i, sum] of sums.entries()) code.vaddps(sum, sum, at(row, VECTOR_BYTES * i))
      code.add(row, stride)
    })
    for (const [i, sum] of sums.entries()) code.vmovups(at(g, VECTOR_BYTES * i), sum)
    code.add(g, 4 * VECTOR_BYTES)
    code.add(dz, 4 * VECTOR_BYTES)
  })
  code.ret()
  return code
}

/** Copies rows; arguments: COPY_ROWS. */
export function copyRows(): Assembler {
  const { code, load } = begin(COPY_ROWS)
  const [to, toStride, from, fromStride, left, bytes, i] = [RCX, RDX, RSI, R8, R9, R10, R11]
  load(to, 'to')
  load(toStride, 'toStride')
  load(from, 'from')
  load(fromStride, 'fromStride')
  load(left, 'rows')
  code.loop(left, 1, () => {
    load(bytes, 'bytes')
    code.clear(i)
    code.loop(bytes, VECTOR_BYTES, () => {
      code.vmovups(zmm(0), at(from, 0, i))
      code.vmovups(at(to, 0, i), zmm(0))
      code.add(i, VECTOR_BYTES)
    })
    code.add(to, toStride)
    code.add(from, fromStride)
  })
  code.ret()
  return code
}
