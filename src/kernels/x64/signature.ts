/**
 * Arguments of a kernel in machine code: name, type and role of each. From this follow their places in the argument block,
 * the positions that kernels.ts refers to, and what GRADLOOM_X64=check tests before a call. Pure; any thread.
 */

/** Numbers of a call by their names: offsets, counts, strides. */
export type Values = Readonly<Record<string, number>>

/** Memory that an extent may depend on: words of the arena and of the argument block. */
export interface Memory {
  readonly arena: Uint32Array
  readonly block: Uint32Array
}

/**
 * Role of an argument: what a kernel does at a pointer, or what a number counts.
 * `prefetched` pointers are hints: they may point anywhere. `unused` ones stand there because the WASM module's function has them.
 */
export type Role = 'read' | 'written' | 'updated' | 'prefetched' | 'count' | 'stride' | 'value' | 'unused'

/** A pointer is a byte offset in the arena, or in the argument block. */
export interface Argument<N extends string = string> {
  readonly name: N
  readonly type: 'pointer' | 'u32' | 'f32'
  readonly role: Role
  readonly space?: Space
  /** Bytes from the pointer on that the kernel may touch. */
  readonly bytes?: Extent
  /** The address is a multiple of this. */
  readonly aligned?: number
  /** The pointer may be 0, for nothing. */
  readonly optional?: boolean
  /** A count is a multiple of this, and not zero: loops count down to zero. */
  readonly multiple?: (values: Values) => number
}
export type Space = 'arena' | 'block'
export type Extent = (values: Values, memory: Memory) => number

export interface Signature<N extends string = string> {
  readonly kernel: string
  readonly arguments: readonly Argument<N>[]
  /** Position of each argument. */
  readonly at: Readonly<Record<N, number>>
}

/** Arguments that a block has room for between the arena's address and the constants. */
export const MOST_ARGUMENTS = 22

/** Throws if a name occurs twice or the block has no room for them all. */
export function signature<const A extends readonly Argument[]>(
  kernel: string,
  ...args: A
): Signature<A[number]['name']> {
  const at = Object.fromEntries(args.map(({ name }, i) => [name, i])) as Record<A[number]['name'], number>
  if (Object.keys(at).length < args.length) throw new Error(`x64: ${kernel} has two arguments of one name`)
  if (args.length > MOST_ARGUMENTS) {
    throw new RangeError(`x64: ${kernel} has ${args.length} arguments, expected at most ${MOST_ARGUMENTS}`)
  }
  return { kernel, arguments: args, at }
}

type More = Pick<Argument, 'space' | 'aligned' | 'optional'>
const pointer =
  (role: Role) =>
  <const N extends string>(name: N, bytes: Extent, more: More = {}): Argument<N> => ({
    ...{ name, role, bytes, type: 'pointer' },
    ...more,
  })
export const read = pointer('read')
export const written = pointer('written')
export const updated = pointer('updated')
export const prefetched = <const N extends string>(name: N): Argument<N> => ({
  name,
  type: 'pointer',
  role: 'prefetched',
})
export const unusedPointer = <const N extends string>(name: N): Argument<N> => ({
  name,
  type: 'pointer',
  role: 'unused',
})

const u32 =
  (role: Role) =>
  <const N extends string>(name: N): Argument<N> => ({ name, type: 'u32', role })
/** Bytes from a row to the next. */
export const stride = u32('stride')
export const value = u32('value')
export const unused = u32('unused')
export const count = <const N extends string>(
  name: N,
  multiple: number | ((values: Values) => number) = 1,
): Argument<N> => ({
  ...{ name, type: 'u32', role: 'count' },
  multiple: typeof multiple === 'number' ? () => multiple : multiple,
})
export const float = <const N extends string>(name: N): Argument<N> => ({ name, type: 'f32', role: 'value' })

/** Bytes from the first of some rows to the end of the last. */
export const span = (rows: number, rowStride: number, rowBytes: number): number => (rows - 1) * rowStride + rowBytes

/** Bytes of `rows` rows that are `rowStride` apart. */
export const rowsOf =
  (rowStride: string, bytes: Extent): Extent =>
  (values, memory) =>
    span(values.rows, values[rowStride], bytes(values, memory))

/** One line: `adam(w: pointer updated, ..., n: u32 count, stepSize: f32 value)`. */
export const describe = ({ kernel, arguments: args }: Signature): string =>
  `${kernel}(${args.map(({ name, type, role }) => `${name}: ${type} ${role}`).join(', ')})`
