/**
 * Kernels of the WASM module again, in AVX-512: same arguments, same operations in the same order on each number, so the
 * same bits; only more numbers at once. Pure: what is here becomes code in code.ts. Which calls they serve says each
 * kernel's `serves`; all others stay with the WASM module.
 *
 * A kernel is called with the address of a block: where the arena begins, 64 bits; then its arguments, 32 bits each,
 * pointers as offsets in the arena. CONSTANTS follow at a fixed place.
 *
 * Test: npx tap dist/test/tensor/x64.test.js
 */
import type { WasmExports } from '../../wasm/exports.js'
import {
  type Address,
  Assembler,
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
  RDI,
  RDX,
  type Register,
  RSI,
  type Vector,
  zeroing,
  zmm,
} from './assembler.js'

/** Lanes of a vector, and its bytes. */
const LANES = 16
const BYTES = 64
/** Of two rows of 64 columns in bf16, as products take them; see wasm/assembly/bf16.ts. */
const PAIR_BYTES = 256

const ARGUMENTS_AT = 8
const CONSTANTS_AT = 96
export const BLOCK_BYTES = 128
/** Words that kernels read, after the arguments. */
export const CONSTANTS = {
  smallestNormal: 0x00800000,
  magnitude: 0x7fffffff,
  one: 1,
  half: 0x7fff,
  nan: 0x7fc00000,
  upper: 0xffff0000,
} as const
export const WORDS = { argumentsAt: ARGUMENTS_AT / 4, constantsAt: CONSTANTS_AT / 4 } as const

/** Ahead of what is read: past the end of a page the processor does not look by itself. */
const PREFETCH = 1024

const argument = (i: number): Address => at(RDI, ARGUMENTS_AT + 4 * i)
const constant = (name: keyof typeof CONSTANTS): Address =>
  at(RDI, CONSTANTS_AT + 4 * Object.keys(CONSTANTS).indexOf(name))

/** Argument i, a pointer, as an address. RAX holds where the arena begins. */
function pointer(code: Assembler, to: Register, i: number): void {
  code.mov32(to, argument(i))
  code.add(to, RAX)
}

/** A number without a sign. */
const count = (code: Assembler, to: Register, i: number): void => code.mov32(to, argument(i))

function begin(): Assembler {
  const code = new Assembler()
  code.mov(RAX, at(RDI))
  return code
}

