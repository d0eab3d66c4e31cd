/**
 * Functions of the WASM module with those replaced that this CPU runs faster in AVX-512: the same bits. All are assembled when
 * a thread opens its plan, none inside a step. Any thread.
 */
import type { WasmExports } from '../abi.js'
import type { Precision } from '../backend.js'
import { type ArgumentBlock, type BoundKernel, openBlock } from './argument-block.js'
import { ARGUMENTS_WORD } from './calling-convention.js'
import { obstacle } from './cpu.js'
import { BLOCK_BYTES, initialiseBlock } from './emit-helpers.js'
import { KERNELS, type X64Kernel } from './kernels.js'

const NEEDED = ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl']

type PlainFunction = (...args: number[]) => number
export type Accelerate = (wasm: WasmExports) => WasmExports

/** Reason why the kernels cannot run here, as far as the CPU decides; null where they can. */
export const x64Obstacle = (): string | null => obstacle(NEEDED)

/** Null where this CPU or this system cannot. Kernels for bf16 layouts are assembled for that precision alone. */
export async function openX64(memory: WebAssembly.Memory, precision: Precision): Promise<Accelerate | null> {
  if (x64Obstacle()) return null
  const block = await openBlock(memory, BLOCK_BYTES)
  if (!block) return null
  initialiseBlock(block.words)
  const kernels = KERNELS.filter(kernel => precision === 'bf16' || !kernel.name.startsWith('bf16_'))
  const bound = block.bind(kernels.map(({ signature, code }) => ({ signature, code: code() })))

  return wasm => {
    const replaced = kernels.map((kernel, i) => {
      return [kernel.name, standIn(kernel, block, bound[i], wasm[kernel.name] as PlainFunction)]
    })
    return { ...wasm, ...Object.fromEntries(replaced) }
  }
}

/** Wrapper with the arguments of the module's function, `portable`, which handles what the kernel does not serve. */
function standIn(
  { signature, size, moves, serves, prepare, leaves, moveMore }: X64Kernel,
  { words, floats }: ArgumentBlock,
  run: BoundKernel,
  portable: PlainFunction,
): PlainFunction {
  const { multiple } = size
  const sizeAt = signature.at[size.argument]
  const isFloat = signature.arguments.map(({ type }) => type === 'f32')
  // WASM functions have their float arguments last.
  const floatsFrom = isFloat.includes(true) ? isFloat.indexOf(true) : isFloat.length
  const moved = Object.entries<number>(moves as Record<string, number>).map(
    ([name, by]) => [signature.at[name], by] as const,
  )
  return (...args) => {
    const rest = args[sizeAt] % multiple
    const served = args[sizeAt] - rest
    if (served <= 0 || !serves(args)) return portable(...args)
    prepare?.(words, args)
    for (let i = 0; i < args.length; i++) {
      if (i < floatsFrom) words[ARGUMENTS_WORD + i] = args[i]
      else floats[ARGUMENTS_WORD + i] = args[i]
    }
    words[ARGUMENTS_WORD + sizeAt] = served
    const result = run()
    if (rest === 0 && !leaves?.(args)) return result
    args[sizeAt] = rest
    for (const [i, by] of moved) args[i] += by * served
    moveMore?.(args, served)
    return result | portable(...args)
  }
}
