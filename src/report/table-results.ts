/**
 * Importance of columns, partial dependence and worst rows of a run on a table. The first report computes them and stores them in
 * the run directory (stored-results.ts), so that later ones are identical to the byte. Main thread.
 */
import * as z from 'zod'
import { TASKS } from '../config/tasks.js'
import { isTable, type TableInsights, tableInsights } from '../inference/table/insights.js'
import type { RunFiles } from './run-files.js'
import type { RunModel } from './run-model.js'
import { type Missing, type StoredResults, storedOrComputed } from './stored-results.js'

export const TABLE_RESULTS = 'table-results.json'

const FORMAT = 'gradloom table results'
const VERSION = 1

export interface TableResults extends TableInsights {
  readonly weightsSha256: string
}

/** Insights; null: the data of the run are no table; or the reason why there are none. */
export type TableResultsOrReason = TableResults | null | Missing

/** Reads or computes the insights of a run; see storedOrComputed. */
export async function tableResultsOf(
  run: RunFiles,
  onWarning: (text: string) => void,
  open: () => Promise<RunModel>,
  isAnew = false,
): Promise<TableResultsOrReason> {
  if (run.loaded.experiment.data.dataset !== 'table') return null
  return storedOrComputed(run, STORED, async digest => computed(digest, await open()), { onWarning, isAnew })
}

async function computed(weightsSha256: string, model: RunModel): Promise<TableResults | Missing> {
  if (!isTable(model)) return { missing: 'the run is of a version that did not keep the columns of its table' }
  if (model.test.rows === 0) return { missing: 'the data set has no test rows' }
  return { weightsSha256, ...(await tableInsights(model)) }
}

const STORED: StoredResults<TableResults> = {
  name: TABLE_RESULTS,
  parse(content) {
    const { format: _, version: __, ...results } = schema.parse(content)
    return results
  },
  text: results => `${JSON.stringify({ format: FORMAT, version: VERSION, ...results })}\n`,
}

const count = z.int().min(0)
const kind = z.enum(['number', 'boolean', 'category', 'date'])
const numbers = z.array(z.number())
const schema = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  weightsSha256: z.string(),
  task: z.enum(TASKS),
  split: z.enum(['validation', 'test']),
  available: count,
  importance: z.strictObject({
    score: z.strictObject({
      title: z.string(),
      better: z.enum(['higher', 'lower']),
      form: z.enum(['percent', 'number']),
    }),
    base: z.number(),
    rows: count,
    repeats: count,
    columns: z.array(z.strictObject({ column: z.string(), kind, mean: z.number(), spread: z.number() })),
    skipped: z.array(z.string()),
  }),
  outputs: z.array(z.string()),
  dependence: z.array(
    z.strictObject({
      column: z.string(),
      kind,
      points: z.array(
        z.strictObject({ at: z.number().nullable(), text: z.string().nullable(), count, outputs: numbers }),
      ),
      others: count,
    }),
  ),
  dependenceRows: count,
  columns: z.array(z.string()),
  worst: z.array(
    z.strictObject({
      index: count,
      fileRow: count,
      loss: z.number(),
      answer: z.union([
        z.strictObject({
          truth: z.string(),
          predicted: z.string(),
          probabilityOfTruth: z.number(),
          confidence: z.number(),
        }),
        z.strictObject({
          values: z.array(z.strictObject({ name: z.string(), value: z.number(), truth: z.number() })),
        }),
      ]),
      fields: z.array(z.string().nullable()),
    }),
  ),
  unused: z.array(z.strictObject({ column: z.string(), reason: z.string() })),
})
