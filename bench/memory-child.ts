/**
 * The process that bench/memory.ts measures: trains the reference network for some steps and prints one MemorySample.
 * Arguments: workers, steps.
 */
import { readFileSync } from 'node:fs'
import { openLab } from './lab.js'
import { referenceLab } from './reference-network.js'

export interface MemorySample {
  readonly steps: number
  /** Step after which everything that is used at all has been used. */
  readonly settledStep: number
  /** Resident size then, and after the last step. */
  readonly settledBytes: number
  readonly endBytes: number
  readonly peakBytes: number
  readonly peakSource: string
  /** Size of the shared memory. */
  readonly arenaBytes: number
}

const SETTLED_STEP = 10

/** Collects garbage of the start-up, whose time of collection is chance and would hide growth. Needs `--expose-gc`. */
function residentBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage.rss()
}

/** Peak memory of this process since it began. */
function peak(): { peakBytes: number; peakSource: string } {
  try {
    const [, kib] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    if (kib !== undefined) return { peakBytes: Number(kib) * 1024, peakSource: 'VmHWM of /proc/self/status' }
  } catch {
    // No Linux.
  }
  return { peakBytes: process.resourceUsage().maxRSS * 1024, peakSource: 'maxRSS of getrusage' }
}

async function sample(workers: number, steps: number): Promise<MemorySample> {
  const lab = await openLab(referenceLab(workers, 'wasm'))
  const settledStep = Math.min(SETTLED_STEP, Math.ceil(steps / 2))
  await lab.run(settledStep)
  const settledBytes = residentBytes()
  await lab.run(steps - settledStep)
  const endBytes = residentBytes()
  const arenaBytes = lab.session.layout.bytes
  await lab.close()
  return { steps, settledStep, settledBytes, endBytes, ...peak(), arenaBytes }
}

const [workers, steps] = process.argv.slice(2).map(Number)
process.stdout.write(`${JSON.stringify(await sample(workers, steps))}\n`)
