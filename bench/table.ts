/**
 * `npm run bench -- table`: tables from file to network: the first step of training from CSV and Parquet, beside DuckDB's own scan
 * and NumPy; training rows in windows beside rows in memory; predictions for a file. Main thread; each run is a process of its own.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadDuckDB } from '../src/data/table/duckdb/package.js'
import { RunError } from '../src/errors.js'
import { type Bar, chartBar, type Report, type Say } from './report.js'
import { eventsOf } from './startup.js'
import { type Summary, summarise } from './stats.js'

export interface TableOptions {
  readonly rows: number
  readonly times: number
}
export const TABLE_DEFAULTS: TableOptions = { rows: 500_000, times: 3 }

/** Columns of numbers; one of classes follows. */
const NUMBERS = 29
const HIDDEN = [64, 64]
const MEGABYTE = 2 ** 20

const PROGRAM = fileURLToPath(new URL('../../bin/gradloom.js', import.meta.url))

interface Child {
  readonly seconds: number
  readonly peakBytes: number
  readonly stdout: string
}

export async function benchTable({ rows, times }: TableOptions, say: Say): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), 'gradloom-table-'))
  try {
    say(`table: ${rows} rows of ${NUMBERS + 1} columns: files`)
    const [csv, parquet] = [join(folder, 'table.csv'), join(folder, 'table.parquet')]
    await writeTables(csv, parquet, rows)
    const runs: Record<string, () => Promise<number>> = {}
    const peaks: Record<string, number> = {}
    const trained =
      (what: string, file: string, more: object = {}) =>
      async () => {
        const { first, rowsPerSecond, peakBytes } = await train(folder, file, more)
        peaks[what] = Math.max(peaks[what] ?? 0, peakBytes)
        return Object.keys(more).length > 0 ? rowsPerSecond : first
      }
    runs['gradloom, CSV, first step'] = trained('CSV', csv)
    runs['gradloom, Parquet, first step'] = trained('Parquet', parquet)
    runs['DuckDB scan, CSV'] = async () => (await run(process.execPath, scanArgs(csv))).seconds
    runs['DuckDB scan, Parquet'] = async () => (await run(process.execPath, scanArgs(parquet))).seconds
    const numpy = await hasNumPy()
    if (numpy) runs['NumPy loadtxt, CSV'] = async () => (await run('python3', ['-c', loadtxt(csv)])).seconds
    const windowRows = Math.ceil(rows / 4)
    const throughput: Record<string, () => Promise<number>> = {
      'rows in memory': trained('in memory', parquet, { stream: 'never' }),
      'rows in windows': trained('in windows', parquet, { stream: 'always', windowRows }),
    }
    const model = join(folder, 'model')
    await train(folder, parquet, {}, model)
    throughput['predict --data, Parquet to CSV'] = async () => {
      const { seconds, peakBytes } = await run(process.execPath, [
        ...[PROGRAM, 'predict', model, '--data', parquet, '--out', join(folder, 'predictions.csv')],
      ])
      peaks.predict = Math.max(peaks.predict ?? 0, peakBytes)
      return rows / seconds
    }
    const seconds = await inTurns(runs, times, say)
    const perSecond = await inTurns(throughput, times, say)
    return reportOf({ rows, times }, seconds, perSecond, peaks, numpy)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Medians of each, measured in turns, so that a slow minute of the machine meets all of them. */
async function inTurns(runs: Readonly<Record<string, () => Promise<number>>>, times: number, say: Say) {
  const samples = new Map(Object.keys(runs).map(name => [name, [] as number[]]))
  for (let turn = 0; turn <= times; turn++) {
    for (const [name, measure] of Object.entries(runs)) {
      say(`table: ${name}: ${turn === 0 ? 'warm-up' : `${turn} of ${times}`}`)
      const value = await measure()
      if (turn > 0) samples.get(name)!.push(value)
    }
  }
  return new Map([...samples].map(([name, values]) => [name, summarise(values)]))
}

/** Writes numbers that a network can learn from, the same each time: as text with five decimals, and as doubles. */
async function writeTables(csv: string, parquet: string, rows: number): Promise<void> {
  const { DuckDBInstance } = loadDuckDB('bench')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const part = (k: number, i: number) => `(hash(i * ${31 + 6 * i} + ${k + 1000 * i}) % 1000003) / 1000003.0`
  const numbers = Array.from(
    { length: NUMBERS },
    (_, k) => `CAST(round(2 * (${[0, 1, 2].map(i => part(k, i)).join(' + ')} - 1.5), 5) AS DOUBLE) AS x${k}`,
  )
  const sql =
    `SELECT *, CASE WHEN x0 + x1 * x2 - x3 > 0 THEN 'yes' ELSE 'no' END AS label ` +
    `FROM (SELECT ${numbers.join(', ')} FROM range(${rows}) t(i))`
  await connection.run(`COPY (${sql}) TO '${csv}' (FORMAT csv, HEADER)`)
  await connection.run(`COPY (SELECT * FROM read_csv('${csv}')) TO '${parquet}' (FORMAT parquet)`)
  connection.closeSync()
  instance.closeSync()
}

/** Trains one epoch. Seconds from the start of the process to the end of the first step, and rows a second. */
async function train(folder: string, path: string, more: object, runDir = join(folder, 'run')) {
  const experiment = join(folder, 'experiment.json')
  const isWhole = Object.keys(more).length > 0
  const content = {
    // A span of steps ends with its epoch: with this many validation rows, after few steps. All rows are read nevertheless.
    data: { dataset: 'table', path, target: 'label', validation: isWhole ? 0.1 : 0.99, ...more },
    model: { hidden: HIDDEN },
    train: { epochs: 1, batchSize: 1000 },
  }
  await writeFile(experiment, JSON.stringify(content))
  await rm(runDir, { recursive: true, force: true })
  const from = Date.now()
  const { peakBytes } = await run(process.execPath, [PROGRAM, 'train', experiment, '--run-dir', runDir, '--quiet'])
  const events = await eventsOf(runDir)
  const steps = events.find(({ type }) => type === 'steps')
  const epoch = events.find(({ type }) => type === 'epoch')
  if (!steps || !epoch) throw new RunError('table: metrics.jsonl has no steps')
  return { first: (Date.parse(steps.time) - from) / 1000, rowsPerSecond: epoch.samplesPerSecond ?? 0, peakBytes }
}

/** Sums all columns, which reads every value and returns one row. */
const scanArgs = (file: string): string[] => {
  const sums = Array.from({ length: NUMBERS }, (_, k) => `sum(x${k})`).join(', ')
  const api = import.meta.resolve('@duckdb/node-api')
  const code =
    `const { DuckDBInstance } = (await import(${JSON.stringify(api)})).default; ` +
    `const c = await (await DuckDBInstance.create(':memory:')).connect(); ` +
    `await c.runAndReadAll(${JSON.stringify(`SELECT ${sums} FROM '${file}'`)})`
  return ['--input-type=module', '-e', code]
}

const loadtxt = (file: string): string =>
  `import numpy; numpy.loadtxt(${JSON.stringify(file)}, delimiter=',', skiprows=1, usecols=range(${NUMBERS}), dtype='f4')`

const hasNumPy = (): Promise<boolean> =>
  run('python3', ['-c', 'import numpy; assert numpy.__version__ >= "1.23"']).then(
    () => true,
    () => false,
  )

/** Runs a program to its end; the peak is that of its resident size, where /proc has it. */
function run(program: string, args: readonly string[]): Promise<Child> {
  return new Promise((resolve, reject) => {
    const from = performance.now()
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const [stdout, stderr]: [string[], string[]] = [[], []]
    child.stdout.on('data', (text: Buffer) => stdout.push(text.toString()))
    child.stderr.on('data', (text: Buffer) => stderr.push(text.toString()))
    let peakBytes = 0
    const look = async () => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
      peakBytes = Math.max(peakBytes, 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0))
    }
    const timer = setInterval(look, 50)
    child.on('error', reject)
    child.on('exit', code => {
      clearInterval(timer)
      const seconds = (performance.now() - from) / 1000
      if (code === 0) resolve({ seconds, peakBytes, stdout: stdout.join('') })
      else reject(new RunError(`table: ${program} failed: ${stderr.join('').trim()}`))
    })
  })
}

