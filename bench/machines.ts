/**
 * `npm run bench -- machines`: a training step of the reference network over several ranks of one worker each, beside one process of as many
 * workers, and beside PyTorch's DistributedDataParallel over gloo with as many processes of one thread. Main thread; everything runs in
 * processes of its own, one after the other in turns.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RunError } from '../src/errors.js'
import type { StepsEvent } from '../src/run/events.js'
import { REFERENCE_BATCH, REFERENCE_DROPOUT, REFERENCE_L2, REFERENCE_WIDTHS } from './reference-network.js'
import type { Bar, Report, Say } from './report.js'
import { median, type Summary, spread, summarise } from './stats.js'

export interface MachinesOptions {
  readonly backend: string
  readonly mpi: 'openmpi' | 'mpich'
  readonly ranks: number
  readonly batches: readonly number[]
  readonly turns: number
  /** Steps of an epoch, of which the first of three is a warm-up. */
  readonly steps: number
}
export const MACHINES_DEFAULTS: MachinesOptions = {
  ...{ backend: 'onednn', mpi: 'openmpi', ranks: 2, batches: [REFERENCE_BATCH, 1024], turns: 5, steps: 8 },
}

export const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url))
const DDP = fileURLToPath(new URL('../../bench/peers/torch-ddp.py', import.meta.url))
const PYTHON = '/usr/bin/python3'
const EPOCHS = 3
const TEST_ROWS = 16
const CLASSES = 10
const PIXELS = 28

/** Options with which a launcher starts ranks on this machine, also as root. */
const LAUNCH = {
  openmpi: ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none'],
  mpich: [],
} as const

/** Bars by rows of the mini-batch: the least share of the speed of one process, and the least speed-up over PyTorch. */
const SHARE_BARS: Readonly<Record<number, number>> = { 256: 0.85, 1024: 0.9 }
const PEER_BARS: Readonly<Record<number, number>> = { 256: 5 }

interface Side {
  readonly name: string
  /** Samples per second of a turn. */
  run(batch: number): Promise<number>
}

