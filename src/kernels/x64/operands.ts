/**
 * Operands of machine code for x86-64: registers, addresses, masks and predicates, each checked where it is made and again
 * where it is encoded, for an id that has too many bits would encode another operand. Pure; any thread.
 */

/** General register of 64 bits: id 0 to 15, without RSP, which the calling convention owns. */
export interface Register {
  readonly general: number
}
/** Vector register of 512 bits, zmm 0 to 31. */
export interface Vector {
  readonly vector: number
}
/** Mask register, k 0 to 7: one bit for each lane. */
export interface Mask {
  readonly mask: number
}
/** Tile register of AMX, tmm 0 to 7. */
export interface Tile {
  readonly tile: number
}

/** Address in memory: base + index · scale + disp. */
export interface Address {
  readonly base: Register
  readonly index: Register | null
  readonly scale?: Scale
  /** Bytes, signed 32 bits. */
  readonly disp: number
  /** Reads 32 bits and gives them to all lanes. */
  readonly broadcast?: boolean
}
export type Scale = 1 | 2 | 4 | 8
export type Operand = Vector | Address

const RSP_ID = 4
const NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ')

const general = (id: number): Register => ({ general: id })
export const RAX = general(0)
export const RCX = general(1)
export const RDX = general(2)
export const RSI = general(6)
/** First argument of a function: the address of its argument block. */
export const RDI = general(7)
export const R8 = general(8)
export const R9 = general(9)
export const R10 = general(10)
export const R11 = general(11)
/** Callee-saved registers (System V ABI): pushed before they are used, popped before the return. */
export const RBX = general(3)
export const RBP = general(5)
export const R12 = general(12)
export const R13 = general(13)
export const R14 = general(14)
export const R15 = general(15)
export const CALLEE_SAVED: readonly Register[] = [RBX, RBP, R12, R13, R14, R15]

export const zmm = (id: number): Vector => ({ vector: within('zmm', id, 31) })
export const tmm = (id: number): Tile => ({ tile: within('tmm', id, 7) })
/** Mask register 0 to 7; 0 cannot mask an instruction, for its encoding means "no mask". */
export const k = (id: number): Mask => ({ mask: within('k', id, 7) })

export const at = (base: Register, disp = 0, index: Register | null = null): Address => checked({ base, disp, index })
export const scaledAt = (base: Register, disp: number, index: Register, scale: Scale): Address =>
  checked({ base, disp, index, scale })
export const broadcastAt = (base: Register, disp: number): Address =>
  checked({ base, disp, index: null, broadcast: true })

/** Treatment of the lanes that a mask leaves out: merging keeps them, zeroing clears them. */
export interface Masked {
  readonly mask: Mask
  readonly zeroing: boolean
}
export const merging = (mask: Mask): Masked => ({ mask, zeroing: false })
export const zeroing = (mask: Mask): Masked => ({ mask, zeroing: true })

/** Predicates of vcmpps, quiet: the first three are false for a NaN, the others true. */
export const COMPARE = {
  greaterOrEqual: 0x1d,
  greaterThan: 0x1e,
  ordered: 0x07,
  notEqual: 0x04,
  unordered: 0x03,
  notLessOrEqual: 0x16,
} as const
export type Comparison = (typeof COMPARE)[keyof typeof COMPARE]

export const isAddress = (operand: object): operand is Address => 'base' in operand
export const nameOf = (register: Register): string => NAMES[register.general] ?? `register ${register.general}`

/** Id of a general register; throws RangeError for RSP and for what is no register. */
export function generalId(register: Register): number {
  const { general } = register
  if (!Number.isInteger(general) || general < 0 || general > 15 || general === RSP_ID) {
    throw new RangeError(`assembler: the register is ${nameOf(register)}, expected one of rax to r15 without rsp`)
  }
  return general
}
export const vectorId = ({ vector }: Vector): number => within('zmm', vector, 31)
export const maskId = ({ mask }: Mask): number => within('k', mask, 7)
export const tileId = ({ tile }: Tile): number => within('tmm', tile, 7)

/** Id of a mask that selects lanes: 1 to 7, for 0 encodes "no mask". */
export function selectingId({ mask }: Mask): number {
  if (maskId({ mask }) === 0) throw new RangeError('assembler: k0 as the mask of an instruction, expected k1 to k7')
  return mask
}

/** The address itself; throws where its parts cannot be encoded. */
export function checked(address: Address): Address {
  const { base, index, scale = 1, disp, broadcast } = address
  generalId(base)
  signed32('the displacement', disp)
  if (index) generalId(index)
  if (![1, 2, 4, 8].includes(scale)) throw new RangeError(`assembler: the scale is ${scale}, expected 1, 2, 4 or 8`)
  if (!index && scale !== 1) throw new RangeError(`assembler: the scale is ${scale} without an index, expected 1`)
  if (index && broadcast) throw new RangeError('assembler: a broadcast from an address with an index, expected none')
  return address
}

export function signed32(what: string, value: number): number {
  if ((value | 0) !== value)
    throw new RangeError(`assembler: ${what} is ${value}, expected an integer of signed 32 bits`)
  return value
}

/** The value, an integer from 0 to `last`; throws RangeError otherwise. */
export function within(what: string, value: number, last: number): number {
  if (!Number.isInteger(value) || value < 0 || value > last) {
    throw new RangeError(`assembler: ${what} is ${value}, expected 0 to ${last}`)
  }
  return value
}
