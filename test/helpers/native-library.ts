/**
 * The native libraries that tests call. Where one is missing, a test fails on CI and is skipped with the reason elsewhere. Probe results
 * are cached apart from the user's.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { findLibrary } from '../../src/kernels/native/discover.js'
import type { NativeLibrary } from '../../src/kernels/products.js'

/** From here on this process, and what it starts, remembers verdicts in a folder of its own. */
export function ownCache(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'gradloom-cache-'))
  process.env.GRADLOOM_CACHE = folder
  for (const name of ['GRADLOOM_BLAS', 'GRADLOOM_ONEDNN']) delete process.env[name]
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

/** Null after having failed (CI) or skipped (elsewhere) the test. */
export async function nativeLibrary(t: Test, backend: NativeLibrary['backend']): Promise<NativeLibrary | null> {
  const { library, reason } = await findLibrary(backend)
  if (library) return library
  const message = `no library for ${backend}: ${reason}`
  // One that is there and refused is a defect of gradloom, wherever that happens.
  if (process.env.CI || !reason.startsWith('no library found')) t.fail(message)
  else t.pass(message, { skip: message })
  return null
}

/** Compiles C to a shared library, or skips the test where there is no compiler. */
export function compiled(t: Test, dir: string, name: string, source: string): string | null {
  const file = join(dir, `${name}.so`)
  writeFileSync(join(dir, `${name}.c`), source)
  const { status, stderr, error } = spawnSync('cc', ['-shared', '-fPIC', '-o', file, join(dir, `${name}.c`)], {
    encoding: 'utf8',
  })
  if (status === 0) return file
  if (!error) throw new Error(`cc: ${stderr}`)
  t.pass('', { skip: `no C compiler: ${error.message}` })
  return null
}
