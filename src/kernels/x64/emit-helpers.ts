/**
 * Parts of the block that kernels share, behind the arguments: constants, keys and counters of Philox, scratch; and sequences
 * of instructions that several kernels use. Pure; any thread.
 */
import {
  type Address,
  type Assembler,
  at,
  broadcastAt,
  COMPARE,
  k,
  R8,
  R9,
  R10,
  R11,
  RCX,
  RDI,
  RDX,
  type Register,
  RSI,
  type Vector,
  zeroing,
  zmm,
} from './assembler.js'
import type { KernelCode } from './calling-convention.js'
import { BF16_ROW_BYTES, GROUP, LANES, VECTOR_BYTES } from './constants.js'

/** Constants that kernels read from the block. */
const CONSTANTS = {
  smallestNormal: 0x00800000,
  magnitude: 0x7fffffff,
  one: 1,
  half: 0x7fff,
  nan: 0x7fc00000,
  upper: 0xffff0000,
  sign: 0x80000000,
  bias: 127,
  white: 0x437f0000,
  whiteReciprocal: 0x3b808081,
  philox0: 0xd2511f53,
  philox1: 0xcd9e8d57,
} as const
/** Counters of Philox in the lanes of 64 bits, so that words come out in the order of units; the second eight are 8 more. */
const COUNTERS = [0, 4, 1, 5, 2, 6, 3, 7]
const ROUNDS = 10
const [WEYL_0, WEYL_1] = [0x9e3779b9, 0xbb67ae85]

/** Offsets in the block, in bytes. */
const CONSTANTS_AT = 96
const KEYS_AT = 144
export const COUNTERS_AT = 256
/** Offset of scratch: sixteen rows of 64 columns in bf16 that are to be transposed. */
export const ROWS_AT = 384
const REALS_AT = ROWS_AT + GROUP * BF16_ROW_BYTES
/** Numbers of the exponential and of activations, as in module/assembly/math.ts and module/assembly/activations.ts. */
const REALS = {
  one: 1,
  least: -87,
  log2e: Math.LOG2E,
  ln2High: 0.693359375,
  ln2Low: -2.1219444e-4,
  p5: 1.987569155e-4,
  p4: 1.3981999507e-3,
  p3: 8.3334519073e-3,
  p2: 4.1665795894e-2,
  p1: 1.6666665459e-1,
  p0: 5.0000001201e-1,
  g1: 1.5957691216057308,
  g3: 0.07135481627159725,
  threeG3: 3 * Math.fround(0.07135481627159725),
  beyond: 50,
  before: -50,
} as const
export const BLOCK_BYTES = REALS_AT + Math.ceil(Object.keys(REALS).length / LANES) * 4 * LANES

/** Writes the constants and counters of a new block. */
export function initialiseBlock(words: Uint32Array): void {
  words.set(Object.values(CONSTANTS), CONSTANTS_AT / 4)
  const reals = new Uint32Array(Float32Array.from(Object.values(REALS)).buffer)
  words.set(reals, REALS_AT / 4)
  for (const [i, counter] of COUNTERS.entries()) {
    words[COUNTERS_AT / 4 + 2 * i] = counter
    words[COUNTERS_AT / 4 + LANES + 2 * i] = counter + COUNTERS.length
  }
}

/** Address of a constant. */
export const constant = (name: keyof typeof CONSTANTS): Address =>
  at(RDI, CONSTANTS_AT + 4 * Object.keys(CONSTANTS).indexOf(name))

/** A number in all lanes. */
export const real = (name: keyof typeof REALS): Address =>
  broadcastAt(RDI, REALS_AT + 4 * Object.keys(REALS).indexOf(name))
/** A constant in all lanes. */
export const everywhere = (name: keyof typeof CONSTANTS): Address => ({ ...constant(name), broadcast: true })

interface Limits {
  readonly smallest: Vector
  readonly magnitude: Vector
  readonly scratch: Vector
}

/** Replaces subnormal numbers by zero. */
export function flush(code: Assembler, x: Vector, { smallest, magnitude, scratch }: Limits): void {
  code.vpandd(scratch, x, magnitude)
  code.vcmpps(k(1), scratch, smallest, COMPARE.greaterOrEqual)
  code.vmovups(x, x, zeroing(k(1)))
}

