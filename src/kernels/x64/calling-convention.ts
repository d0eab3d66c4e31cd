/**
 * What a function in machine code is called with: the address of a block, in RDI. There is where the arena begins, 64
 * bits; then the arguments, 32 bits each, pointers as offsets in the arena. Pure; any thread.
 */
import { type Address, Assembler, at, RAX, RDI, type Register } from './assembler.js'

const ARGUMENTS_AT = 8
export const ARGUMENTS_WORD = ARGUMENTS_AT / 4

export const argument = (i: number): Address => at(RDI, ARGUMENTS_AT + 4 * i)

/** Argument i, a pointer, as an address. RAX holds where the arena begins. */
export function pointer(code: Assembler, to: Register, i: number): void {
  code.mov32(to, argument(i))
  code.add(to, RAX)
}

/** A number without a sign. */
export const count = (code: Assembler, to: Register, i: number): void => code.mov32(to, argument(i))

export function begin(): Assembler {
  const code = new Assembler()
  code.mov(RAX, at(RDI))
  return code
}
