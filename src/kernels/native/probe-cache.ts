/**
 * Cache of probe results, in the user's cache folder, so that only the first start pays for them. An entry counts
 * as long as the files it is about are the same, and everything else that decides: gradloom, Node.js, the CPU,
 * environment variables. Main thread. A problem with the cache is not an error: then the libraries are probed again.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, realpath, stat } from 'node:fs/promises'
import { cpus, release } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { writeTextAtomically } from '../../files/atomic.js'
import { cacheFolder } from '../../files/cache.js'
import { gradloomVersion } from '../../version.js'
import { cpuFlags } from '../cpu.js'
import type { NativeLibrary } from '../products.js'
import { type ProbeResult, probe } from './probe.js'

/** Version of the entries; changes with their form and with what a probe checks. */
const FORMAT = 5
/** Names of environment variables that decide which file a name is, or how a library behaves. */
export const DECIDING_VARIABLES = /^(LD_|DYLD_|OPENBLAS_|GOTO_|MKL_|BLIS_|DNNL_|ONEDNN_|OMP_|VECLIB_|GLIBC_TUNABLES$)/

interface Identity {
  /** Name for the dynamic linker, and the file behind that name. */
  readonly given: string
  readonly real: string
  readonly bytes: number
  readonly modifiedMs: number
}

interface Entry {
  /** State of the linker's own cache, if names were not found; null if there is none. */
  readonly linker: string | null
  readonly results: readonly (ProbeResult & { readonly identity: Identity | null })[]
}

/** Probe results, from the cache where they still hold. */
export async function knownOrProbed(
  backend: NativeLibrary['backend'],
  libraries: readonly string[],
  limitMs?: number,
): Promise<readonly ProbeResult[]> {
  const file = join(cacheFolder('native'), `${keyOf(backend, libraries)}.json`)
  const known = await read(file)
  if (known && (await holds(known))) return known.results
  const results = await probe(backend, libraries, limitMs)
  const lasting = results.every(({ outcome }) => outcome.is !== 'refused' || outcome.lasting)
  if (lasting) await write(file, results)
  return results
}

function keyOf(backend: string, libraries: readonly string[]): string {
  const environment = Object.entries(process.env).filter(([name]) => DECIDING_VARIABLES.test(name))
  if (process.platform === 'win32') environment.push(['PATH', process.env.PATH])
  const { platform, arch, versions } = process
  const machine = [platform, arch, release(), versions.node, cpus()[0]?.model, cpuFlags()]
  const facts = [FORMAT, gradloomVersion(), machine, environment.sort(), backend, libraries]
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 32)
}

async function read(file: string): Promise<Entry | null> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Entry
  } catch {
    return null // none yet, or not readable
  }
}

async function write(file: string, results: readonly ProbeResult[]): Promise<void> {
  try {
    const identified = results.map(async result => ({ ...result, identity: await identify(result) }))
    const entry: Entry = { linker: await linkerState(), results: await Promise.all(identified) }
    await mkdir(join(file, '..'), { recursive: true })
    await writeTextAtomically(file, `${JSON.stringify(entry, null, 2)}\n`)
  } catch {
    // A full disk, a read-only home: the next start probes the libraries again.
  }
}

async function holds({ linker, results }: Entry): Promise<boolean> {
  try {
    const accepted = results.at(-1)?.outcome.is === 'accepted'
    for (const result of results) {
      const { identity } = result
      if (identity && !same(identity, await identify(result))) return false
      // A name that was not found, or ended the probe before it could be asked for its file.
      if (!identity && !accepted && (linker === null || linker !== (await linkerState()))) return false
    }
    return results.length > 0
  } catch {
    return false
  }
}

const same = (a: Identity, b: Identity | null): boolean =>
  b !== null && a.real === b.real && a.bytes === b.bytes && a.modifiedMs === b.modifiedMs

/** Null for a name that only the linker knows, and for a library that is not a file, as those of macOS are. */
async function identify({ library, file }: ProbeResult): Promise<Identity | null> {
  const given = file ?? (isAbsolute(library) ? library : null)
  if (given === null) return null
  try {
    const real = await realpath(given)
    const { size, mtimeMs } = await stat(real)
    return { given, real, bytes: size, modifiedMs: mtimeMs }
  } catch {
    return null
  }
}

/** glibc finds names in this file, which `ldconfig` writes whenever a package brings a library. */
async function linkerState(): Promise<string | null> {
  try {
    const { size, mtimeMs } = await stat('/etc/ld.so.cache')
    return `${size} ${mtimeMs}`
  } catch {
    return null
  }
}
