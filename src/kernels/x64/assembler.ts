/**
 * Instructions of x86-64 with AVX-512 and AMX that the kernels beside this file need, and no others: one method each, named
 * by its mnemonic where that says enough. Operands in Intel's order, destination first. Pure; any thread.
 *
 * Test: node dist/test/kernels/x64/assembler.test.js, which compares each with the bytes of the system's assembler. A new
 * instruction needs a row in test/kernels/x64/encodings.ts and `node scripts/x64-encodings.mjs --write`.
 */
import { LANES, VECTOR_BYTES } from './constants.js'
import { MAP_0F, MAP_3A, MAP_38, NONE, P66, PF3 } from './encoder.js'
import { F64Instructions } from './f64-instructions.js'
import {
  type Address,
  type Comparison,
  generalId,
  isAddress,
  type Mask,
  type Masked,
  maskId,
  merging,
  nameOf,
  type Operand,
  type Register,
  signed32,
  type Vector,
  vectorId,
  within,
} from './operands.js'

export * from './operands.js'

export class Assembler extends F64Instructions {
  mov(to: Register, from: Register | Address): void {
    this.integer(0x8b, this.use(to), from)
  }

  /** to = 32 bits, zero-extended. */
  mov32(to: Register, from: Address): void {
    this.integer32(0x8b, this.use(to), from)
  }

  /** to = a byte, zero-extended. */
  movByte(to: Register, from: Address): void {
    this.integer0f(0xb6, this.use(to), from)
  }

  /** to += a register, or signed 32 bits. */
  add(to: Register, by: Register | number): void {
    if (typeof by === 'number') {
      this.arithmetic(0x81, 0, to)
      this.put32(signed32('the summand', by))
    } else this.arithmetic(0x03, this.use(to), by)
  }

  /** to = 0. */
  clear(to: Register): void {
    this.arithmetic(0x33, this.use(to), to)
  }

  /** to = signed 32 bits. */
  set(to: Register, value: number): void {
    this.clear(to)
    this.add(to, value)
  }

  /** to = from · by, signed 32 bits. */
  imul(to: Register, from: Register, by: number): void {
    this.arithmetic(0x69, this.use(to), from)
    this.put32(signed32('the factor', by))
  }

  /** Shift right by 0 to 63 bits, zeros from the left. */
  shr(to: Register, bits: number): void {
    this.arithmetic(0xc1, 5, to)
    this.put(within('the shift', bits, 63))
  }

  /** to *= by. */
  multiply(to: Register, by: Register): void {
    this.arithmetic0f(0xaf, this.use(to), by)
  }

  /** to = number of bits that are set. */
  popcnt(to: Register, from: Register): void {
    this.bitCount(0xb8, to, from)
  }

  /** Stores 64 bits. */
  store(to: Address, from: Register): void {
    this.integer(0x89, this.use(from), to)
  }

  /** Stores the lower 32 bits. */
  store32(to: Address, from: Register): void {
    this.integer32(0x89, this.use(from), to)
  }

  /** Calls the function whose address is there, of 64 bits: it may change all registers but the callee-saved ones. */
  call(to: Address): void {
    this.integer32(0xff, 2, to)
  }

  /** Stores MXCSR, 32 bits: the rounding mode of this thread, and its treatment of subnormal numbers. */
  stmxcsr(to: Address): void {
    this.integer0f(0xae, 3, to)
  }

  ldmxcsr(from: Address): void {
    this.integer0f(0xae, 2, from)
  }

  /** Prefetch to read, into the second-level cache. */
  prefetcht1(from: Address): void {
    this.integer0f(0x18, 2, from)
  }

  /** Prefetch to write. */
  prefetchw(from: Address): void {
    this.integer0f(0x0d, 1, from)
  }

  vmovups(to: Operand, from: Operand, masked: Masked | null = null): void {
    if (isAddress(to)) this.#store(0x11, to, from, masked)
    else this.evex({ map: MAP_0F, prefix: NONE, opcode: 0x10, reg: vectorId(to), rm: from, masked })
  }

  /** Stores past the caches, to a multiple of 64 bytes. */
  vmovntps(to: Address, from: Vector): void {
    this.#store(0x2b, to, from, null)
  }

