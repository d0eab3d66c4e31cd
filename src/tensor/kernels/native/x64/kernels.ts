/**
 * Kernels of the WASM module again, in AVX-512: same arguments, same operations in the same order on each number, so the
 * same bits; only more numbers at once. Pure: what is here becomes code in code.ts. Which calls they serve says each
 * kernel's `serves`; all others stay with the WASM module.
 *
 * What they are called with says block.ts; CONSTANTS are at a fixed place of the block.
 *
 * Test: npx tap dist/test/tensor/x64.test.js
 */
import type { WasmExports } from '../../wasm/exports.js'
import {
  type Address,
  type Assembler,
  at,
  broadcastAt,
  COMPARE,
  k,
  merging,
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
  type Vector,
  zeroing,
  zmm,
} from './assembler.js'
import { argument, begin, count, pointer } from './block.js'
import { transpose } from './transpose.js'

/** Lanes of a vector, and its bytes. */
const LANES = 16
const BYTES = 64
/** Of a row of a dense strip of 64 columns. */
const STRIP_ROW_BYTES = 256
/** Of two rows of 64 columns in bf16, as products take them; see wasm/assembly/bf16.ts. */
const PAIR_BYTES = 256

/** Words that kernels read beside their arguments. */
const CONSTANTS = {
  smallestNormal: 0x00800000,
  magnitude: 0x7fffffff,
  one: 1,
  half: 0x7fff,
  nan: 0x7fc00000,
  upper: 0xffff0000,
  white: 0x437f0000,
  whiteReciprocal: 0x3b808081,
  philox0: 0xd2511f53,
  philox1: 0xcd9e8d57,
} as const
/** Which counters the lanes of 64 bits have, so that words come out in the order of units; the second eight: plus 8. */
const COUNTERS = [0, 4, 1, 5, 2, 6, 3, 7]
const ROUNDS = 10
const [WEYL_0, WEYL_1] = [0x9e3779b9, 0xbb67ae85]

/** Where a block has what behind its arguments, in bytes. */
const CONSTANTS_AT = 96
const KEYS_AT = 144
const COUNTERS_AT = 256
/** Sixteen rows of a strip in bf16, on their way to be turned. */
const ROWS_AT = 384
const BLOCK_BYTES = ROWS_AT + 2048

/** A block without arguments, of an arena that begins at this address. Best at a multiple of 64. */
export function createBlock(base: number): ArrayBuffer {
  const block = new ArrayBuffer(BLOCK_BYTES)
  new BigUint64Array(block)[0] = BigInt(base)
  const words = new Uint32Array(block)
  words.set(Object.values(CONSTANTS), CONSTANTS_AT / 4)
  for (const [i, counter] of COUNTERS.entries()) {
    words[COUNTERS_AT / 4 + 2 * i] = counter
    words[COUNTERS_AT / 4 + LANES + 2 * i] = counter + COUNTERS.length
  }
  return block
}
/** Ahead of what is read, into the next page: there the processor does not look by itself. */
const PREFETCH = 2048

const constant = (name: keyof typeof CONSTANTS): Address =>
  at(RDI, CONSTANTS_AT + 4 * Object.keys(CONSTANTS).indexOf(name))

interface Limits {
  readonly smallest: Vector
  readonly magnitude: Vector
  readonly scratch: Vector
}

/** Subnormal numbers become zero. */
function flush(code: Assembler, x: Vector, { smallest, magnitude, scratch }: Limits): void {
  code.vpandd(scratch, x, magnitude)
  code.vcmpps(k(1), scratch, smallest, COMPARE.greaterOrEqual)
  code.vmovups(x, x, zeroing(k(1)))
}

/** Where adam runs: the arrays, and what has been read already; `i` is overwritten. */
interface AdamRegisters {
  readonly w: Register
  readonly m: Register
  readonly v: Register
  readonly g: Register
  readonly i: Register
}

/** Nine numbers from argument `first` on, and what subnormal numbers are known by; all vectors from 16 to 27. */
function adamConstants(code: Assembler, first: number): void {
  for (let n = 0; n < 9; n++) code.vbroadcastss(zmm(16 + n), argument(first + n))
  code.vbroadcastss(zmm(25), constant('smallestNormal'))
  code.vbroadcastss(zmm(26), constant('magnitude'))
}

