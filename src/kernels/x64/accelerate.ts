/** The WASM module's functions, with those replaced that this CPU runs faster in AVX-512. Same bits. Any thread. */
import type { WasmExports } from '../abi.js'
import { ARGUMENTS_WORD } from './calling-convention.js'
import { mayRun } from './cpu.js'
import { createBlock } from './emit-helpers.js'
import { alignedBlock, type NativeFunction, openCode } from './executable-memory.js'
import { KERNELS, type X64Kernel } from './kernels.js'

const NEEDED = ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl']

type PlainFunction = (...args: number[]) => number
export type Accelerate = (wasm: WasmExports) => WasmExports

/** Null where this CPU, or this system, cannot. `base`: where the arena begins. */
export async function openX64(base: number): Promise<Accelerate | null> {
  if (!mayRun(NEEDED)) return null
  const load = await openCode()
  if (!load) return null
  const block = createBlock(base)
  const { memory, offset, address } = await alignedBlock(block.byteLength)
  new Uint8Array(memory).set(new Uint8Array(block), offset)
  const [words, floats] = [new Uint32Array(memory, offset), new Float32Array(memory, offset)]

  return wasm => {
    const replaced = KERNELS.map(kernel => [kernel.name, bind(kernel, wasm[kernel.name] as PlainFunction)])
    return { ...wasm, ...Object.fromEntries(replaced) }
  }

  /** What is never called is never assembled. */
  function bind(kernel: X64Kernel, portable: PlainFunction): PlainFunction {
    let run: NativeFunction | undefined
    const { floatsFrom, size, moves } = kernel
    const serves = kernel.serves as (...args: number[]) => boolean
    const prepare = kernel.prepare as ((words: Uint32Array, ...args: number[]) => void) | undefined
    return (...args) => {
      const rest = args[size.at] % size.multiple
      const served = args[size.at] - rest
      if (served <= 0 || !serves(...args)) return portable(...args)
      prepare?.(words, ...args)
      for (let i = 0; i < args.length; i++) {
        if (i < floatsFrom) words[ARGUMENTS_WORD + i] = args[i]
        else floats[ARGUMENTS_WORD + i] = args[i]
      }
      words[ARGUMENTS_WORD + size.at] = served
      run ??= load!(kernel.code())
      const result = run(address)
      if (rest === 0 && !kernel.leaves?.(args)) return result
      args[size.at] = rest
      for (const [i, by] of moves) args[i] += by * served
      kernel.move?.(args, served)
      return result | portable(...args)
    }
  }
}