  vbroadcastss(to: Vector, from: Address): void {
    this.evex({ map: MAP_38, prefix: P66, opcode: 0x18, reg: vectorId(to), rm: from, unit: 4 })
  }

  vaddps(to: Vector, a: Vector, b: Operand): void {
    this.#three(NONE, 0x58, to, a, b)
  }

  vsubps(to: Vector, a: Vector, b: Operand): void {
    this.#three(NONE, 0x5c, to, a, b)
  }

  vmulps(to: Vector, a: Vector, b: Operand, masked: Masked | null = null): void {
    this.#three(NONE, 0x59, to, a, b, masked)
  }

  vdivps(to: Vector, a: Vector, b: Operand): void {
    this.#three(NONE, 0x5e, to, a, b)
  }

  /** b where a or b is a NaN, or both are zero. */
  vminps(to: Vector, a: Vector, b: Operand): void {
    this.#three(NONE, 0x5d, to, a, b)
  }

  /** b where a or b is a NaN, or both are zero. */
  vmaxps(to: Vector, a: Vector, b: Operand): void {
    this.#three(NONE, 0x5f, to, a, b)
  }

  vsqrtps(to: Vector, from: Operand): void {
    this.evex({ map: MAP_0F, prefix: NONE, opcode: 0x51, reg: vectorId(to), rm: from, broadcasts: true })
  }

  /** to += a · b, rounded once. */
  vfmadd231ps(to: Vector, a: Vector, b: Operand): void {
    this.#fused(0xb8, to, a, b)
  }

  /** to -= a · b, rounded once. */
  vfnmadd231ps(to: Vector, a: Vector, b: Operand): void {
    this.#fused(0xbc, to, a, b)
  }

  /** 16 bytes, zero-extended to lanes of 32 bits. */
  vpmovzxbd(to: Vector, from: Address): void {
    this.evex({ map: MAP_38, prefix: P66, opcode: 0x31, reg: vectorId(to), rm: from, unit: LANES })
  }

  vcvtdq2ps(to: Vector, from: Operand): void {
    this.evex({ map: MAP_0F, prefix: NONE, opcode: 0x5b, reg: vectorId(to), rm: from, broadcasts: true })
  }

  /** Truncates to integers of 32 bits. */
  vcvttps2dq(to: Vector, from: Operand): void {
    this.evex({ map: MAP_0F, prefix: PF3, opcode: 0x5b, reg: vectorId(to), rm: from, broadcasts: true })
  }

  /** Rounds to the nearest integers, ties to even (vrndscaleps). */
  vroundps(to: Vector, from: Operand): void {
    const fields = { map: MAP_3A, prefix: P66, opcode: 0x08, immediate: 8, broadcasts: true }
    this.evex({ ...fields, reg: vectorId(to), rm: from })
  }

  /** Mask of the lanes for which the comparison is true; `among`: of these lanes alone. */
  vcmpps(to: Mask, a: Vector, b: Operand, comparison: Comparison, among: Mask | null = null): void {
    within('the predicate', comparison, 31)
    this.#compare(MAP_0F, NONE, 0xc2, to, a, b, comparison, among)
  }

  /** Mask of the lanes where a >= b, unsigned. */
  vpcmpud(to: Mask, a: Vector, b: Operand): void {
    this.#compare(MAP_3A, P66, 0x1e, to, a, b, 5)
  }

  /** Mask of the lanes where a & b is not zero. */
  vptestmd(to: Mask, a: Vector, b: Operand): void {
    this.#compare(MAP_38, P66, 0x27, to, a, b)
  }

  /** Mask of the 32 lanes of 16 bits where a & b is not zero. */
  vptestmw(to: Mask, a: Vector, b: Operand): void {
    const operands = { reg: maskId(to), vvvv: vectorId(a), rm: b }
    this.evex({ map: MAP_38, prefix: P66, opcode: 0x26, wide: true, ...operands })
  }

  /** The lanes of 16 bits that the mask selects, side by side in the lowest lanes. */
  vpcompressw(to: Vector, from: Vector, masked: Masked): void {
    this.evex({ map: MAP_38, prefix: P66, opcode: 0x63, wide: true, reg: vectorId(from), rm: to, masked })
  }

  /** The lanes of 8 bits that the mask selects, side by side in the lowest lanes. */
  vpcompressb(to: Vector, from: Vector, masked: Masked): void {
    this.evex({ map: MAP_38, prefix: P66, opcode: 0x63, reg: vectorId(from), rm: to, masked })
  }

