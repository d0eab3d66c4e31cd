/**
 * `npm run bench -- memory`: resident size of a process that trains the reference network. Main thread; each number of
 * workers is measured in a process of its own (memory-child.ts), because a peak never goes down again.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { MemorySample } from './memory-child.js'
import { REFERENCE_BATCH, REFERENCE_WIDTHS } from './reference-network.js'
import { type Bar, exactBar, type Report, type Say, type Table, workersText } from './report.js'

export interface MemoryOptions {
  readonly steps: number
  readonly workers: readonly number[]
}
export const MEMORY_DEFAULTS: MemoryOptions = { steps: 20, workers: [2, 4] }

const PEAK_BAR_MB = 900
const GROWTH_BAR = 0.05
/** Steps that the bar about growth speaks of. */
const LONG_RUN_STEPS = 500
const MB = 1e6

interface Measured extends MemorySample {
  readonly workers: number
  /** Growth from the settled size to the last. */
  readonly growth: number
}

export async function benchMemory({ steps, workers }: MemoryOptions, say: Say): Promise<Report> {
  const measured: Measured[] = []
  for (const count of workers) {
    say(`memory: ${steps} steps with ${count} workers`)
    const sample = await runChild(count, steps)
    measured.push({ workers: count, ...sample, growth: sample.endBytes / sample.settledBytes - 1 })
  }
  const peakWith = (count: number) => measured.find(sample => sample.workers === count)?.peakBytes
  const [two, four] = [peakWith(2), peakWith(4)]
  const more = two !== undefined && four !== undefined ? four / two - 1 : null
  const most = Math.max(...measured.map(({ growth }) => growth))
  const bars: Bar[] = [
    {
      what: 'peak with 2 workers',
      got: two === undefined ? null : two / MB,
      want: PEAK_BAR_MB,
      at: 'most',
      unit: 'megabytes',
    },
    { what: 'growth of the peak from 2 to 4 workers', got: more, want: GROWTH_BAR, at: 'most', unit: 'percent' },
    { what: `growth over ${steps} steps`, got: most, want: GROWTH_BAR, at: 'most', unit: 'percent' },
  ]
  return {
    name: 'memory',
    title: `resident size of training ${REFERENCE_WIDTHS.join('-')}, batch ${REFERENCE_BATCH}, Adam, wasm`,
    method: [
      'A process for each number of workers; data: the embedded digits, 8 MB in shared memory (MNIST: 55 MB). MB are 10^6 bytes.',
      `"settled": after ${measured[0].settledStep} steps; "growth": from there to step ${steps}, garbage collected. Peak: ${measured[0].peakSource}.`,
      ...(steps < LONG_RUN_STEPS ? [`The promise is about ${LONG_RUN_STEPS} steps: --steps ${LONG_RUN_STEPS}.`] : []),
    ],
    tables: [memoryTable(measured)],
    charts: [
      {
        title: 'Peak resident size of training the reference network',
        axis: 'MB',
        better: 'lower',
        groups: measured.map(sample => workersText(sample.workers)),
        series: [{ name: 'peak', bars: measured.map(({ peakBytes }) => exactBar(peakBytes / MB)) }],
      },
    ],
    bars,
    skipped: two === undefined || four === undefined ? ['bars of 2 and 4 workers: need --workers 2 4'] : [],
    numbers: { options: { steps, workers }, results: measured },
  }
}

async function runChild(workers: number, steps: number): Promise<MemorySample> {
  const file = fileURLToPath(new URL('./memory-child.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', file, String(workers), String(steps)])
  return JSON.parse(stdout)
}

function memoryTable(measured: readonly Measured[]): Table {
  const mb = (bytes: number) => (bytes / MB).toFixed(0)
  return {
    title: '',
    words: 0,
    head: ['workers', 'steps', 'shared MB', 'settled MB', 'at the end MB', 'growth', 'peak MB'],
    rows: measured.map(({ workers, steps, arenaBytes, settledBytes, endBytes, growth, peakBytes }) => [
      String(workers),
      String(steps),
      mb(arenaBytes),
      mb(settledBytes),
      mb(endBytes),
      `${(100 * growth).toFixed(1)} %`,
      mb(peakBytes),
    ]),
  }
}
