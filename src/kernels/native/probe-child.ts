/**
 * The process of a probe: `node probe-child.js <backend> <library>...`. Loads each library, finds out which file that is,
 * calls it, and reports the result, until one is accepted. If it dies, its progress so far shows which library did that.
 *
 * Reports one JSON object a line through file descriptor 3, at once: stdout belongs to the libraries.
 */
import { writeSync } from 'node:fs'
import { loadKoffi } from '../../ffi/koffi.js'
import type { Bf16Support, NativeLibrary } from '../products.js'
import {
  BF16_CHECK_ELEMS,
  CHECK_ELEMS,
  checkBf16,
  checkProducts,
  MEASURE_ELEMS,
  measureSpeed,
  type Workspace,
} from './check.js'
import { type OpenLibrary, UnfitLibrary } from './library.js'
import { openLibrary } from './open.js'
import type { Progress } from './probe.js'

const REPORT_FD = 3
const report = (progress: Progress): void => {
  writeSync(REPORT_FD, `${JSON.stringify(progress)}\n`)
}

const [backend, ...libraries] = process.argv.slice(2)
for (const library of libraries) {
  report({ now: 'loading', library })
  const accepted = await tryOut(backend as NativeLibrary['backend'], library)
  if (accepted) break
}
// Ends without exit handlers of libraries, of which some hang: everything is reported.
process.kill(process.pid, 'SIGKILL')

async function tryOut(backend: NativeLibrary['backend'], library: string): Promise<boolean> {
  const koffi = await loadKoffi()
  try {
    koffi.load(library)
  } catch (error) {
    const reason = (error as Error).message.replace(/^Failed to load shared library: /, '')
    report({ now: 'not loaded', reason })
    return false
  }
  try {
    report({ now: 'calling' })
    const opened = await openLibrary(backend, library)
    report({ now: 'opened', file: await fileOf(library, opened.landmark) })
    return judge(opened)
  } catch (error) {
    // An unexpected error too means that the library cannot be used.
    report({ now: 'refused', reason: error instanceof UnfitLibrary ? error.message : String(error) })
    return false
  }

  function judge({ gemm, bf16, name, version, detail, slow }: OpenLibrary): boolean {
    const data = new Float32Array(Math.max(CHECK_ELEMS, MEASURE_ELEMS, BF16_CHECK_ELEMS))
    const space = { data, at: Number(koffi.address(data)) }
    checkProducts(gemm, space)
    report({ now: 'accepted', facts: { name, version, detail }, slow, speed: measureSpeed(gemm, space) })
    // bf16 comes last: if its products end the process, the others are still good.
    report({ now: 'tried bf16', bf16: judgeBf16(bf16, space) })
    return true
  }
}

function judgeBf16(bf16: OpenLibrary['bf16'], space: Workspace): Bf16Support {
  if ('obstacle' in bf16) return bf16
  try {
    checkBf16(bf16.bind, space)
    return { kernel: bf16.kernel() }
  } catch (error) {
    return { obstacle: error instanceof UnfitLibrary ? error.message : String(error) }
  }
}

/** The file behind a name, according to the dynamic linker; null if that fails. */
async function fileOf(library: string, landmark: string): Promise<string | null> {
  if (process.platform === 'win32') return null
  const koffi = await loadKoffi()
  try {
    const dladdr = koffi.load(null).func('int dladdr(const void* address, void* info)')
    const info = new BigUint64Array(4) // Dl_info: name of the file, its base, name of the symbol, its address
    const found = dladdr(koffi.load(library).symbol(landmark), info)
    return found === 0 || info[0] === 0n ? null : koffi.decode.string(info[0])
  } catch {
    return null
  }
}