  /** to += products of the pairs of bf16 in a lane of a and of b, both added in turn: the upper ones first. */
  vdpbf16ps(to: Vector, a: Vector, b: Operand): void {
    const operands = { reg: vectorId(to), vvvv: vectorId(a), rm: b }
    this.evex({ map: MAP_38, prefix: PF3, opcode: 0x52, broadcasts: true, ...operands })
  }

  /** Unpack in each quarter: lanes of 16 bits 0 to 3 of a and b in turn; or lanes 4 to 7. */
  vpunpckwd(half: 'low' | 'high', to: Vector, a: Vector, b: Vector): void {
    this.#three(P66, half === 'low' ? 0x61 : 0x69, to, a, b)
  }

  /** In each quarter, four lanes of a, then four of b, from 32 bits to 16: they are below 2^16. */
  vpackusdw(to: Vector, a: Vector, b: Operand): void {
    this.evex({
      ...{ map: MAP_38, prefix: P66, opcode: 0x2b, broadcasts: true },
      ...{ reg: vectorId(to), vvvv: vectorId(a), rm: b },
    })
  }

  vpandd(to: Vector, a: Vector, b: Operand): void {
    this.#three(P66, 0xdb, to, a, b)
  }

  vpord(to: Vector, a: Vector, b: Operand): void {
    this.#three(P66, 0xeb, to, a, b)
  }

  vpxord(to: Vector, a: Vector, b: Operand): void {
    this.#three(P66, 0xef, to, a, b)
  }

  vpaddd(to: Vector, a: Vector, b: Operand): void {
    this.#three(P66, 0xfe, to, a, b)
  }

  /** to ^= a ^ b (vpternlogd). */
  vpxor3d(to: Vector, a: Vector, b: Operand): void {
    const fields = { map: MAP_3A, prefix: P66, opcode: 0x25, immediate: 0x96, broadcasts: true }
    this.evex({ ...fields, reg: vectorId(to), vvvv: vectorId(a), rm: b })
  }

  /** Products of the lower halves of 8 lanes of 64 bits. */
  vpmuludq(to: Vector, a: Vector, b: Operand): void {
    this.#wide(0xf4, to, a, b)
  }

  /** Shift right by 0 to 31 bits, zeros from the left. */
  vpsrld(to: Vector, from: Vector, bits: number): void {
    const immediate = within('the shift', bits, 31)
    this.evex({ map: MAP_0F, prefix: P66, opcode: 0x72, reg: 2, vvvv: vectorId(to), rm: from, immediate })
  }

  /** Shift left by 0 to 31 bits. */
  vpslld(to: Vector, from: Vector, bits: number): void {
    const immediate = within('the shift', bits, 31)
    this.evex({ map: MAP_0F, prefix: P66, opcode: 0x72, reg: 6, vvvv: vectorId(to), rm: from, immediate })
  }

  /** Upper halves of lanes of 64 bits, in both halves (vpshufd). */
  vpshufdUpper(to: Vector, from: Vector): void {
    this.evex({ map: MAP_0F, prefix: P66, opcode: 0x70, reg: vectorId(to), rm: from, immediate: 0xf5 })
  }

  /** Shuffle in each quarter: lanes 0 and 2 of a, then of b; or lanes 1 and 3. */
  vshufps(which: 'even' | 'odd', to: Vector, a: Vector, b: Vector): void {
    const fields = { map: MAP_0F, prefix: NONE, opcode: 0xc6, immediate: which === 'even' ? 0x88 : 0xdd }
    this.evex({ ...fields, reg: vectorId(to), vvvv: vectorId(a), rm: b })
  }

  /** Unpack in each quarter: lane 0 of a and b, lane 1 of both; or lanes 2 and 3. */
  vunpckps(half: 'low' | 'high', to: Vector, a: Vector, b: Vector): void {
    this.#three(NONE, half === 'low' ? 0x14 : 0x15, to, a, b)
  }

  /** Unpack in each quarter: the lower pair of lanes of a, then of b; or the upper pairs. */
  vunpckpd(half: 'low' | 'high', to: Vector, a: Vector, b: Vector): void {
    this.#wide(half === 'low' ? 0x14 : 0x15, to, a, b)
  }

