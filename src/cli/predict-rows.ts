/** `gradloom predict --data`: predictions for every row of a table, to a file or stdout. Main thread. */
import { extname, resolve } from 'node:path'
import { inspect } from 'node:util'
import { ConfigError, RunError } from '../errors.js'
import { writeAtomically } from '../files/atomic.js'
import { formatCount, formatList } from '../format.js'
import type { BackendName } from '../inference/model.js'
import { Predictor } from '../inference/predictor.js'
import { FORMAT_OF_ENDING, type Format } from '../inference/table/formats.js'
import type { Lines } from '../inference/table/lines.js'
import { predictTable } from '../inference/table/predict-table.js'
import { headOf, type TextFormat } from '../inference/table/writers.js'
import { type Interrupt, watchInterrupts } from './interrupt.js'

export interface RowsRequest {
  readonly run: string
  readonly data: string
  /** File to write; undefined: stdout. */
  readonly out: string | undefined
  readonly format: Format | undefined
  readonly keep: readonly string[]
  readonly backend: BackendName | undefined
}

/** Format that `--format` names, else that of the file's ending; CSV on stdout. Throws ConfigError. */
function formatFor(out: string | undefined, asked: Format | undefined): Format {
  if (asked === 'parquet' && out === undefined) {
    throw new ConfigError('gradloom predict: --format is parquet, expected csv or ndjson on stdout', {
      hint: '--out FILE.parquet writes a file',
    })
  }
  if (asked !== undefined) return asked
  if (out === undefined) return 'csv'
  const format = FORMAT_OF_ENDING[extname(out).toLowerCase()]
  if (format !== undefined) return format
  throw new ConfigError(
    `gradloom predict: --out is ${inspect(out)}, expected a name that ends in ${Object.keys(FORMAT_OF_ENDING).join(', ')}`,
    { hint: '--format selects it for any file name' },
  )
}

/** Names shown in a line. */
const MOST_SHOWN = 12

/** Thrown where a signal ends the predictions, so that no part of a file stays behind. */
class Interrupted extends Error {}

/** Passes lines on until a signal has come. Throws Interrupted. */
async function* untilStopped(lines: AsyncIterable<Lines>, interrupt: Interrupt | null): AsyncGenerator<Lines> {
  for await (const some of lines) {
    if (interrupt?.exitCode() !== undefined) throw new Interrupted()
    yield some
  }
}

export async function predictRows(request: RowsRequest): Promise<void> {
  // A signal ends the writing to stdout at once: its reader may take no more.
  if (request.out === undefined) return predictUntil(request, null)
  const interrupt = watchInterrupts(
    signal => process.stderr.write(`${signal}: stopping; no file is left\n`),
    () => {},
  )
  try {
    await predictUntil(request, interrupt)
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error
    process.exitCode = interrupt.exitCode()
  } finally {
    interrupt.dispose()
  }
}

async function predictUntil(
  { run, data, out, format: asked, keep, backend }: RowsRequest,
  interrupt: Interrupt | null,
): Promise<void> {
  const format = formatFor(out, asked)
  const { predictor, forward, shared } = await Predictor.openShared(run, { backend })
  const { input, experiment, checkpoint } = predictor.source
  if (!input.table) {
    throw new ConfigError(`${checkpoint}: was trained on data.dataset "${experiment.data.dataset}", expected "table"`, {
      hint: 'predict --data reads the rows of a table; --image reads pictures, --index and --random test samples',
    })
  }
  const [{ openReader }, { formatOf }] = await Promise.all([
    import('../data/table/open-reader.js'),
    import('../data/table/format.js'),
  ])
  const reader = await openReader(resolve(data), formatOf(experiment.data, input.table), { facts: false })
  try {
    const predictions = predictTable({ forward, shared, encoding: input.table }, reader, keep, data)
    const lines = untilStopped(predictions.lines(format === 'ndjson' ? 'ndjson' : 'csv'), interrupt)
    const rows = await write(out, format, predictions.names, lines)
    const { ignored } = predictions
    const note = (text: string) => process.stderr.write(`${text}\n`)
    note(`${formatCount(rows)} rows of ${data}${out === undefined ? '' : ` to ${out}`}`)
    if (ignored.length > 0) note(`columns that the model does not take: ${formatList(ignored, MOST_SHOWN)}`)
    for (const text of [...reader.warnings.map(warning => `warning: ${warning}`), ...reader.notes]) note(text)
    if (predictor.note !== null) note(`note: ${predictor.note}`)
  } finally {
    await reader.close()
  }
}

/** Writes all lines, which are of CSV for a Parquet file; returns the number of rows. */
async function write(
  out: string | undefined,
  format: Format,
  names: readonly string[],
  lines: AsyncIterable<Lines>,
): Promise<number> {
  if (out === undefined) return writeText(format as TextFormat, names, lines, text => toStdout(text))
  const file = resolve(out)
  try {
    if (format === 'parquet') {
      const { writeParquet } = await import('../inference/table/parquet.js')
      return await writeParquet(file, names, lines)
    }
    let rows = 0
    await writeAtomically(file, async handle => {
      rows = await writeText(format, names, lines, async text => {
        await handle.writeFile(text)
      })
    })
    return rows
  } catch (cause) {
    if (!isSystemError(cause)) throw cause
    throw new RunError(`${out}: cannot be written: ${cause.message}`, { cause })
  }
}

async function writeText(
  format: TextFormat,
  names: readonly string[],
  lines: AsyncIterable<Lines>,
  put: (text: string | Uint8Array) => Promise<void>,
): Promise<number> {
  let rows = 0
  await put(headOf(format, names))
  for await (const some of lines) {
    rows += some.rows
    await put(some.bytes)
  }
  return rows
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'code' in error && 'syscall' in error

/** Resolves when stdout has taken the text: its bytes may be used again, and a slow reader does not fill the memory. */
async function toStdout(text: string | Uint8Array): Promise<void> {
  if (text.length === 0) return
  // A fault is an event of stdout, which main.ts handles.
  await new Promise<void>(resolve => process.stdout.write(text, error => (error ? undefined : resolve())))
}
