/**
 * Machine code for x86-64 with AVX-512 and AMX: the instructions that the kernels beside this file need, and no others. Operands
 * in Intel's order, destination first. Pure; runs on any thread.
 *
 * Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, EVEX in section 2.7, VEX in 2.3.
 *
 * Test: npx tap dist/test/tensor/x64.test.js
 */

/** A general register. Without RSP and R12, whose addresses are spelled in other ways. */
export interface Register {
  readonly general: number
}
/** 512 bits. */
export interface Vector {
  readonly vector: number
}
/** One bit for each of 16 lanes. */
export interface Mask {
  readonly mask: number
}

/** A tile of AMX. */
export interface Tile {
  readonly tile: number
}

const general = (id: number): Register => ({ general: id })
export const RAX = general(0)
export const RCX = general(1)
export const RDX = general(2)
export const RSI = general(6)
/** A function's first argument. */
export const RDI = general(7)
export const R8 = general(8)
export const R9 = general(9)
export const R10 = general(10)
export const R11 = general(11)
/** The caller's (System V ABI): to be pushed before they are used. */
export const RBX = general(3)
export const RBP = general(5)
export const R13 = general(13)
export const R14 = general(14)
export const R15 = general(15)
/** 0 to 31. */
export const zmm = (id: number): Vector => ({ vector: id })
/** 0 to 7. */
export const tmm = (id: number): Tile => ({ tile: id })
/** 1 to 7: 0 stands for "no mask". */
export const k = (id: number): Mask => ({ mask: id })

export interface Address {
  readonly base: Register
  /** Added to the base, so many times. */
  readonly index: Register | null
  readonly scale?: 1 | 2 | 4 | 8
  readonly disp: number
  /** 32 bits, for all lanes. */
  readonly broadcast?: boolean
}

export const at = (base: Register, disp = 0, index: Register | null = null): Address => ({ base, disp, index })
export const scaledAt = (base: Register, disp: number, index: Register, scale: 1 | 2 | 4 | 8): Address => ({
  ...{ base, disp, index, scale },
})
export const broadcastAt = (base: Register, disp: number): Address => ({ base, disp, index: null, broadcast: true })

/** A place in the code. */
export type Label = number & { readonly label: unique symbol }

/** What an instruction does with lanes that a mask leaves out: they stay as they were, or become zero. */
export interface Masked {
  readonly mask: Mask
  readonly zeroing: boolean
}
export const merging = (mask: Mask): Masked => ({ mask, zeroing: false })
export const zeroing = (mask: Mask): Masked => ({ mask, zeroing: true })

type Operand = Vector | Address

/** Predicates of vcmpps, quiet: all but the last are false for a NaN. */
export const COMPARE = { greaterOrEqual: 0x1d, greaterThan: 0x1e, unordered: 0x03 } as const
export type Comparison = (typeof COMPARE)[keyof typeof COMPARE]

/** Opcode maps. */
const [MAP_0F, MAP_38, MAP_3A] = [1, 2, 3]
/** Prefixes that belong to an opcode. */
const [NONE, P66, PF3, PF2] = [0, 1, 2, 3]
const VECTOR_BYTES = 64
const LANES_OF_BYTES = 16

interface Evex {
  readonly map: number
  readonly prefix: number
  readonly opcode: number
  /** The bit W. */
  readonly wide?: boolean
  /** The register of ModRM, or an extension of the opcode. */
  readonly reg: number
  readonly vvvv?: number
  readonly rm: Operand | Register
  /** What short displacements count in: bytes that the instruction reads or writes. */
  readonly unit?: number
  readonly masked?: Masked | null
  readonly immediate?: number
}

const bit = (value: number, i: number): number => (value >> i) & 1
const isAddress = (operand: object): operand is Address => 'base' in operand
const isSigned8 = (value: number): boolean => value >= -128 && value <= 127

export class Assembler {
  readonly #bytes: number[] = []

