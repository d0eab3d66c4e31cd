/**
 * Predictions for the rows of a table, chunk by chunk: read, encoded as the model's checkpoint says, passed through the network, and
 * handed on as columns; memory does not grow with the rows. Main thread.
 *
 * Letters: `B` rows of a chunk, `F` features, `K` outputs.
 */
import { inspect } from 'node:util'
import { encodeRows } from '../../data/table/encode.js'
import { featureCount, type TableEncoding } from '../../data/table/encoding.js'
import { expectColumns } from '../../data/table/kinds.js'
import type { TableReader } from '../../data/table/reader.js'
import { ConfigError } from '../../errors.js'
import { formatNames } from '../../format.js'
import type { Predictor } from '../predictor.js'
import { type OutputColumn, predictionColumns, predictionNames } from './predictions.js'

export interface TablePredictions {
  /** Names of the columns of each chunk: those that are kept, then the answer. */
  readonly names: readonly string[]
  /** Columns of the data that are neither features of the model nor kept. */
  readonly ignored: readonly string[]
  /** Columns of consecutive rows, in the order of the data. */
  chunks(): AsyncIterable<readonly OutputColumn[]>
}

/**
 * Throws DataError for a column of the model that the data lack, ConfigError for a column in `keep` that they lack or whose name a
 * prediction has. `where` begins messages about the data.
 */
export function predictTable(
  predictor: Predictor,
  encoding: TableEncoding,
  reader: TableReader,
  keep: readonly string[],
  where: string,
): TablePredictions {
  const found = reader.columns.map(({ name }) => name)
  const wanted = encoding.columns.map(({ column }) => column)
  expectColumns(where, found, wanted)
  const unknown = keep.find(name => !found.includes(name))
  if (unknown !== undefined) {
    throw new ConfigError(`--keep is ${inspect(unknown)}, expected a column of the data: ${formatNames(found)}`)
  }
  const target = encoding.targets.length === 1 ? encoding.targets[0] : null
  const outputs = { task: predictor.task, outputNames: predictor.outputNames, target }
  const answers = predictionNames(outputs)
  const taken = keep.find(name => answers.includes(name))
  if (taken !== undefined) {
    throw new ConfigError(`--keep is ${inspect(taken)}, expected another column: the predictions have one of that name`)
  }
  const width = featureCount(encoding)
  async function* chunks(): AsyncGenerator<readonly OutputColumn[]> {
    let room = new Float32Array(0)
    for await (const chunk of reader.read([...new Set([...wanted, ...keep])])) {
      if (room.length < chunk.rows * width) room = new Float32Array(chunk.rows * width)
      const features = room.subarray(0, chunk.rows * width) // (B, F)
      encodeRows(encoding, chunk, features, null, where)
      const { data } = predictor.predict(features)
      const kept = keep.map(name => ({ name, values: chunk.columns.get(name)! }))
      yield [...kept, ...predictionColumns(outputs, data)]
    }
  }
  // Without its target a table is as good.
  const used = new Set([...wanted, ...keep, ...encoding.targets])
  return { names: [...keep, ...answers], ignored: found.filter(name => !used.has(name)), chunks }
}