/** One vector, n after the one at i from where the arrays begin; leaves the weights in `wi`. */
function adamVector(code: Assembler, { w, m, v, g, i }: AdamRegisters, n = 0, wi = zmm(0), ahead = at(i, PREFETCH)): void {
  const [step, beta1, rest1, beta2, rest2, correction2, epsilon, decay, weightDecay] = [
    16, 17, 18, 19, 20, 21, 22, 23, 24,
  ].map(zmm)
  const limits = { smallest: zmm(25), magnitude: zmm(26), scratch: zmm(27) }
  const [gi, mi, vi, term] = [zmm(8), zmm(9), zmm(10), zmm(11)]
  const disp = BYTES * n
  for (const array of [w, m, v]) code.prefetchw(at(array, ahead.disp + disp, ahead.base))
  code.vmovups(wi, at(w, disp, i))
  code.vmulps(gi, decay, wi)
  code.vaddps(gi, gi, at(g, disp, i))
  code.vmulps(mi, beta1, at(m, disp, i))
  code.vmulps(term, rest1, gi)
  code.vaddps(mi, mi, term)
  flush(code, mi, limits)
  code.vmovups(at(m, disp, i), mi)
  code.vmulps(vi, beta2, at(v, disp, i))
  code.vmulps(term, gi, gi)
  code.vmulps(term, rest2, term)
  code.vaddps(vi, vi, term)
  flush(code, vi, limits)
  code.vmovups(at(v, disp, i), vi)
  code.vmulps(vi, vi, correction2)
  code.vsqrtps(vi, vi)
  code.vaddps(vi, vi, epsilon)
  code.vmulps(mi, step, mi)
  code.vdivps(mi, mi, vi)
  code.vmulps(term, weightDecay, wi)
  code.vaddps(mi, mi, term)
  code.vsubps(wi, wi, mi)
  code.vmovups(at(w, disp, i), wi)
}

/** adam(w, m, v, g, n, stepSize, beta1, rest1, beta2, rest2, correction2, epsilon, decay, weightDecay). */
function adam(): Assembler {
  const code = begin()
  const registers = { w: RCX, m: RDX, v: RSI, g: R8, i: R10 }
  const left = R9
  for (const [n, register] of [RCX, RDX, RSI, R8].entries()) pointer(code, register, n)
  count(code, left, 4)
  adamConstants(code, 5)
  code.clear(registers.i)
  const loop = code.here()
  adamVector(code, registers)
  code.add(registers.i, BYTES)
  code.add(left, -LANES)
  code.jnz(loop)
  code.ret()
  return code
}

/** adam_rows(w, m, v, g, n, rows, row, gRow, stepSize, ...); the next row is asked for. */
function adamRows(): Assembler {
  const code = begin()
  const kept = [R13, R14, R15]
  code.push(...kept)
  const registers = { w: RCX, m: RDX, v: RSI, g: R8, i: R10 }
  const ahead = R13
  const arrays = [RCX, RDX, RSI]
  const [left, rows, row, gRow] = [R9, R11, R14, R15]
  for (const [n, register] of [...arrays, R8].entries()) pointer(code, register, n)
  count(code, rows, 5)
  count(code, row, 6)
  count(code, gRow, 7)
  adamConstants(code, 8)
  const next = code.here()
  count(code, left, 4)
  code.clear(registers.i)
  code.mov(ahead, row)
  const loop = code.here()
  adamVector(code, registers, 0, zmm(0), at(ahead))
  code.add(registers.i, BYTES)
  code.add(ahead, BYTES)
  code.add(left, -LANES)
  code.jnz(loop)
  for (const array of arrays) code.add(array, row)
  code.add(registers.g, gRow)
  code.add(rows, -1)
  code.jnz(next)
  code.pop(...kept)
  code.ret()
  return code
}

/** Notes in `bad` where x is not finite: x - x is then a NaN, else 0. */
function check(code: Assembler, bad: Vector, x: Vector, scratch: Vector): void {
  code.vsubps(scratch, x, x)
  code.vpord(bad, bad, scratch)
}

/** Returns not 0 if anything is noted. */
function returnBad(code: Assembler, bad: Vector): void {
  code.vptestmd(k(1), bad, bad)
  code.kmovw(k(1))
  code.ret()
}