  /** Two quarters of a, then two of b, each 0 to 3. */
  vshuff32x4(to: Vector, a: Vector, b: Vector, quarters: readonly [number, number, number, number]): void {
    const immediate = quarters.reduce((bits, quarter, i) => bits | (within('the quarter', quarter, 3) << (2 * i)), 0)
    const fields = { map: MAP_3A, prefix: P66, opcode: 0x23, immediate }
    this.evex({ ...fields, reg: vectorId(to), vvvv: vectorId(a), rm: b })
  }

  /** Stores the lower halves of 16 lanes, 32 bytes. */
  vpmovdw(to: Address, from: Vector): void {
    this.evex({ map: MAP_38, prefix: PF3, opcode: 0x33, reg: vectorId(from), rm: to, unit: VECTOR_BYTES / 2 })
  }

  /** Orders stores past the caches before the stores that follow. */
  sfence(): void {
    this.put(0x0f, 0xae, 0xf8)
  }

  /** EAX = 16 bits of a mask. */
  kmovw(from: Mask): void {
    this.put(0xc5, 0xf8, 0x93, 0xc0 | maskId(from))
  }

  /** to = 16 bits in memory, at one of the first eight registers plus a displacement (kmovw). */
  loadMask(to: Mask, from: Address): void {
    if (from.index || from.broadcast || generalId(from.base) > 7) {
      throw new TypeError(`assembler: a mask from ${nameOf(from.base)}, expected a base from rax to rdi and no index`)
    }
    signed32('the displacement', from.disp)
    this.put(0xc5, 0xf8, 0x90)
    this.modrm(maskId(to), from)
  }

  /** to = 16 bits of b, below 16 of a. */
  kunpckwd(to: Mask, a: Mask, b: Mask): void {
    this.put(0xc5, 0x84 | ((~maskId(a) & 15) << 3), 0x4b, 0xc0 | (maskId(to) << 3) | maskId(b))
  }

  /** to = 32 bits of b, below 32 of a. */
  kunpckdq(to: Mask, a: Mask, b: Mask): void {
    this.put(0xc4, 0xe1, 0x84 | ((~maskId(a) & 15) << 3), 0x4b, 0xc0 | (maskId(to) << 3) | maskId(b))
  }

  /** to = 64 bits of a mask. */
  kmovq(to: Register, from: Mask): void {
    const id = this.use(to)
    this.put(0xc4, 0x61 | ((1 - (id >> 3)) << 7), 0xfb, 0x93, 0xc0 | ((id & 7) << 3) | maskId(from))
  }

  #three(prefix: number, opcode: number, to: Vector, a: Vector, b: Operand, masked: Masked | null = null): void {
    const fields = { map: MAP_0F, prefix, opcode, masked, broadcasts: true }
    this.evex({ ...fields, reg: vectorId(to), vvvv: vectorId(a), rm: b })
  }

  #fused(opcode: number, to: Vector, a: Vector, b: Operand): void {
    const fields = { map: MAP_38, prefix: P66, opcode, broadcasts: true }
    this.evex({ ...fields, reg: vectorId(to), vvvv: vectorId(a), rm: b })
  }

  /** Instructions on lanes of 64 bits. */
  #wide(opcode: number, to: Vector, a: Vector, b: Operand): void {
    this.evex({ map: MAP_0F, prefix: P66, opcode, wide: true, reg: vectorId(to), vvvv: vectorId(a), rm: b })
  }

  #compare(
    map: number,
    prefix: number,
    opcode: number,
    to: Mask,
    a: Vector,
    b: Operand,
    immediate?: number,
    among: Mask | null = null,
  ): void {
    const operands = { reg: maskId(to), vvvv: vectorId(a), rm: b }
    this.evex({ map, prefix, opcode, immediate, broadcasts: true, ...operands, masked: among && merging(among) })
  }

  #store(opcode: number, to: Address, from: Operand, masked: Masked | null): void {
    if (isAddress(from)) throw new TypeError('assembler: a store from memory to memory, expected one from a vector')
    if (masked?.zeroing)
      throw new TypeError('assembler: a store that zeroes what its mask leaves out, expected merging()')
    this.evex({ map: MAP_0F, prefix: NONE, opcode, masked, reg: vectorId(from), rm: to })
  }
}