/** See wasm/assembly/optimizers.ts. */
function adam(): Assembler {
  const code = begin()
  const [w, m, v, g, left, i] = [RCX, RDX, RSI, R8, R9, R10]
  for (const [n, register] of [w, m, v, g].entries()) pointer(code, register, n)
  count(code, left, 4)
  const constants = Array.from({ length: 9 }, (_, n) => zmm(16 + n))
  for (const [n, vector] of constants.entries()) code.vbroadcastss(vector, argument(5 + n))
  const [step, beta1, rest1, beta2, rest2, correction2, epsilon, decay, weightDecay] = constants
  const [smallest, magnitude, scratch] = [zmm(25), zmm(26), zmm(27)]
  code.vbroadcastss(smallest, constant('smallestNormal'))
  code.vbroadcastss(magnitude, constant('magnitude'))
  const flush = (x: Vector) => {
    code.vpandd(scratch, x, magnitude)
    code.vcmpps(k(1), scratch, smallest, COMPARE.greaterOrEqual)
    code.vmovups(x, x, zeroing(k(1)))
  }
  const [wi, gi, mi, vi, term] = [zmm(0), zmm(1), zmm(2), zmm(3), zmm(4)]
  code.clear(i)
  const loop = code.here()
  for (const array of [w, m, v]) code.prefetchw(at(array, PREFETCH, i))
  code.vmovups(wi, at(w, 0, i))
  code.vmulps(gi, decay, wi)
  code.vaddps(gi, gi, at(g, 0, i))
  code.vmulps(mi, beta1, at(m, 0, i))
  code.vmulps(term, rest1, gi)
  code.vaddps(mi, mi, term)
  flush(mi)
  code.vmovups(at(m, 0, i), mi)
  code.vmulps(vi, beta2, at(v, 0, i))
  code.vmulps(term, gi, gi)
  code.vmulps(term, rest2, term)
  code.vaddps(vi, vi, term)
  flush(vi)
  code.vmovups(at(v, 0, i), vi)
  code.vmulps(vi, vi, correction2)
  code.vsqrtps(vi, vi)
  code.vaddps(vi, vi, epsilon)
  code.vmulps(mi, step, mi)
  code.vdivps(mi, mi, vi)
  code.vmulps(term, weightDecay, wi)
  code.vaddps(mi, mi, term)
  code.vsubps(wi, wi, mi)
  code.vmovups(at(w, 0, i), wi)
  code.add(i, BYTES)
  code.add(left, -LANES)
  code.jnz(loop)
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

/** Transposes 16 x 16 lanes, zmm 0 to 15, through 16 to 31; `store` gets each row of the result, in no order. */
function transpose(code: Assembler, store: (row: number, vector: Vector) => void): void {
  for (let r = 0; r < LANES; r += 2) {
    code.vunpckps('low', zmm(16 + r), zmm(r), zmm(r + 1))
    code.vunpckps('high', zmm(17 + r), zmm(r), zmm(r + 1))
  }
  // zmm(r + c), r a multiple of 4: in quarter q, column 4q + c of rows r to r + 3.
  for (let r = 0; r < LANES; r += 4) {
    code.vunpckpd('low', zmm(r), zmm(16 + r), zmm(18 + r))
    code.vunpckpd('high', zmm(r + 1), zmm(16 + r), zmm(18 + r))
    code.vunpckpd('low', zmm(r + 2), zmm(17 + r), zmm(19 + r))
    code.vunpckpd('high', zmm(r + 3), zmm(17 + r), zmm(19 + r))
  }
  const halves = [
    [0, 1],
    [2, 3],
  ] as const
  for (let c = 0; c < 4; c++) {
    for (const [half, [q0, q1]] of halves.entries()) {
      const [above, below] = [zmm(16 + 4 * c + half), zmm(18 + 4 * c + half)]
      code.vshuff32x4(above, zmm(c), zmm(4 + c), [q0, q1, q0, q1])
      code.vshuff32x4(below, zmm(8 + c), zmm(12 + c), [q0, q1, q0, q1])
    }
  }
  for (let c = 0; c < 4; c++) {
    for (const [half, [q0, q1]] of halves.entries()) {
      const [above, below] = [zmm(16 + 4 * c + half), zmm(18 + 4 * c + half)]
      for (const [i, q] of [q0, q1].entries()) {
        const result = zmm(4 * half + 2 * (c & 1) + i)
        code.vshuff32x4(result, above, below, [i, 2 + i, i, 2 + i])
        store(4 * q + c, result)
      }
    }
  }
}

/** bf16_columns(to, from, fromStride, rows, vectors, padded). */
function columns(): Assembler {
  const code = begin()
  const kept = [RBX, R14, R15]
  code.push(...kept)
  const [to, from, stride, left, column, row, out, width, width4] = [RCX, RDX, RSI, R8, R9, R10, R11, RBX, R14]
  const place = R15
  pointer(code, to, 0)
  pointer(code, from, 1)
  count(code, stride, 2)
  count(code, column, 4)
  count(code, width, 5)
  code.add(width, width)
  code.mov(width4, width)
  code.add(width4, width4)
  code.add(width4, width4)
  const loop = code.here()
  count(code, left, 3)
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

/** bf16_column_pairs(to, from, fromStride, rows, pairs). */
function columnPairs(): Assembler {
  const code = begin()
  const [to, from, stride, left, across, row, column, out] = [RCX, RDX, RSI, R8, R9, R10, R11, RAX]
  pointer(code, to, 0)
  pointer(code, from, 1)
  count(code, stride, 2)
  count(code, left, 3)
  const loop = code.here()
  count(code, across, 4)
  code.mov(column, from)
  code.mov(out, to)
  const block = code.here()
  const round = rounding(code, [zmm(29), zmm(30), zmm(31), zmm(28)])
  code.mov(row, column)
  for (let r = 0; r < LANES; r++) {
    const [a, b] = [zmm(r), zmm(16 + (r & 7))]
    code.vmovups(a, at(row))
    code.vmovups(b, at(row, BYTES))
    code.add(row, stride)
    round(a)
    round(b)
    code.vpsrld(a, a, 16)
    code.vpsrld(b, b, 16)
    code.vpackusdw(a, a, b)
  }
  // Quarter q of a row now holds pairs 2q and 2q + 1 of its first 16 columns, then of the other 16.
  transpose(code, (lane, vector) => {
    const p = 2 * (lane >> 2) + (lane & 1) + (lane & 2 ? 8 : 0)
    code.vmovups(at(out, p * PAIR_BYTES), vector)
  })
  code.add(out, LANES * PAIR_BYTES)
  code.add(column, 2 * BYTES)
  code.add(across, -LANES)
  code.jnz(block)
  for (let i = 0; i < LANES; i++) code.add(from, stride)
  code.add(to, BYTES)
  code.add(left, -LANES)
  code.jnz(loop)
  code.ret()
  return code
}

type Arguments<N extends keyof WasmExports> = Parameters<WasmExports[N]>

/** Code, the positions of arguments that are not integers, and which calls it serves. */
export interface X64Kernel<N extends keyof WasmExports> {
  readonly name: N
  readonly code: () => Assembler
  readonly floats: readonly number[]
  serves(...args: Arguments<N>): boolean
}

const kernel = <N extends keyof WasmExports>(of: X64Kernel<N>): X64Kernel<N> => of
const INTEGERS: readonly number[] = []
/** Fewer numbers are not worth the call. */
const WORTH = 512

export const KERNELS = [
  kernel({
    name: 'adam',
    code: adam,
    floats: [5, 6, 7, 8, 9, 10, 11, 12, 13],
    serves: (_w, _m, _v, _g, n) => n >= WORTH && n % LANES === 0,
  }),
  kernel({
    name: 'bf16_rows',
    code: rows,
    floats: INTEGERS,
    serves: (_to, _toStride, _from, _fromStride, rows, octets) => octets % 2 === 0 && 8 * rows * octets >= WORTH,
  }),
  kernel({
    name: 'bf16_pairs',
    code: pairs,
    floats: INTEGERS,
    serves: (_to, _from, _stride, rows, padded) => rows === padded && rows > 0,
  }),
  kernel({
    name: 'bf16_columns',
    code: columns,
    floats: INTEGERS,
    serves: (_to, _from, _stride, rows, vectors, padded) =>
      rows === padded && rows > 0 && rows % (2 * LANES) === 0 && vectors > 0 && vectors % 4 === 0,
  }),
  kernel({
    name: 'bf16_column_pairs',
    code: columnPairs,
    floats: INTEGERS,
    serves: (_to, _from, _stride, rows, pairs) => rows > 0 && rows % LANES === 0 && pairs > 0 && pairs % LANES === 0,
  }),
] as const