/** Collects in `bad` the lanes where x is not finite: there x - x is a NaN, elsewhere 0. */
export function check(code: Assembler, bad: Vector, x: Vector, scratch: Vector): void {
  code.vsubps(scratch, x, x)
  code.vpord(bad, bad, scratch)
}

/** Returns 0, or another number if any lane of `bad` is set. */
export function returnBad(code: Assembler, bad: Vector): void {
  code.vptestmd(k(1), bad, bad)
  code.kmovw(k(1))
  code.ret()
}

/**
 * Rest of a kernel that overwrites a gradient dx by a function of it and of `other`, a matrix of the same shape with its row
 * stride: `gradient` emits x for a vector of `other`, zeros and the address of dx; it may use k1 and zmm16. Subnormal results
 * become zero; returns another number than 0 where one is not finite.
 */
export function gradientRows<N extends string>(
  { code, load }: Pick<KernelCode<N | 'dx' | 'dxRow' | 'rows' | 'vectors'>, 'code' | 'load'>,
  [other, otherRow]: readonly [N, N],
  gradient: (x: Vector, other: Vector, zero: Vector, dx: Address) => void,
): Assembler {
  const [dx, dxRow, from, fromRow, left, vectors, i] = [RCX, RDX, RSI, R8, R9, R10, R11]
  load(dx, 'dx')
  load(dxRow, 'dxRow')
  load(from, other)
  load(fromRow, otherRow)
  load(left, 'rows')
  const [zero, bad, smallest, magnitude, x, value, scratch] = [17, 18, 19, 20, 0, 1, 2].map(zmm)
  code.vbroadcastss(smallest, constant('smallestNormal'))
  code.vbroadcastss(magnitude, constant('magnitude'))
  code.vpxord(zero, zero, zero)
  code.vpxord(bad, bad, bad)
  code.loop(left, 1, () => {
    load(vectors, 'vectors')
    code.clear(i)
    code.loop(vectors, 4, () => {
      code.vmovups(value, at(from, 0, i))
      gradient(x, value, zero, at(dx, 0, i))
      check(code, bad, x, scratch)
      flush(code, x, { smallest, magnitude, scratch })
      code.vmovups(at(dx, 0, i), x)
      code.add(i, VECTOR_BYTES)
    })
    code.add(dx, dxRow)
    code.add(from, fromRow)
  })
  returnBad(code, bad)
  return code
}

/**
 * Four words of Philox4x32-10 of each of eight counters, one in each lane of 64 bits, of which the upper halves do not
 * count: [of the even lanes, of the odd ones], four lanes of 32 bits for each. Overwrites x and the scratch.
 */
export function philox(
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

/** Arguments of kernels that drop units. */
type Mask = 'threshold' | 'scale' | 'first' | 'layer' | 'epoch'

/** Loads what a mask of dropout needs: Philox's multipliers, the least word that stays, the factor of what stays, the first counter. */
export function loadMask<N extends string>(
  { code, argument }: Pick<KernelCode<N | Mask>, 'code' | 'argument'>,
  multipliers: readonly Vector[],
  [least, factor, first]: readonly Vector[],
): void {
  code.vbroadcastss(multipliers[0], constant('philox0'))
  code.vbroadcastss(multipliers[1], constant('philox1'))
  code.vbroadcastss(least, argument('threshold'))
  code.vbroadcastss(factor, argument('scale'))
  code.vbroadcastss(first, argument('first'))
}

/** Words of a mask by eight counters, for the sample whose index is at `sample`; as `philox` returns them. Overwrites the six vectors. */
export function maskWords<N extends string>(
  { code, argument }: Pick<KernelCode<N | Mask>, 'code' | 'argument'>,
  multipliers: readonly Vector[],
  counter: Vector,
  sample: Register,
  vectors: readonly Vector[],
): [Vector, Vector] {
  code.vmovups(vectors[0], counter)
  code.vbroadcastss(vectors[1], argument('layer'))
  code.vbroadcastss(vectors[2], at(sample))
  code.vbroadcastss(vectors[3], argument('epoch'))
  return philox(code, vectors.slice(0, 4), vectors.slice(4), multipliers)
}

/** Writes the keys of the rounds of Philox. */
export function philoxKeys(words: Uint32Array, k0: number, k1: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    words[KEYS_AT / 4 + 2 * round] = k0 + round * WEYL_0
    words[KEYS_AT / 4 + 2 * round + 1] = k1 + round * WEYL_1
  }
}
