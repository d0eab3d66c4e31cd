/** Lines of predictions for chunks of a table: rows to features, through the network, to text. Any thread. */
import type { TableChunk } from '../../data/table/columns.js'
import { encodeRows } from '../../data/table/encode.js'
import { featureCount, type TableEncoding } from '../../data/table/encoding.js'
import type { Forward } from '../forward.js'
import { type OutputColumn, type Outputs, type OutputValues, predictionColumns } from './predictions.js'
import { RowsWriter, type TextFormat } from './writers.js'

/** Settings of the lines, besides the network and the rows: plain data, which can be sent to a thread. */
export interface LinesSpec {
  readonly encoding: TableEncoding
  readonly outputs: Outputs
  /** Columns of the data that come before the predictions. */
  readonly keep: readonly string[]
  readonly format: TextFormat
  /** Beginning of messages about the data. */
  readonly where: string
}

/** Lines of consecutive rows. */
export interface Lines {
  readonly rows: number
  /** Valid until the next lines are asked for. */
  readonly bytes: Uint8Array
  /** Types of the columns, for a file that has types. */
  readonly types: readonly OutputValues['type'][]
}

export class LineMaker {
  readonly #spec: LinesSpec
  readonly #forward: Pick<Forward, 'outputs'>
  readonly #writer: RowsWriter
  /** Features of a chunk, used again for the next one. (B, F) */
  #features = new Float32Array(0)

  constructor(spec: LinesSpec, forward: Pick<Forward, 'outputs'>) {
    this.#spec = spec
    this.#forward = forward
    this.#writer = new RowsWriter(spec.format)
  }

  /** Throws DataError for a value that is none of its column, RunError for outputs that are not finite. */
  lines(chunk: TableChunk): Lines {
    const columns = this.#columns(chunk)
    return { rows: chunk.rows, bytes: this.#writer.write(columns), types: typesOf(columns) }
  }

  /**
   * Lines of consecutive chunks, one after the other in `memory`, or in a larger one if they have no room in it. Throws as `lines`.
   */
  linesInto(memory: SharedArrayBuffer, chunks: Iterable<TableChunk>): Omit<Lines, 'rows'> {
    let types: Lines['types'] = []
    this.#writer.begin(Buffer.from(memory))
    for (const chunk of chunks) {
      const columns = this.#columns(chunk)
      this.#writer.add(columns)
      types = typesOf(columns)
    }
    return { bytes: this.#writer.written(), types }
  }

  /** Columns of the lines, valid until the next chunk. */
  #columns(chunk: TableChunk): OutputColumn[] {
    const { encoding, outputs, keep, where } = this.#spec
    const size = chunk.rows * featureCount(encoding)
    if (this.#features.length < size) this.#features = new Float32Array(size)
    const features = this.#features.subarray(0, size)
    encodeRows(encoding, chunk, features, null, where)
    const kept = keep.map(name => ({ name, values: chunk.columns.get(name)! }))
    return [...kept, ...predictionColumns(outputs, this.#forward.outputs(features))]
  }
}

const typesOf = (columns: readonly OutputColumn[]): Lines['types'] => columns.map(({ values }) => values.type)