function reportOf(
  { rows, times }: TableOptions,
  seconds: ReadonlyMap<string, Summary>,
  perSecond: ReadonlyMap<string, Summary>,
  peaks: Readonly<Record<string, number>>,
  numpy: boolean,
): Report {
  const csv = seconds.get('gradloom, CSV, first step')!
  const parquet = seconds.get('gradloom, Parquet, first step')!
  const memory = perSecond.get('rows in memory')!
  const windows = perSecond.get('rows in windows')!
  const predicted = perSecond.get('predict --data, Parquet to CSV')!
  const bars: Bar[] = [
    { what: 'CSV, start to the first step', got: csv.median, want: 1.2, at: 'most', unit: 'seconds' },
    { what: 'speed-up of Parquet over CSV', got: csv.median / parquet.median, want: 2, at: 'least', unit: 'times' },
    {
      what: 'speed with rows in windows, relative to rows in memory',
      got: windows.median / memory.median,
      want: 0.8,
      at: 'least',
      unit: 'times',
    },
    { what: 'rows predicted, with the start', got: predicted.median, want: 1_000_000, at: 'least', unit: 'perSecond' },
    {
      what: 'peak memory beside the data in f32, CSV',
      got: (peaks.CSV ?? 0) / (4 * rows * NUMBERS),
      want: 2.5,
      at: 'most',
      unit: 'times',
    },
  ]
  const table = (title: string, unit: string, found: ReadonlyMap<string, Summary>, digits: number) => ({
    title,
    words: 1,
    head: ['what', `median ${unit}`, 'best', 'worst'],
    rows: [...found].map(([what, { median, min, max }]) => [what, ...[median, min, max].map(x => x.toFixed(digits))]),
  })
  return {
    name: 'table',
    title: `${rows} rows of ${NUMBERS} numbers and a class, network ${NUMBERS}-${HIDDEN.join('-')}-2`,
    method: [
      `Each run is a process of its own, in turns: once to warm the file cache, then ${times} times; medians.`,
      '"first step": from the start of `gradloom train` to the first line of metrics. A scan of DuckDB sums all columns, without a model.',
    ],
    tables: [
      table('', 's', seconds, 2),
      table('', 'rows/s', perSecond, 0),
      {
        title: 'Peak resident size',
        words: 1,
        head: ['what', 'MB'],
        rows: Object.entries(peaks).map(([what, bytes]) => [what, (bytes / MEGABYTE).toFixed(0)]),
      },
    ],
    charts: [
      {
        title: 'From a file to the first step',
        axis: 'seconds',
        better: 'lower',
        groups: [...seconds.keys()],
        series: [{ name: 'median', bars: [...seconds.values()].map(each => chartBar(each)) }],
      },
    ],
    bars,
    skipped: numpy ? [] : ['NumPy is not installed for python3'],
    numbers: {
      options: { rows, times },
      seconds: Object.fromEntries(seconds),
      perSecond: Object.fromEntries(perSecond),
      peaks,
    },
  }
}