/**
 * Four words of Philox4x32-10 of each of eight counters, one in each lane of 64 bits, of which the upper halves do not
 * count: [of the even lanes, of the odd ones], four lanes of 32 bits for each. Overwrites x and the scratch.
 */
function philox(
  code: Assembler,
  x: readonly Vector[],
  scratch: readonly Vector[],
  [m0, m1]: readonly Vector[],
): [Vector, Vector] {
  let [x0, x1, x2, x3] = x
  let [p, q] = scratch
  for (let round = 0; round < ROUNDS; round++) {
    const key = (i: number) => broadcastAt(RDI, KEYS_AT + 8 * round + 4 * i)
    code.vpmuludq(p, x0, m0)
    code.vpmuludq(q, x2, m1)
    code.vpshufdUpper(x0, q)
    code.vpshufdUpper(x2, p)
    code.vpxor3d(x0, x1, key(0))
    code.vpxor3d(x2, x3, key(1))
    ;[x1, q] = [q, x1]
    ;[x3, p] = [p, x3]
  }
  code.vshufps('even', p, x0, x1)
  code.vshufps('even', q, x2, x3)
  code.vshufps('even', x0, p, q)
  code.vshufps('odd', x1, p, q)
  return [x0, x1]
}

/** bias_relu_dropout(z, zPanel, zRow, rows, panels, vectors, first, bias, samples, scratch, k0, k1, layer, epoch, threshold, scale). */
function biasReluDropout(): Assembler {
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
  const row = code.here()
  count(code, vectors, 5)
  code.mov(zAt, z)
  code.mov(biasAt, bias)
  for (const [i, counter] of counters.entries()) code.vpaddd(counter, first, at(RDI, COUNTERS_AT + BYTES * i))
  const group = code.here()
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
  code.add(vectors, -LANES)
  code.jnz(group)
  code.add(z, zRow)
  code.add(sample, 4)
  code.add(left, -1)
  code.jnz(row)
  returnBad(code, bad)
  return code
}

/**
 * gather(out, outPanel, outRow, rows, panels, vectors, features, images, samples). x / 255 is x times the reciprocal, and
 * what that lacks times the reciprocal again: for whole numbers below 256, exactly rounded.
 */
function gather(): Assembler {
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
  const row = code.here()
  code.mov32(from, at(sample))
  code.multiply(from, features)
  code.add(from, images)
  code.mov(i, features)
  code.mov(to, out)
  const loop = code.here()
  code.vpmovzxbd(x, at(from))
  code.vcvtdq2ps(x, x)
  code.vmulps(q, x, reciprocal)
  code.vfnmadd231ps(x, q, white)
  code.vfmadd231ps(q, x, reciprocal)
  code.vmovups(at(to), q)
  code.add(from, LANES)
  code.add(to, BYTES)
  code.add(i, -LANES)
  code.jnz(loop)
  code.add(out, outRow)
  code.add(sample, 4)
  code.add(left, -1)
  code.jnz(row)
  code.pop(...kept)
  code.ret()
  return code
}

/** relu_backward(dx, dxPanel, dxRow, a, aPanel, aRow, rows, panels, vectors, scale). */
function reluBackward(): Assembler {
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
  const row = code.here()
  count(code, vectors, 8)
  code.clear(i)
  const loop = code.here()
  code.vmovups(x, at(a, 0, i))
  code.vcmpps(k(1), x, zero, COMPARE.greaterThan)
  code.vmulps(x, factor, at(dx, 0, i), zeroing(k(1)))
  check(code, bad, x, scratch)
  flush(code, x, { smallest, magnitude, scratch })
  code.vmovups(at(dx, 0, i), x)
  code.add(i, BYTES)
  code.add(vectors, -4)
  code.jnz(loop)
  code.add(dx, dxRow)
  code.add(a, aRow)
  code.add(left, -1)
  code.jnz(row)
  returnBad(code, bad)
  return code
}