export async function benchMachines(options: MachinesOptions, say: Say): Promise<Report> {
  const { mpi, ranks, batches, turns, steps, backend } = options
  if (spawnSync(`mpirun.${mpi}`, ['--version']).status !== 0) {
    throw new RunError(
      `mpirun.${mpi} is not installed, expected ${mpi === 'mpich' ? 'mpich' : 'openmpi-bin'} of Debian`,
    )
  }
  const dir = mkdtempSync(join(tmpdir(), 'gradloom-bench-machines-'))
  const [alone, together, peer] = sidesOf(options, dir)
  const skipped: string[] = []
  const results: { batch: number; alone: Summary; together: Summary; peer: Summary | null }[] = []
  try {
    writeData(dir, steps * Math.max(...batches))
    for (const batch of batches) {
      const rates = { alone: [] as number[], together: [] as number[], peer: [] as number[] }
      for (let turn = 0; turn < turns; turn++) {
        say(`machines: batch ${batch}, turn ${turn + 1} of ${turns}`)
        rates.alone.push(await alone.run(batch))
        rates.together.push(await together.run(batch))
        if (!(batch in PEER_BARS)) continue
        try {
          rates.peer.push(await peer.run(batch))
        } catch (error) {
          if (turn === 0) skipped.push(`PyTorch: ${(error as Error).message}`)
        }
      }
      results.push({
        batch,
        ...{ alone: summarise(rates.alone), together: summarise(rates.together) },
        peer: rates.peer.length > 0 ? summarise(rates.peer) : null,
      })
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  const bars = results.flatMap(({ batch, alone, together, peer }): Bar[] => [
    ...(batch in SHARE_BARS
      ? [
          bar(
            `batch ${batch}: ${ranks} ranks of 1 worker, of 1 process of ${ranks}`,
            together.median / alone.median,
            SHARE_BARS[batch],
          ),
        ]
      : []),
    ...(batch in PEER_BARS
      ? [
          bar(
            `batch ${batch}: ${ranks} ranks, of PyTorch DDP over gloo`,
            peer && together.median / peer.median,
            PEER_BARS[batch],
          ),
        ]
      : []),
  ])
  return {
    name: 'machines',
    title: `training ${REFERENCE_WIDTHS.join('-')} in ${ranks} ranks on this machine, ${mpi}, f32, ${backend}`,
    method: [
      `${turns} turns of each side, one after the other, each a run of its own: ${EPOCHS} epochs of ${steps} steps, the first a warm-up;`,
      '  samples per second, medians over the turns. "spread": between the quartiles.',
    ],
    tables: [
      {
        title: 'samples per second',
        words: 1,
        head: ['side', 'batch', 'samples/s', 'spread', 'best'],
        rows: results.flatMap(({ batch, ...sides }) =>
          ([alone, together, peer] as const).flatMap((side, i) => {
            const summary = [sides.alone, sides.together, sides.peer][i]
            if (!summary) return []
            const cells = [summary.median.toFixed(0), `${(100 * spread(summary)).toFixed(1)} %`, summary.max.toFixed(0)]
            return [[side.name, String(batch), ...cells]]
          }),
        ),
      },
    ],
    charts: [],
    bars,
    skipped,
    numbers: { options, results },
  }
}

const bar = (what: string, got: number | null, want: number): Bar => ({ what, got, want, at: 'least', unit: 'times' })

/** Runs of the reference network, each in a folder of its own. */
export class Trainings {
  readonly #dir: string
  readonly #backend: string
  #runs = 0

  constructor(dir: string, backend: string) {
    this.#dir = dir
    this.#backend = backend
  }

  /** Trains once. `launcher`: command that starts ranks; none: one process. `widths`: of the network, as deep as the reference. Answers medians over the epochs after the first. */
  async run(
    batch: number,
    workers: number,
    launcher: readonly string[],
    widths: readonly number[] = REFERENCE_WIDTHS,
  ): Promise<Trained> {
    const run = join(this.#dir, `run${++this.#runs}`)
    const file = join(this.#dir, `x${this.#runs}.json`)
    writeFileSync(file, JSON.stringify(experimentOf(this.#dir, batch, this.#backend, workers, widths)))
    const [program, ...args] = [...launcher, process.execPath, MAIN, 'train', file, '--run-dir', run, '--quiet']
    await finished(program, args)
    const spans = readFileSync(join(run, 'metrics.jsonl'), 'utf8')
      .split('\n')
      .filter(line => line.includes('"type":"steps"'))
      .map(line => JSON.parse(line) as StepsEvent)
      .slice(1)
    rmSync(run, { recursive: true })
    const samplesPerSecond = median(spans.map(span => span.samplesPerSecond))
    const bytesOf = ({ ranks, from, step }: StepsEvent) =>
      ranks ? ranks.reduce((sum, rank) => sum + rank.receivedBytes, 0) / ranks.length / (step - from) : 0
    const stepMs = (1000 * batch) / samplesPerSecond
    return {
      samplesPerSecond,
      stepMs,
      bytes: median(spans.map(bytesOf)),
      updateShare: median(spans.map(updateShareOf)),
    }
  }
}

interface Trained {
  readonly samplesPerSecond: number
  readonly stepMs: number
  /** That a rank gets in a step. */
  readonly bytes: number
  /** Share of the work of a step that computes gradients and updates. */
  readonly updateShare: number
}

function updateShareOf({ workers = [] }: StepsEvent): number {
  const [update, compute] = (['updateMs', 'computeMs'] as const).map(of =>
    workers.reduce((sum, worker) => sum + worker[of], 0),
  )
  return update / (update + compute)
}

function sidesOf({ backend, mpi, ranks, steps }: MachinesOptions, dir: string): [Side, Side, Side] {
  const trainings = new Trainings(dir, backend)
  const train = async (...of: Parameters<Trainings['run']>): Promise<number> =>
    (await trainings.run(...of)).samplesPerSecond
  return [
    { name: `1 process, ${ranks} workers`, run: batch => train(batch, ranks, []) },
    {
      name: `${ranks} ranks, 1 worker each`,
      run: batch => train(batch, 1, [`mpirun.${mpi}`, '-n', String(ranks), ...LAUNCH[mpi]]),
    },
    {
      name: `PyTorch DDP, ${ranks} processes`,
      async run(batch) {
        const args = ['--ranks', ranks, '--batch', batch, '--steps', steps, '--widths', REFERENCE_WIDTHS.join(',')]
        const { seconds } = JSON.parse(await finished(PYTHON, [DDP, ...args.map(String)])) as { seconds: number[] }
        return batch / median(seconds)
      },
    },
  ]
}

const experimentOf = (dir: string, batch: number, backend: string, workers: number, widths: readonly number[]) => ({
  data: { dataset: 'idx', path: join(dir, 'data') },
  model: { hidden: widths.slice(1, -1), dropout: REFERENCE_DROPOUT },
  train: { epochs: EPOCHS, batchSize: batch, l2: REFERENCE_L2 },
  compute: { backend, workers },
  checkpoint: { everyEpochs: null, keepBest: false },
})

/** Runs a program; returns its output. Rejects with the first line of its errors. */
export function finished(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, errors] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text
    })
    child.on('error', reject).on('close', code => {
      if (code === 0) resolve(out)
      else reject(new RunError(`${program}: exit code ${code}: ${(errors || out).trim().split('\n')[0]}`))
    })
  })
}

/** Pictures of noise as IDX files. */
export function writeData(dir: string, rows: number): void {
  const data = join(dir, 'data')
  mkdirSync(data)
  for (const [prefix, count] of [
    ['train', rows],
    ['t10k', TEST_ROWS],
  ] as const) {
    const images = Buffer.alloc(count * PIXELS * PIXELS)
    // Any numbers do, as long as most are zero, as in pictures of digits.
    for (let i = 0; i < images.length; i++) images[i] = (i * 2_654_435_761) % 5 === 0 ? i % 251 : 0
    const labels = Buffer.from(Array.from({ length: count }, (_, i) => i % CLASSES))
    writeFileSync(
      join(data, `${prefix}-images-idx3-ubyte`),
      Buffer.concat([header(0x803, count, PIXELS, PIXELS), images]),
    )
    writeFileSync(join(data, `${prefix}-labels-idx1-ubyte`), Buffer.concat([header(0x801, count), labels]))
  }
}

function header(magic: number, ...dims: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 + 4 * dims.length)
  for (const [i, word] of [magic, ...dims].entries()) bytes.writeUInt32BE(word, 4 * i)
  return bytes
}
