/**
 * Calling convention of machine code: one argument in RDI, the address of the argument block. The block begins with the
 * arena's address, 64 bits; then come the arguments in the order of the kernel's signature, 32 bits each, pointers as
 * offsets. Pure; any thread.
 */
import { type Address, Assembler, at, RAX, RDI, type Register } from './assembler.js'
import type { Signature } from './signature.js'

/** Byte of the block at which the arguments begin, and its word. */
export const ARGUMENTS_AT = 8
export const ARGUMENTS_WORD = ARGUMENTS_AT / 4

/** Code of a kernel, complete, with its signature. */
export interface Loadable {
  readonly signature: Signature
  readonly code: Assembler
}

/** Code of a kernel, and its arguments by name. RAX holds the arena's address until the kernel changes it. */
export interface KernelCode<N extends string> {
  readonly code: Assembler
  /** Address of the argument itself. */
  argument(name: N): Address
  /** Loads an argument: a number, or a pointer as an address, for which RAX must hold the arena's address. */
  load(to: Register, name: N): void
  /** Loads a pointer as it is in the block: an offset. */
  loadOffset(to: Register, name: N): void
}

export function begin<N extends string>(signature: Signature<N>): KernelCode<N> {
  const code = new Assembler()
  code.mov(RAX, at(RDI))
  const argument = (name: N) => at(RDI, ARGUMENTS_AT + 4 * signature.at[name])
  const loadOffset = (to: Register, name: N) => code.mov32(to, argument(name))
  return {
    code,
    argument,
    loadOffset,
    load(to, name) {
      loadOffset(to, name)
      const { type, space = 'arena' } = signature.arguments[signature.at[name]]
      if (type === 'pointer') code.add(to, space === 'arena' ? RAX : RDI)
    },
  }
}

/** Word of the block in which each argument lies, by name. */
export function wordsOf<N extends string>({ at }: Signature<N>): Readonly<Record<N, number>> {
  const words = Object.entries<number>(at).map(([name, i]) => [name, ARGUMENTS_WORD + i])
  return Object.fromEntries(words)
}