/** column_sums(g, dz, dzRow, rows, vectors, accumulate), without the last. */
function columnSums(): Assembler {
  const code = begin()
  const [g, dz, stride, left, vectors, row] = [RCX, RDX, RSI, R8, R9, R10]
  pointer(code, g, 0)
  pointer(code, dz, 1)
  count(code, stride, 2)
  count(code, vectors, 4)
  const loop = code.here()
  count(code, left, 3)
  code.mov(row, dz)
  const sums = [0, 1, 2, 3].map(zmm)
  for (const sum of sums) code.vpxord(sum, sum, sum)
  const next = code.here()
  for (const [i, sum] of sums.entries()) code.vaddps(sum, sum, at(row, BYTES * i))
  code.add(row, stride)
  code.add(left, -1)
  code.jnz(next)
  for (const [i, sum] of sums.entries()) code.vmovups(at(g, BYTES * i), sum)
  code.add(g, 4 * BYTES)
  code.add(dz, 4 * BYTES)
  code.add(vectors, -LANES)
  code.jnz(loop)
  code.ret()
  return code
}

/** copy_rows(to, toStride, from, fromStride, rows, bytes). */
function copyRows(): Assembler {
  const code = begin()
  const [to, toStride, from, fromStride, left, bytes, i] = [RCX, RDX, RSI, R8, R9, R10, R11]
  pointer(code, to, 0)
  count(code, toStride, 1)
  pointer(code, from, 2)
  count(code, fromStride, 3)
  count(code, left, 4)
  const row = code.here()
  count(code, bytes, 5)
  code.clear(i)
  const loop = code.here()
  code.vmovups(zmm(0), at(from, 0, i))
  code.vmovups(at(to, 0, i), zmm(0))
  code.add(i, BYTES)
  code.add(bytes, -BYTES)
  code.jnz(loop)
  code.add(to, toStride)
  code.add(from, fromStride)
  code.add(left, -1)
  code.jnz(row)
  code.ret()
  return code
}

