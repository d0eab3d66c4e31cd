/**
 * Encoder of machine code for x86-64: prefixes, operands, labels, loops, and the checks that keep a kernel's code within the
 * calling convention. assembler.ts builds the instructions on it. Pure; any thread.
 *
 * Loops and branches compare and jump in one step, so that no instruction can come between a comparison and its jump and
 * change the flags. Callee-saved registers that are used without being pushed are an error at `ret`.
 *
 * Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, EVEX in section 2.7, VEX in 2.3.
 */
import { VECTOR_BYTES } from './constants.js'
import {
  type Address,
  CALLEE_SAVED,
  checked,
  generalId,
  isAddress,
  type Masked,
  nameOf,
  type Operand,
  type Register,
  selectingId,
  signed32,
  type Tile,
  tileId,
  type Vector,
  vectorId,
  within,
} from './operands.js'

/** Opcode maps of EVEX and VEX. */
export const [MAP_0F, MAP_38, MAP_3A] = [1, 2, 3]
/** Mandatory prefixes, as EVEX and VEX encode them. */
export const [NONE, P66, PF3, PF2] = [0, 1, 2, 3]

/** Conditional jumps (0f 8x). */
const [JZ, JNZ] = [0x84, 0x85]
const RET = 0xc3
const SIB = 4
const NO_INDEX = 4

/** Fields of an instruction with an EVEX prefix. */
export interface Evex {
  readonly map: number
  readonly prefix: number
  readonly opcode: number
  /** The bit W. */
  readonly wide?: boolean
  /** Register id in ModRM, or an extension of the opcode. */
  readonly reg: number
  /** Id of the register in the prefix. */
  readonly vvvv?: number
  readonly rm: Operand
  /** Unit of short displacements: bytes that the instruction reads or writes. */
  readonly unit?: number
  /** True if the instruction can read 32 bits for all lanes. */
  readonly broadcasts?: boolean
  readonly masked?: Masked | null
  /** 8 bits. */
  readonly immediate?: number | undefined
}

/** Position in the code of one encoder: bound once, jumped to any number of times. */
export class Label {
  position: number | null = null
  /** Positions behind the 32-bit distances to be filled in. */
  readonly jumps: number[] = []
  constructor(readonly owner: Encoder) {}
}

const bit = (value: number, i: number): number => (value >> i) & 1
const isSigned8 = (value: number): boolean => value >= -128 && value <= 127
const savedIds = new Set(CALLEE_SAVED.map(register => register.general))

export abstract class Encoder {
  #bytes = new Uint8Array(1024)
  #size = 0
  #returnedAt = -1
  #finished = false
  readonly #labels: Label[] = []
  /** Callee-saved registers on the stack, in the order of their pushes. */
  readonly #pushed: number[] = []
  /** Callee-saved registers that were used while they were not on the stack. */
  readonly #clobbered = new Set<number>()
  /** Instruction that reads the flags next; until then no instruction may change them. */
  #flagsKept: string | null = null