  get bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes)
  }

  here(): Label {
    return this.#bytes.length as Label
  }

  /** Back to the label, unless the last sum was zero. */
  jnz(to: Label): void {
    this.#put(0x0f, 0x85)
    this.#put32(to - (this.#bytes.length + 4))
  }

  /** Back to the label, unless the register is zero. */
  ifNotZeroGoto(register: Register, to: Label): void {
    this.#integer(0x85, register.general, register)
    this.jnz(to)
  }

  /** Runs the code of `body`, unless the register is zero. */
  unlessZero(register: Register, body: () => void): void {
    this.#branch(register, 0x84, body)
  }

  /** Runs it if the register is zero. */
  ifZero(register: Register, body: () => void): void {
    this.#branch(register, 0x85, body)
  }

  /** Returns to the caller, who may use instructions that are slow while upper halves of vectors are in use. */
  ret(): void {
    this.#put(0xc5, 0xf8, 0x77, 0xc3)
  }

  push(...registers: readonly Register[]): void {
    for (const { general } of registers) this.#put(0x40 | bit(general, 3), 0x50 | (general & 7))
  }

  /** In the same order as they were pushed. */
  pop(...registers: readonly Register[]): void {
    for (const { general } of [...registers].reverse()) this.#put(0x40 | bit(general, 3), 0x58 | (general & 7))
  }

  mov(to: Register, from: Register | Address): void {
    this.#integer(0x8b, to.general, from)
  }

  add(to: Register, by: Register | number): void {
    if (typeof by === 'number') {
      this.#integer(0x81, 0, to)
      this.#put32(by)
    } else {
      this.#integer(0x03, to.general, by)
    }
  }

  /** to = 0. */
  clear(to: Register): void {
    this.#integer(0x33, to.general, to)
  }

  /** to = 32 bits, without sign. */
  mov32(to: Register, from: Address): void {
    const rex = this.#rex(to.general, from) & ~0x08
    this.#put(rex, 0x8b)
    this.#modrm(to.general, from)
  }

  /** to = from · by. */
  imul(to: Register, from: Register, by: number): void {
    this.#integer(0x69, to.general, from)
    this.#put32(by)
  }

  /** How this thread rounds, and what it does with subnormal numbers: to 32 bits, or from them. */
  stmxcsr(to: Address): void {
    this.#put(this.#rex(0, to), 0x0f, 0xae)
    this.#modrm(3, to)
  }

  ldmxcsr(from: Address): void {
    this.#put(this.#rex(0, from), 0x0f, 0xae)
    this.#modrm(2, from)
  }

  /** to *= by. */
  multiply(to: Register, by: Register): void {
    this.#put(this.#rex(to.general, by), 0x0f, 0xaf)
    this.#modrm(to.general, by)
  }

  /** The place of the lowest bit that is set. */
  tzcnt(to: Register, from: Register): void {
    this.#put(0xf3, this.#rex(to.general, from), 0x0f, 0xbc)
    this.#modrm(to.general, from)
  }

  popcnt(to: Register, from: Register): void {
    this.#put(0xf3, this.#rex(to.general, from), 0x0f, 0xb8)
    this.#modrm(to.general, from)
  }

  /** All bits but the lowest that is set; `jnz` then tells whether any is left. */
  blsr(to: Register, from: Register): void {
    this.#put(0xc4, 0xc2 | ((1 - bit(from.general, 3)) << 5), 0x80 | ((~to.general & 15) << 3), 0xf3)
    this.#modrm(1, from)
  }

  /** 64 bits. */
  store(to: Address, from: Register): void {
    this.#integer(0x89, from.general, to)
  }

  /** The lower 32 bits. */
  store32(to: Address, from: Register): void {
    const rex = this.#rex(from.general, to) & ~0x08
    this.#put(rex, 0x89)
    this.#modrm(from.general, to)
  }

  /** To be read soon, into the second-level cache. */
  prefetcht1(from: Address): void {
    this.#put(this.#rex(0, from), 0x0f, 0x18)
    this.#modrm(2, from)
  }

  /** To be written soon. */
  prefetchw(from: Address): void {
    this.#put(this.#rex(0, from), 0x0f, 0x0d)
    this.#modrm(1, from)
  }

  vmovups(to: Operand, from: Operand, masked: Masked | null = null): void {
    if (isAddress(to)) this.#store(NONE, 0x11, to, from, masked)
    else this.#evex({ ...{ map: MAP_0F, prefix: NONE, opcode: 0x10 }, reg: to.vector, rm: from, masked })
  }

  /** Past the caches, to a multiple of 64 bytes. */
  vmovntps(to: Address, from: Vector): void {
    this.#store(NONE, 0x2b, to, from)
  }

  vbroadcastss(to: Vector, from: Address): void {
    this.#evex({ ...{ map: MAP_38, prefix: P66, opcode: 0x18 }, reg: to.vector, rm: from, unit: 4 })
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

  /** The second where one of both is a NaN, or both are zero. */
  vmaxps(to: Vector, a: Vector, b: Operand): void {
    this.#three(NONE, 0x5f, to, a, b)
  }

  /** to += a · b, rounded once. */
  vfmadd231ps(to: Vector, a: Vector, b: Operand): void {
    this.#evex({ ...{ map: MAP_38, prefix: P66, opcode: 0xb8 }, ...{ reg: to.vector, vvvv: a.vector, rm: b } })
  }

  /** to -= a · b, rounded once. */
  vfnmadd231ps(to: Vector, a: Vector, b: Operand): void {
    this.#evex({ ...{ map: MAP_38, prefix: P66, opcode: 0xbc }, ...{ reg: to.vector, vvvv: a.vector, rm: b } })
  }

  /** 16 bytes, as whole numbers of 32 bits. */
  vpmovzxbd(to: Vector, from: Address): void {
    this.#evex({ ...{ map: MAP_38, prefix: P66, opcode: 0x31 }, reg: to.vector, rm: from, unit: LANES_OF_BYTES })
  }

  vcvtdq2ps(to: Vector, from: Operand): void {
    this.#evex({ ...{ map: MAP_0F, prefix: NONE, opcode: 0x5b }, reg: to.vector, rm: from })
  }

  vdivps(to: Vector, a: Vector, b: Operand): void {
    this.#three(NONE, 0x5e, to, a, b)
  }

  vsqrtps(to: Vector, from: Operand): void {
    this.#evex({ ...{ map: MAP_0F, prefix: NONE, opcode: 0x51 }, reg: to.vector, rm: from })
  }

  vcmpps(to: Mask, a: Vector, b: Operand, comparison: Comparison): void {
    this.#evex({
      ...{ map: MAP_0F, prefix: NONE, opcode: 0xc2 },
      ...{ reg: to.mask, vvvv: a.vector, rm: b, immediate: comparison },
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

  /** Where a is at least b, as numbers without sign. */
  vpcmpud(to: Mask, a: Vector, b: Operand): void {
    this.#evex({
      ...{ map: MAP_3A, prefix: P66, opcode: 0x1e, immediate: 5 },
      ...{ reg: to.mask, vvvv: a.vector, rm: b },
    })
  }

  /** Where a & b has a bit. */
  vptestmd(to: Mask, a: Vector, b: Vector): void {
    this.#evex({ ...{ map: MAP_38, prefix: P66, opcode: 0x27 }, reg: to.mask, vvvv: a.vector, rm: b })
  }

  /** to ^= a ^ b. */
  vpxor3d(to: Vector, a: Vector, b: Operand): void {
    this.#evex({
      ...{ map: MAP_3A, prefix: P66, opcode: 0x25, immediate: 0x96 },
      ...{ reg: to.vector, vvvv: a.vector, rm: b },
    })
  }

  /** The lower halves of 8 lanes of 64 bits, multiplied. */
  vpmuludq(to: Vector, a: Vector, b: Operand): void {
    this.#evex({
      ...{ map: MAP_0F, prefix: P66, opcode: 0xf4, wide: true },
      ...{ reg: to.vector, vvvv: a.vector, rm: b },
    })
  }

  /** Upper halves of lanes of 64 bits, in both halves. */
  vpshufdUpper(to: Vector, from: Vector): void {
    this.#evex({ ...{ map: MAP_0F, prefix: P66, opcode: 0x70, immediate: 0xf5 }, reg: to.vector, rm: from })
  }

  /** In each quarter: lanes 0 and 2 of a, then of b; or lanes 1 and 3. */
  vshufps(which: 'even' | 'odd', to: Vector, a: Vector, b: Vector): void {
    this.#evex({
      ...{ map: MAP_0F, prefix: NONE, opcode: 0xc6, immediate: which === 'even' ? 0x88 : 0xdd },
      ...{ reg: to.vector, vvvv: a.vector, rm: b },
    })
  }

  /** What was stored past the caches is visible to others before what is stored from here on. */
  sfence(): void {
    this.#put(0x0f, 0xae, 0xf8)
  }

  /** 16 bits, to the register of what a function returns. */
  kmovw(from: Mask): void {
    this.#put(0xc5, 0xf8, 0x93, 0xc0 | from.mask)
  }

  /** 16 bits, from where one of the first eight registers points. */
  loadMask(to: Mask, from: Address): void {
    if (from.index || from.base.general > 7) throw new TypeError('assembler: a mask from such an address')
    this.#put(0xc5, 0xf8, 0x90)
    this.#modrm(to.mask, from)
  }

  /** 16 bits of b, below 16 of a. */
  kunpckwd(to: Mask, a: Mask, b: Mask): void {
    this.#put(0xc5, 0x84 | ((~a.mask & 15) << 3), 0x4b, 0xc0 | (to.mask << 3) | b.mask)
  }

  /** The same with 32 bits of each. */
  kunpckdq(to: Mask, a: Mask, b: Mask): void {
    this.#put(0xc4, 0xe1, 0x84 | ((~a.mask & 15) << 3), 0x4b, 0xc0 | (to.mask << 3) | b.mask)
  }

  /** 64 bits. */
  kmovq(to: Register, from: Mask): void {
    this.#put(0xc4, 0x61 | ((1 - bit(to.general, 3)) << 7), 0xfb, 0x93, 0xc0 | ((to.general & 7) << 3) | from.mask)
  }

  /** Shifts right, zeros from the left. */
  vpsrld(to: Vector, from: Vector, bits: number): void {
    this.#evex({
      ...{ map: MAP_0F, prefix: P66, opcode: 0x72 },
      ...{ reg: 2, vvvv: to.vector, rm: from, immediate: bits },
    })
  }

  /** In each quarter: the lower halves of four lanes of a, then of b. Lanes hold 0 to 0xffff. */
  vpackusdw(to: Vector, a: Vector, b: Vector): void {
    this.#evex({ ...{ map: MAP_38, prefix: P66, opcode: 0x2b }, reg: to.vector, vvvv: a.vector, rm: b })
  }

  /** The lower halves of 16 lanes, to 32 bytes. */
  vpmovdw(to: Address, from: Vector): void {
    this.#evex({ ...{ map: MAP_38, prefix: PF3, opcode: 0x33 }, reg: from.vector, rm: to, unit: VECTOR_BYTES / 2 })
  }

  /** In each quarter: lanes 0 of a and b, lanes 1; or lanes 2 and 3. */
  vunpckps(half: 'low' | 'high', to: Vector, a: Vector, b: Vector): void {
    this.#three(NONE, half === 'low' ? 0x14 : 0x15, to, a, b)
  }

  /** The same with pairs of lanes. */
  vunpckpd(half: 'low' | 'high', to: Vector, a: Vector, b: Vector): void {
    this.#evex({
      ...{ map: MAP_0F, prefix: P66, opcode: half === 'low' ? 0x14 : 0x15, wide: true },
      ...{ reg: to.vector, vvvv: a.vector, rm: b },
    })
  }

  /** Two quarters of a, then two of b. */
  vshuff32x4(
    to: Vector,
    a: Vector,
    b: Vector,
    [a0, a1, b0, b1]: readonly [a0: number, a1: number, b0: number, b1: number],
  ): void {
    this.#evex({
      ...{ map: MAP_3A, prefix: P66, opcode: 0x23, immediate: a0 | (a1 << 2) | (b0 << 4) | (b1 << 6) },
      ...{ reg: to.vector, vvvv: a.vector, rm: b },
    })
  }

  /** Shapes of all tiles, 64 bytes. */
  ldtilecfg(from: Address): void {
    this.#tile(NONE, 0x49, 0, from)
  }

  tilerelease(): void {
    this.#put(0xc4, 0xe2, 0x78, 0x49, 0xc0)
  }

  tilezero(to: Tile): void {
    this.#tile(PF2, 0x49, to.tile, { tile: 0 })
  }

  /** Rows are as far apart as the address's index says. */
  tileload(to: Tile, from: Address): void {
    this.#tile(PF2, 0x4b, to.tile, from)
  }

  tilestore(to: Address, from: Tile): void {
    this.#tile(PF3, 0x4b, from.tile, to)
  }

  /** to (16, 16) f32 += a (16, 32) · b (32, 16), both bf16, b in pairs of rows. */
  tdpbf16ps(to: Tile, a: Tile, b: Tile): void {
    this.#tile(PF3, 0x5c, to.tile, a, b.tile)
  }

  /** Leaps over the body where `condition`, of 0f 8x, holds for what is in the register. */
  #branch(register: Register, condition: number, body: () => void): void {
    this.#integer(0x85, register.general, register)
    this.#put(0x0f, condition, 0, 0, 0, 0)
    const from = this.#bytes.length
    body()
    const leap = this.#bytes.length - from
    for (let i = 0; i < 4; i++) this.#bytes[from - 4 + i] = (leap >> (8 * i)) & 0xff
  }

  #three(prefix: number, opcode: number, to: Vector, a: Vector, b: Operand, masked: Masked | null = null): void {
    this.#evex({ ...{ map: MAP_0F, prefix, opcode, masked }, ...{ reg: to.vector, vvvv: a.vector, rm: b } })
  }

  #store(prefix: number, opcode: number, to: Address, from: Operand, masked: Masked | null = null): void {
    if (isAddress(from)) throw new TypeError('assembler: a store from memory to memory, expected one from a vector')
    this.#evex({ ...{ map: MAP_0F, prefix, opcode, masked }, reg: from.vector, rm: to })
  }

  /** 62, three bytes of fields, some of them inverted, opcode, ModRM. */
  #evex({ map, prefix, opcode, wide = false, reg, vvvv = 0, rm, unit = VECTOR_BYTES, masked, immediate }: Evex): void {
    const [x, b] = isAddress(rm)
      ? [bit(rm.index?.general ?? 0, 3), bit(rm.base.general, 3)]
      : [bit(numberOf(rm), 4), bit(numberOf(rm), 3)]
    const broadcast = isAddress(rm) && rm.broadcast === true
    const inverted = (bit(reg, 3) << 7) | (x << 6) | (b << 5) | (bit(reg, 4) << 4)
    this.#put(
      0x62,
      (inverted ^ 0xf0) | map,
      (Number(wide) << 7) | ((~vvvv & 15) << 3) | 4 | prefix,
      (Number(masked?.zeroing ?? false) << 7) |
        (2 << 5) |
        (Number(broadcast) << 4) |
        ((1 - bit(vvvv, 4)) << 3) |
        (masked?.mask.mask ?? 0),
      opcode,
    )
    this.#modrm(reg, rm, broadcast ? 4 : unit)
    if (immediate !== undefined) this.#put(immediate)
  }

  /** VEX: c4, two bytes of fields, some of them inverted, opcode, ModRM. */
  #tile(prefix: number, opcode: number, reg: number, rm: Tile | Address, vvvv = 0): void {
    const [x, b] = isAddress(rm) ? [bit(rm.index?.general ?? 0, 3), bit(rm.base.general, 3)] : [0, 0]
    this.#put(0xc4, (((x << 6) | (b << 5)) ^ 0x60) | 0x80 | MAP_38, ((~vvvv & 15) << 3) | prefix, opcode)
    this.#modrm(reg, rm)
  }

  #integer(opcode: number, reg: number, rm: Register | Address): void {
    this.#put(this.#rex(reg, rm), opcode)
    this.#modrm(reg, rm)
  }

  /** 64 bits wide. */
  #rex(reg: number, rm: Register | Address): number {
    const [index, base] = isAddress(rm) ? [rm.index?.general ?? 0, rm.base.general] : [0, rm.general]
    return 0x48 | (bit(reg, 3) << 2) | (bit(index, 3) << 1) | bit(base, 3)
  }

  #modrm(reg: number, rm: Operand | Register | Tile, unit = 1): void {
    const low = (reg & 7) << 3
    if (!isAddress(rm)) {
      this.#put(0xc0 | low | (numberOf(rm) & 7))
      return
    }
    const { base, index, scale = 1, disp } = rm
    const short = disp % unit === 0 && isSigned8(disp / unit)
    const mode = short ? 0x40 : 0x80
    if (index) this.#put(mode | low | 4, (Math.log2(scale) << 6) | ((index.general & 7) << 3) | (base.general & 7))
    else this.#put(mode | low | (base.general & 7))
    if (short) this.#put((disp / unit) & 0xff)
    else this.#put32(disp)
  }

  #put(...bytes: number[]): void {
    this.#bytes.push(...bytes)
  }

  #put32(value: number): void {
    this.#put(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff)
  }
}

const numberOf = (rm: Vector | Register | Tile): number =>
  'vector' in rm ? rm.vector : 'tile' in rm ? rm.tile : rm.general
