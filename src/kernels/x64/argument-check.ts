/**
 * GRADLOOM_X64=check: tests the argument block before each call of machine code, which itself tests nothing: every pointer
 * with what lies behind it against the arena, counts against what loops need. For finding faults; slow. Any thread.
 */
import { ARGUMENTS_WORD } from './calling-convention.js'
import type { Argument, Memory, Signature, Values } from './signature.js'

/** Throws RangeError for the first argument that the kernel must not be called with. */
export function checkArguments(signature: Signature, memory: Memory): void {
  const { block } = memory
  const args = signature.arguments
  const values: Values = Object.fromEntries(args.map(({ name }, i) => [name, block[ARGUMENTS_WORD + i]]))
  const fail = ({ name }: Argument, got: string, expected: string): never => {
    const evidence = args.filter(({ type }) => type !== 'f32').map(({ name }) => `${name}=${values[name]}`)
    throw new RangeError(`x64: ${signature.kernel}: ${name} is ${got}, expected ${expected}; ${evidence.join(' ')}`)
  }
  // Counts first: extents are computed from them.
  for (const argument of args) {
    if (argument.role !== 'count') continue
    const got = values[argument.name]
    const multiple = argument.multiple?.(values) ?? 1
    if (got === 0 || got % multiple !== 0) {
      fail(argument, String(got), multiple === 1 ? 'at least 1' : `a positive multiple of ${multiple}`)
    }
  }
  for (const argument of args) {
    const { name, bytes, space = 'arena', aligned = 1, optional = false } = argument
    if (!bytes || (optional && values[name] === 0)) continue
    const from = values[name]
    const room = memory[space].byteLength
    // A pointer that is not in the arena must not be followed to find out how far it reaches.
    const end = from <= room ? from + bytes(values, memory) : from
    if (!(end <= room)) fail(argument, `bytes [${from}, ${end})`, `bytes within the ${space}'s ${room}`)
    if (from % aligned !== 0) fail(argument, String(from), `a multiple of ${aligned}`)
  }
}
