/** The WASM module's functions, with those replaced that this CPU runs faster in AVX-512. Same bits. Any thread. */
import { closeSync, openSync, readSync } from 'node:fs'
import type { WasmExports } from '../../wasm/exports.js'
import { loadKoffi } from '../koffi.js'
import { loadCode, type NativeFunction } from './code.js'
import { BLOCK_BYTES, CONSTANTS, KERNELS, WORDS, type X64Kernel } from './kernels.js'

/** Set to `0`, leaves everything to the WASM module. */
export const X64_VARIABLE = 'GRADLOOM_X64'
const NEEDED = ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl']

export type Accelerate = (wasm: WasmExports) => WasmExports

/** Null where this CPU, or this system, cannot. `base`: where the arena begins. */
export async function openX64(base: number): Promise<Accelerate | null> {
  if (process.platform !== 'linux' || process.arch !== 'x64' || process.env[X64_VARIABLE] === '0') return null
  const flags = cpuFlags()
  if (!NEEDED.every(flag => flags.has(flag))) return null
  const functions = await loadCode(KERNELS.map(({ code }) => code().bytes))
  if (!functions) return null
  const koffi = await loadKoffi()
  const block = new ArrayBuffer(BLOCK_BYTES)
  const address = Number(koffi.address(block))
  const [words, floats] = [new Uint32Array(block), new Float32Array(block)]
  new BigUint64Array(block)[0] = BigInt(base)
  words.set(Object.values(CONSTANTS), WORDS.constantsAt)

  /** Arguments go into the block as numbers of their kind. */
  const bind = (kernel: X64Kernel<never>, run: NativeFunction, otherwise: (...args: number[]) => unknown) => {
    const serves = kernel.serves as (...args: number[]) => boolean
    const firstFloat = kernel.floats[0] ?? Number.POSITIVE_INFINITY
    return (...args: number[]) => {
      if (!serves(...args)) return otherwise(...args)
      for (let i = 0; i < args.length; i++) {
        if (i < firstFloat) words[WORDS.argumentsAt + i] = args[i]
        else floats[WORDS.argumentsAt + i] = args[i]
      }
      return run(address)
    }
  }
  return wasm => {
    const replaced = KERNELS.map((kernel, i) => [
      kernel.name,
      bind(kernel as X64Kernel<never>, functions[i], wasm[kernel.name] as (...args: number[]) => unknown),
    ])
    return { ...wasm, ...Object.fromEntries(replaced) }
  }
}

/** What Linux says that the first CPU has, and the system lets programs use. */
function cpuFlags(): Set<string> {
  const start = Buffer.alloc(8192)
  try {
    const file = openSync('/proc/cpuinfo', 'r')
    try {
      readSync(file, start)
    } finally {
      closeSync(file)
    }
  } catch {
    return new Set()
  }
  return new Set(/^flags\s*:(.*)$/m.exec(start.toString('latin1'))?.[1].trim().split(/\s+/))
}
