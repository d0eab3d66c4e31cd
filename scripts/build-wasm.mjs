/**
 * Compiles the AssemblyScript kernels to dist/src/kernels/module/kernels.wasm.
 *
 * Shared, imported memory: every worker instantiates the module over the run's one arena. No relaxed SIMD: its results
 * may differ from CPU to CPU. The module must have no data segments, because each instantiation would write them again
 * into the shared memory; the build fails if it has any.
 *
 *   node scripts/build-wasm.mjs [--if-changed]    with the option: only where a source is newer than the module
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import asc from 'assemblyscript/asc'

const sources = 'src/kernels/module/assembly'
const target = 'dist/src/kernels/module/kernels.wasm'

if (process.argv.includes('--if-changed') && isNewest(target)) process.exit(0)

await mkdir('dist/src/kernels/module', { recursive: true })

const { error, stderr } = await asc.main([
  `${sources}/index.ts`,
  ...['--outFile', target, '-O3', '--converge', '--noAssert', '--runtime', 'stub', '--use', 'abort='],
  ...['--enable', 'simd', '--enable', 'threads', '--enable', 'bulk-memory'],
  ...['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
])
if (error) {
  process.stderr.write(`${stderr}\n${error.message}\n`)
  process.exit(1)
}

const DATA_SECTION = 11
for (const id of sectionIds(await readFile(target))) {
  if (id === DATA_SECTION) {
    process.stderr.write(`${target}: has a data section, expected none; a kernel uses a string or a static array\n`)
    process.exit(1)
  }
}

/** Ids of a WebAssembly binary's sections: an id byte, a LEB128 length, the content. */
function* sectionIds(bytes) {
  for (let at = 8; at < bytes.length; ) {
    yield bytes[at++]
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      length |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    at += length
  }
}

/** True where the module is there and newer than all of its sources and this script. */
function isNewest(module) {
  if (!existsSync(module)) return false
  const files = [import.meta.filename, ...readdirSync(sources).map(name => join(sources, name))]
  return files.every(file => statSync(file).mtimeMs < statSync(module).mtimeMs)
}