  /** Copy of the code so far. */
  get bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#size)
  }

  /** The code, once: throws unless it ends with `ret` and all labels are bound. */
  finish(): Uint8Array {
    if (this.#finished) throw new Error('assembler: finish() a second time, expected one call')
    const unbound = this.#labels.filter(({ position, jumps }) => position === null && jumps.length > 0).length
    if (unbound > 0) throw new Error(`assembler: ${unbound} label(s) jumped to and never bound, expected none`)
    if (this.#returnedAt !== this.#size) throw new Error('assembler: the code does not end with ret()')
    this.#finished = true
    return this.bytes
  }

  /** A label that is not bound yet. */
  label(): Label {
    const label = new Label(this)
    this.#labels.push(label)
    return label
  }

  /** Binds the label to the next instruction. */
  bind(label: Label): void {
    this.#own(label)
    if (label.position !== null) throw new Error('assembler: the label is bound a second time, expected once')
    label.position = this.#size
    for (const from of label.jumps) this.#setDistance(from, this.#size - from)
  }

  jumpIfZero(register: Register, to: Label): void {
    this.#testAndJump(register, JZ, to)
  }

  jumpIfNotZero(register: Register, to: Label): void {
    this.#testAndJump(register, JNZ, to)
  }

  /** counter -= step, then a jump unless that gave zero. */
  countDown(counter: Register, step: number, to: Label): void {
    this.arithmetic(0x81, 0, counter)
    this.put32(-signed32('the step', step))
    this.#jump(JNZ, to)
  }

  /** Repeats `body` until counter -= step gives zero; the counter holds a positive multiple of the step before. */
  loop(counter: Register, step: number, body: () => void): void {
    const start = this.label()
    this.bind(start)
    this.#balanced('a loop', body)
    this.countDown(counter, step, start)
  }

  /** Runs the code of `body` unless the register is zero. */
  unlessZero(register: Register, body: () => void): void {
    this.#around(register, JZ, body)
  }

  /** Runs the code of `body` if the register is zero. */
  ifZero(register: Register, body: () => void): void {
    this.#around(register, JNZ, body)
  }

  /**
   * Runs `body` for each bit that is set in `word`, which is not zero before and is zero after: `place` holds the number of
   * the bit while `first` runs. The bit is cleared between the two, and `body` must leave the flags alone.
   */
  eachSetBit(word: Register, place: Register, first: () => void, body: () => void): void {
    const start = this.label()
    this.bind(start)
    this.tzcnt(place, word)
    this.#balanced('a loop', first)
    this.blsr(word, word)
    this.#flagsKept = 'the jump at the end of eachSetBit'
    this.#balanced('a loop', body)
    this.#flagsKept = null
    this.#jump(JNZ, start)
  }

  /** to = number of the lowest bit that is set. */
  tzcnt(to: Register, from: Register): void {
    this.bitCount(0xbc, to, from)
  }

  /** to = from without its lowest bit that is set. */
  blsr(to: Register, from: Register): void {
    this.#keepFlags('blsr')
    const [toId, fromId] = [this.use(to), this.use(from)]
    this.put(0xc4, 0xc2 | ((1 - bit(fromId, 3)) << 5), 0x80 | ((~toId & 15) << 3), 0xf3, 0xc8 | (fromId & 7))
  }

  /** Returns to the caller, after vzeroupper: the caller may use instructions that are slow while upper halves of vectors are in use. */
  ret(): void {
    const name = (id: number) => nameOf({ general: id })
    if (this.#clobbered.size > 0) {
      const names = [...this.#clobbered].map(name).join(', ')
      throw new Error(`assembler: ret() after the use of callee-saved ${names}, expected push() before and pop() after`)
    }
    if (this.#pushed.length > 0) {
      throw new Error(`assembler: ret() with ${this.#pushed.map(name).join(', ')} on the stack, expected pop() before`)
    }
    this.put(0xc5, 0xf8, 0x77, RET)
    this.#returnedAt = this.#size
  }

  push(...registers: readonly Register[]): void {
    for (const register of registers) {
      const id = generalId(register)
      this.put(0x40 | bit(id, 3), 0x50 | (id & 7))
      this.#pushed.push(id)
    }
  }

  /** Pops registers given in the order of the pushes, from the last to the first. */
  pop(...registers: readonly Register[]): void {
    for (const register of [...registers].reverse()) {
      const id = generalId(register)
      const top = this.#pushed.pop()
      if (top !== id) {
        const last = top === undefined ? 'the stack is empty' : `${nameOf({ general: top })} was pushed last`
        throw new Error(`assembler: pop(${nameOf(register)}), but ${last}`)
      }
      this.put(0x40 | bit(id, 3), 0x58 | (id & 7))
    }
  }

  /** Id of a register that the code uses. */
  protected use(register: Register): number {
    const id = generalId(register)
    if (savedIds.has(id) && !this.#pushed.includes(id)) this.#clobbered.add(id)
    return id
  }

  /** Integer instruction of 64 bits that changes the flags. */
  protected arithmetic(opcode: number, reg: number, rm: Register): void {
    this.#keepFlags('arithmetic')
    this.integer(opcode, reg, rm)
  }

  /** 0f `opcode`, of 64 bits, that changes the flags. */
  protected arithmetic0f(opcode: number, reg: number, rm: Register): void {
    this.#keepFlags('arithmetic')
    this.integer0f(opcode, reg, rm)
  }

  /** popcnt, tzcnt: f3 0f `opcode`. */
  protected bitCount(opcode: number, to: Register, from: Register): void {
    this.#keepFlags('a count of bits')
    const reg = this.use(to)
    this.put(0xf3)
    this.rex(reg, from)
    this.put(0x0f, opcode)
    this.modrm(reg, from)
  }

  /** Integer instruction of 64 bits; reg: the id of a register or an extension of the opcode. */
  protected integer(opcode: number, reg: number, rm: Register | Address): void {
    this.rex(reg, rm)
    this.put(opcode)
    this.modrm(reg, rm)
  }

  /** Integer instruction of 32 bits. */
  protected integer32(opcode: number, reg: number, rm: Address): void {
    this.rex(reg, rm, 0x40)
    this.put(opcode)
    this.modrm(reg, rm)
  }

  /** 0f `opcode`, of 64 bits. */
  protected integer0f(opcode: number, reg: number, rm: Register | Address): void {
    this.rex(reg, rm)
    this.put(0x0f, opcode)
    this.modrm(reg, rm)
  }

  /** 62, three bytes of fields, some of them inverted, opcode, ModRM, immediate. */
  protected evex(fields: Evex): void {
    const { map, prefix, opcode, wide = false, reg, vvvv = 0, rm, unit = VECTOR_BYTES, masked, immediate } = fields
    let [x, b, broadcast] = [0, 0, false]
    if (isAddress(rm)) {
      checked(rm)
      x = rm.index ? bit(rm.index.general, 3) : 0
      b = bit(rm.base.general, 3)
      broadcast = rm.broadcast === true
      if (broadcast && !fields.broadcasts) {
        throw new TypeError('assembler: a broadcast, expected an instruction that can read 32 bits for all lanes')
      }
    } else {
      const id = vectorId(rm)
      x = bit(id, 4)
      b = bit(id, 3)
    }
    const inverted = (bit(reg, 3) << 7) | (x << 6) | (b << 5) | (bit(reg, 4) << 4)
    const selected = masked ? (Number(masked.zeroing) << 7) | selectingId(masked.mask) : 0
    this.put(
      0x62,
      (inverted ^ 0xf0) | map,
      (Number(wide) << 7) | ((~vvvv & 15) << 3) | 4 | prefix,
      (2 << 5) | (Number(broadcast) << 4) | ((1 - bit(vvvv, 4)) << 3) | selected,
      opcode,
    )
    this.modrm(reg, rm, broadcast ? 4 : unit)
    if (immediate !== undefined) this.put(within('the immediate', immediate, 255))
  }

  /** VEX of AMX: c4, two bytes of fields, some of them inverted, opcode, ModRM. */
  protected tile(prefix: number, opcode: number, reg: number, rm: Tile | Address, vvvv = 0): void {
    let [x, b] = [0, 0]
    if (isAddress(rm)) {
      checked(rm)
      x = rm.index ? bit(rm.index.general, 3) : 0
      b = bit(rm.base.general, 3)
    }
    this.put(0xc4, (((x << 6) | (b << 5)) ^ 0x60) | 0x80 | MAP_38, ((~vvvv & 15) << 3) | prefix, opcode)
    this.modrm(reg, rm)
  }

  /** Prefix of integer instructions; 0x48 is 64 bits wide, 0x40 is 32. */
  protected rex(reg: number, rm: Register | Address, width = 0x48): void {
    let [x, b] = [0, 0]
    if (isAddress(rm)) {
      checked(rm)
      if (rm.broadcast) throw new TypeError('assembler: a broadcast to a general register, expected a plain address')
      x = rm.index ? bit(rm.index.general, 3) : 0
      b = bit(rm.base.general, 3)
    } else b = bit(generalId(rm), 3)
    this.put(width | (bit(reg, 3) << 2) | (x << 1) | b)
  }

  /** A register, or an address with a displacement of one byte where it fits: in multiples of `unit`. */
  protected modrm(reg: number, rm: Operand | Register | Tile, unit = 1): void {
    const low = (reg & 7) << 3
    if (!isAddress(rm)) {
      this.put(0xc0 | low | (this.#idOf(rm) & 7))
      return
    }
    const { base, index, scale = 1, disp } = rm
    const baseBits = this.use(base) & 7
    const short = disp % unit === 0 && isSigned8(disp / unit)
    const mode = short ? 0x40 : 0x80
    // R12 has the bits that announce a second byte, so it always takes one.
    if (index) this.put(mode | low | SIB, (Math.log2(scale) << 6) | ((this.use(index) & 7) << 3) | baseBits)
    else if (baseBits === SIB) this.put(mode | low | SIB, (NO_INDEX << 3) | baseBits)
    else this.put(mode | low | baseBits)
    if (short) this.put((disp / unit) & 0xff)
    else this.put32(disp)
  }

  protected put(...bytes: readonly number[]): void {
    if (this.#finished) throw new Error('assembler: an instruction after finish()')
    if (this.#size + bytes.length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#bytes.length)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    for (let i = 0; i < bytes.length; i++) this.#bytes[this.#size++] = bytes[i]
  }

  protected put32(value: number): void {
    this.put(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff)
  }

  #idOf(rm: Vector | Register | Tile): number {
    if ('vector' in rm) return vectorId(rm)
    return 'tile' in rm ? tileId(rm) : this.use(rm)
  }

  #keepFlags(what: string): void {
    if (this.#flagsKept) throw new Error(`assembler: ${what} changes the flags, which ${this.#flagsKept} reads`)
  }

  #testAndJump(register: Register, condition: number, to: Label): void {
    this.arithmetic(0x85, this.use(register), register)
    this.#jump(condition, to)
  }

  #jump(condition: number, to: Label): void {
    this.#own(to)
    this.put(0x0f, condition, 0, 0, 0, 0)
    const from = this.#size
    if (to.position === null) to.jumps.push(from)
    else this.#setDistance(from, to.position - from)
  }

  #around(register: Register, condition: number, body: () => void): void {
    const end = this.label()
    this.#testAndJump(register, condition, end)
    this.#balanced('a branch', body)
    this.bind(end)
  }

  /** Runs `body`, which must leave the stack as it was: its code may run any number of times. */
  #balanced(what: string, body: () => void): void {
    const before = this.#pushed.join()
    body()
    if (this.#pushed.join() !== before) throw new Error(`assembler: ${what} that leaves the stack changed`)
  }

  #own(label: Label): void {
    if (label.owner !== this) throw new Error('assembler: the label belongs to other code')
  }

  #setDistance(behind: number, distance: number): void {
    for (let i = 0; i < 4; i++) this.#bytes[behind - 4 + i] = (distance >> (8 * i)) & 0xff
  }
}