/** Rounds lanes to bf16, in their upper halves. */
function rounding(code: Assembler, [one, half, nan, scratch]: readonly Vector[]): (x: Vector) => void {
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

/** bf16_rows(to, toStride, from, fromStride, rows, octets). */
function rows(): Assembler {
  const code = begin()
  const [to, toStride, from, fromStride, left, octets] = [RCX, RDX, RSI, R8, R9, R10]
  pointer(code, to, 0)
  count(code, toStride, 1)
  pointer(code, from, 2)
  count(code, fromStride, 3)
  count(code, left, 4)
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  const row = code.here()
  count(code, octets, 5)
  code.clear(R11)
  code.mov(RAX, from)
  const loop = code.here()
  code.vmovups(zmm(0), at(RAX))
  round(zmm(0))
  code.vpsrld(zmm(0), zmm(0), 16)
  code.vpmovdw(at(to, 0, R11), zmm(0))
  code.add(RAX, BYTES)
  code.add(R11, BYTES / 2)
  code.add(octets, -2)
  code.jnz(loop)
  code.add(to, toStride)
  code.add(from, fromStride)
  code.add(left, -1)
  code.jnz(row)
  code.ret()
  return code
}

/** Lanes of a below those of b: bf16 of each in one of 32 bits; a and b are rounded. The result is in a. */
function pair(code: Assembler, a: Vector, b: Vector, upper: Vector): void {
  code.vpsrld(a, a, 16)
  code.vpandd(b, b, upper)
  code.vpord(a, a, b)
}

/** bf16_pairs(to, from, fromStride, rows, padded). */
function pairs(): Assembler {
  const code = begin()
  const [to, from, stride, left] = [RCX, RDX, RSI, R8]
  pointer(code, to, 0)
  pointer(code, from, 1)
  count(code, stride, 2)
  count(code, left, 3)
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  code.vbroadcastss(zmm(27), constant('upper'))
  const loop = code.here()
  for (let j = 0; j < PAIR_BYTES; j += BYTES) {
    const [a, b] = [zmm(j / BYTES), zmm(4 + j / BYTES)]
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
  code.add(left, -2)
  code.jnz(loop)
  code.ret()
  return code
}

/** bf16_columns(to, toStride, from, fromStride, rows, vectors, padded). */
function columns(): Assembler {
  const code = begin()
  const kept = [RBX, R14, R15]
  code.push(...kept)
  const [to, from, stride, left, column, row, out, width, width4] = [RCX, RDX, RSI, R8, R9, R10, R11, RBX, R14]
  const place = R15
  pointer(code, to, 0)
  count(code, width, 1)
  pointer(code, from, 2)
  count(code, stride, 3)
  count(code, column, 5)
  code.mov(width4, width)
  code.add(width4, width4)
  code.add(width4, width4)
  const loop = code.here()
  count(code, left, 4)
  code.mov(row, from)
  code.mov(out, to)
  const block = code.here()
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
  code.add(out, BYTES)
  code.add(left, -2 * LANES)
  code.jnz(block)
  for (let i = 0; i < LANES / 4; i++) code.add(to, width4)
  code.add(from, BYTES)
  code.add(column, -4)
  code.jnz(loop)
  code.pop(...kept)
  code.ret()
  return code
}

/** Rows of a dense strip of weights that are turned together: four cache lines of each pair of columns make 64 of them. */
const GROUP = 16
const BF16_ROW_BYTES = STRIP_ROW_BYTES / 2

/** bf16_weights(w, rows, padded, pairs, turned, turnedBlock, turnedPairs). */
function weights(): Assembler {
  return stripOfWeights(false)
}

/** bf16_adam(w, rows, padded, pairs, turned, turnedBlock, turnedPairs, m, v, g, stepSize, ...). */
function updatedWeights(): Assembler {
  return stripOfWeights(true)
}

/**
 * Takes rows of weights in pairs, to what products read of them: that goes past the caches, for it is not needed before
 * the next step. A pair after another, so that what is computed does not wait for memory, nor memory for it.
 */
function stripOfWeights(updates: boolean): Assembler {
  const code = begin()
  const kept = [RBP, RBX, R13, R14, R15]
  code.push(...kept)
  const [w, m, v, g, i, left, to] = [RCX, RDX, RSI, R8, R10, R9, R11]
  const [turned, turnedBlock, group, rowAt, pairsLeft] = [RBX, R14, R15, R13, RBP]
  pointer(code, w, 0)
  count(code, left, 1)
  pointer(code, to, 3)
  if (updates) for (const [n, array] of [m, v, g].entries()) pointer(code, array, 7 + n)
  count(code, turned, 4)
  code.unlessZero(turned, () => code.add(turned, RAX))
  count(code, turnedBlock, 5)
  code.add(turnedBlock, -PAIR_BYTES)
  if (updates) adamConstants(code, 10)
  const upper = zmm(12)
  code.vbroadcastss(upper, constant('upper'))
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  const set = (register: Register, value: number) => {
    code.clear(register)
    code.add(register, value)
  }
  code.clear(i)
  set(group, 4)
  const loop = code.here()
  set(pairsLeft, GROUP / 2)
  code.mov(rowAt, RDI)
  const rows = code.here()
  const xs = [0, 1, 2, 3, 4, 5, 6, 7].map(zmm)
  for (const [n, x] of xs.entries()) {
    if (updates) adamVector(code, { w, m, v, g, i }, n, x)
    else code.vmovups(x, at(w, BYTES * n, i))
    round(x)
    code.vpsrld(zmm(8), x, 16)
    code.vpmovdw(at(rowAt, ROWS_AT + (BYTES / 2) * n), zmm(8))
  }
  for (let n = 0; n < 4; n++) {
    const [a, b] = [xs[n], xs[4 + n]]
    pair(code, a, b, upper)
    code.vmovntps(at(to, BYTES * n), a)
  }
  code.add(i, 2 * STRIP_ROW_BYTES)
  code.add(rowAt, 2 * BF16_ROW_BYTES)
  code.add(to, PAIR_BYTES)
  code.add(pairsLeft, -1)
  code.jnz(rows)
  code.unlessZero(turned, () => {
    // Of 32 pairs of columns, or 16.
    turn(code, turned, 0)
    count(code, pairsLeft, 6)
    code.add(pairsLeft, -LANES)
    code.unlessZero(pairsLeft, () => turn(code, turned, 1))
    if (updates) adamConstants(code, 10)
    code.vbroadcastss(upper, constant('upper'))
    rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
    code.add(turned, BYTES)
    code.add(group, -1)
    code.ifZero(group, () => {
      set(group, 4)
      code.add(turned, turnedBlock)
    })
  })
  code.add(left, -GROUP)
  code.jnz(loop)
  code.sfence()
  code.pop(...kept)
  code.ret()
  return code
}

/** A half of the columns of 16 rows in bf16: a pair of columns becomes one vector. Overwrites all vectors. */
function turn(code: Assembler, to: Register, half: number): void {
  for (let r = 0; r < GROUP; r++) code.vmovups(zmm(r), at(RDI, ROWS_AT + BF16_ROW_BYTES * r + BYTES * half))
  transpose(code, (row, vector) => code.vmovntps(at(to, PAIR_BYTES * (LANES * half + row)), vector))
}

/** Asks for `bytes` at `ahead`, which then is behind them. Overwrites `bytes`. */
function readAhead(code: Assembler, ahead: Register, bytes: Register): void {
  code.unlessZero(bytes, () => {
    const line = code.here()
    code.prefetcht1(at(ahead))
    code.add(ahead, BYTES)
    code.add(bytes, -BYTES)
    code.jnz(line)
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
function forward(drops: boolean): Assembler {
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
  const row = code.here()
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
  code.add(left, -1)
  code.jnz(row)
  code.pop(...kept)
  returnBad(code, bad)
  return code
}

/** bf16_backward(dx, dxRow, strip, rows, a, aRow, to, toStride, pairs, padded, ahead, aheadRow, scale), two rows at a time. */
function backward(): Assembler {
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
  const rows = code.here()
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
  code.add(left, -2)
  code.jnz(rows)
  code.pop(...kept)
  returnBad(code, bad)
  return code
}

type Arguments<N extends keyof WasmExports> = Parameters<WasmExports[N]>

/** A function of the WASM module, for calls that it serves; of a size that is no multiple, the rest is the module's. */
export interface X64Kernel<N extends keyof WasmExports = keyof WasmExports> {
  readonly name: N
  readonly code: () => Assembler
  /** The first argument that is a float32; all after it are. */
  readonly floatsFrom: number
  serves(...args: Arguments<N>): boolean
  /** The argument that counts columns, or numbers, and what it is served in multiples of. */
  readonly size: { readonly at: number; readonly multiple: number }
  /** By how much other arguments differ for the rest, for each that has been served: [argument, by]. */
  readonly moves: readonly (readonly [at: number, by: number])[]
  /** Whether the module has something to do even where no number is left. */
  leaves?(args: readonly number[]): boolean
  /** What else differs then. */
  move?(args: number[], served: number): void
  /** Words that are derived from arguments. */
  prepare?(words: Uint32Array, ...args: Arguments<N>): void
}

const kernel = <N extends keyof WasmExports>(of: X64Kernel<N>): X64Kernel => of as unknown as X64Kernel
const NO_FLOATS = 99
/** Fewer numbers are not worth the call. */
const WORTH = 512

/** Keys of the rounds of Philox. */
function schedule(words: Uint32Array, k0: number, k1: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    words[KEYS_AT / 4 + 2 * round] = k0 + round * WEYL_0
    words[KEYS_AT / 4 + 2 * round + 1] = k1 + round * WEYL_1
  }
}

const servesWeights = (...[, , , , turned, , turnedPairs]: Arguments<'bf16_weights' | 'bf16_adam'>) =>
  turned === 0 || turnedPairs % LANES === 0
/** Zeros past the last row. */
const leavesZeros = ([, rows, padded]: readonly number[]) => padded > rows
const movesOfWeights: X64Kernel['moves'] = [
  [0, STRIP_ROW_BYTES],
  [2, -1],
  [3, PAIR_BYTES / 2],
]
function moveTurned(args: number[], served: number): void {
  const [, , , , turned, turnedBlock] = args
  if (turned > 0) args[4] += Math.floor(served / 64) * turnedBlock + (served % 64) * (PAIR_BYTES / 64)
}

export const KERNELS: readonly X64Kernel[] = [
  kernel({
    name: 'adam',
    code: adam,
    floatsFrom: 5,
    serves: (_w, _m, _v, _g, n) => n >= WORTH,
    size: { at: 4, multiple: LANES },
    moves: [0, 1, 2, 3].map(i => [i, 4]),
  }),
  kernel({
    name: 'adam_rows',
    code: adamRows,
    floatsFrom: 8,
    serves: (...[, , , , n, rows]) => n * rows >= WORTH,
    size: { at: 4, multiple: LANES },
    moves: [0, 1, 2, 3].map(i => [i, 4]),
  }),
  kernel({
    name: 'bias_relu_dropout',
    code: biasReluDropout,
    floatsFrom: 15,
    serves: (_z, _zPanel, _zRow, rows, panels, vectors) => panels === 1 && 4 * rows * vectors >= WORTH,
    size: { at: 5, multiple: LANES },
    moves: [
      [0, 16],
      [6, 1],
      [7, 16],
    ],
    prepare: (words, ...args) => schedule(words, args[10], args[11]),
  }),
  kernel({
    name: 'gather',
    code: gather,
    floatsFrom: NO_FLOATS,
    serves: (...[, , , rows, panels, , features]) =>
      panels === 1 && features % LANES === 0 && rows * features >= WORTH,
    size: { at: 3, multiple: 1 },
    moves: [],
  }),
  kernel({
    name: 'relu_backward',
    code: reluBackward,
    floatsFrom: 9,
    serves: (...[, , , , , , rows, panels, vectors]) => panels === 1 && 4 * rows * vectors >= WORTH,
    size: { at: 8, multiple: 4 },
    moves: [
      [0, 16],
      [3, 16],
    ],
  }),
  kernel({
    name: 'column_sums',
    code: columnSums,
    floatsFrom: NO_FLOATS,
    serves: (_g, _dz, _stride, rows, vectors, accumulate) => accumulate === 0 && 4 * rows * vectors >= WORTH,
    size: { at: 4, multiple: LANES },
    moves: [
      [0, 16],
      [1, 16],
    ],
  }),
  kernel({
    name: 'copy_rows',
    code: copyRows,
    floatsFrom: NO_FLOATS,
    serves: (_to, _toStride, _from, _fromStride, rows, bytes) => rows * bytes >= 4 * WORTH,
    size: { at: 5, multiple: BYTES },
    moves: [
      [0, 1],
      [2, 1],
    ],
  }),
  kernel({
    name: 'bf16_rows',
    code: rows,
    floatsFrom: NO_FLOATS,
    serves: (_to, _toStride, _from, _fromStride, rows, octets) => 8 * rows * octets >= WORTH,
    size: { at: 5, multiple: 2 },
    moves: [
      [0, 16],
      [2, 32],
    ],
  }),
  kernel({
    name: 'bf16_pairs',
    code: pairs,
    floatsFrom: NO_FLOATS,
    serves: (_to, _from, _stride, rows, padded) => rows === padded && rows % 2 === 0,
    size: { at: 3, multiple: 1 },
    moves: [],
  }),
  kernel({
    name: 'bf16_columns',
    code: columns,
    floatsFrom: NO_FLOATS,
    serves: (...[, , , , rows, vectors, padded]) => rows === padded && rows % (2 * LANES) === 0 && vectors % 4 === 0,
    size: { at: 4, multiple: 1 },
    moves: [],
  }),
  kernel({
    name: 'bf16_weights',
    code: weights,
    floatsFrom: NO_FLOATS,
    serves: servesWeights,
    size: { at: 1, multiple: GROUP },
    leaves: leavesZeros,
    moves: movesOfWeights,
    move: moveTurned,
  }),
  kernel({
    name: 'bf16_adam',
    code: updatedWeights,
    floatsFrom: 10,
    serves: servesWeights,
    size: { at: 1, multiple: GROUP },
    leaves: leavesZeros,
    moves: [...movesOfWeights, ...[7, 8, 9].map(i => [i, STRIP_ROW_BYTES] as const)],
    move: moveTurned,
  }),
  kernel({
    name: 'bf16_forward',
    code: () => forward(false),
    floatsFrom: NO_FLOATS,
    serves: () => true,
    size: { at: 3, multiple: 1 },
    moves: [],
  }),
  kernel({
    name: 'bf16_forward_dropout',
    code: () => forward(true),
    floatsFrom: 17,
    serves: () => true,
    size: { at: 3, multiple: 1 },
    moves: [],
    prepare: (words, ...args) => schedule(words, args[12], args[13]),
  }),
  kernel({
    name: 'bf16_backward',
    code: backward,
    floatsFrom: 12,
    serves: (...args) => args[3] === args[9],
    size: { at: 3, multiple: 1 },
    moves: [],
  }),
]
