/**
 * Compiles the AssemblyScript sources: the kernels to dist/src/kernels/module/kernels.wasm, the reader of tables to
 * dist/src/data/table/plain/scan.wasm.
 *
 * Memory is imported. That of the kernels is shared: every worker instantiates the module over the run's one arena. No relaxed SIMD: its
 * results may differ from CPU to CPU. A module must have no data segments, because each instantiation would write them again into the
 * shared memory; the build fails if it has any.
 *
 *   node scripts/build-wasm.mjs [--if-changed]    with the option: only modules with a source that is newer
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import asc from 'assemblyscript/asc'

const DATA_SECTION = 11

const modules = [
  {
    sources: 'src/kernels/module/assembly',
    target: 'dist/src/kernels/module/kernels.wasm',
    memory: ['--sharedMemory', '--enable', 'threads'],
  },
  { sources: 'src/data/table/plain/assembly', target: 'dist/src/data/table/plain/scan.wasm', memory: [] },
]

for (const { sources, target, memory } of modules) {
  if (process.argv.includes('--if-changed') && isNewest(target, sources)) continue
  await mkdir(dirname(target), { recursive: true })
  const { error, stderr } = await asc.main([
    `${sources}/index.ts`,
    ...['--outFile', target, '-O3', '--converge', '--noAssert', '--runtime', 'stub', '--use', 'abort='],
    ...['--enable', 'simd', '--enable', 'bulk-memory', ...memory],
    ...['--importMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
  ])
  if (error) fail(`${stderr}\n${error.message}`)
  for (const id of sectionIds(await readFile(target))) {
    if (id === DATA_SECTION)
      fail(`${target}: has a data section, expected none; a function uses a string or a static array`)
  }
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
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
function isNewest(module, sources) {
  if (!existsSync(module)) return false
  const files = [import.meta.filename, ...readdirSync(sources).map(name => join(sources, name))]
  return files.every(file => statSync(file).mtimeMs < statSync(module).mtimeMs)
}
