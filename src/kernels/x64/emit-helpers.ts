/**
 * What several kernels share: where their block has what, numbers that they read there, and steps that they take on
 * vectors. Pure: becomes code in code.ts.
 */
import { type Address, type Assembler, at, broadcastAt, COMPARE, k, RDI, type Vector, zeroing } from './assembler.js'

/** Lanes of a vector, and its bytes. */
export const LANES = 16
export const BYTES = 64
/** Of a row of a dense strip of 64 columns. */
export const STRIP_ROW_BYTES = 256
/** Of two rows of 64 columns in bf16, as products take them; see wasm/assembly/bf16.ts. */
export const PAIR_BYTES = 256

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
export const COUNTERS_AT = 256
/** Sixteen rows of a strip in bf16, on their way to be turned. */
export const ROWS_AT = 384
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
export const constant = (name: keyof typeof CONSTANTS): Address =>
  at(RDI, CONSTANTS_AT + 4 * Object.keys(CONSTANTS).indexOf(name))

interface Limits {
  readonly smallest: Vector
  readonly magnitude: Vector
  readonly scratch: Vector
}

/** Subnormal numbers become zero. */
export function flush(code: Assembler, x: Vector, { smallest, magnitude, scratch }: Limits): void {
  code.vpandd(scratch, x, magnitude)
  code.vcmpps(k(1), scratch, smallest, COMPARE.greaterOrEqual)
  code.vmovups(x, x, zeroing(k(1)))
}

/** Notes in `bad` where x is not finite: x - x is then a NaN, else 0. */
export function check(code: Assembler, bad: Vector, x: Vector, scratch: Vector): void {
  code.vsubps(scratch, x, x)
  code.vpord(bad, bad, scratch)
}

/** Returns not 0 if anything is noted. */
export function returnBad(code: Assembler, bad: Vector): void {
  code.vptestmd(k(1), bad, bad)
  code.kmovw(k(1))
  code.ret()
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

/** Keys of the rounds of Philox. */
export function schedule(words: Uint32Array, k0: number, k1: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    words[KEYS_AT / 4 + 2 * round] = k0 + round * WEYL_0
    words[KEYS_AT / 4 + 2 * round + 1] = k1 + round * WEYL_1
  }
}
