/** Compiles the WASM kernels. Main thread: workers get the compiled module, and need not load what reads files. */
import { readFile } from 'node:fs/promises'

/** Throws CompileError where SIMD or threads lack. */
export async function compileWasm(): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await readFile(new URL('./kernels.wasm', import.meta.url)))
}
