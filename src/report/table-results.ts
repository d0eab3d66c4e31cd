/**
 * Importance of columns, partial dependence and worst rows of a run on a table, stored in the run directory as
 * test-results.ts stores predictions: the first report computes them, later ones need neither weights nor data and are
 * identical to the byte. Main thread.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { TASKS } from '../config/tasks.js'
import { GradloomError } from '../errors.js'
import { writeTextAtomically } from '../files/atomic.js'
import { isTable, type TableInsights, tableInsights } from '../inference/table/insights.js'
import { readCheckpoint } from '../run/checkpoint-file.js'
import { openRun } from '../run/open.js'
import type { RunFiles } from './run-files.js'
import type { RunModel } from './run-model.js'

export const TABLE_RESULTS = 'table-results.json'

const FORMAT = 'gradloom table results'
const VERSION = 1

export interface TableResults extends TableInsights {
  readonly weightsSha256: string
}

/** Insights; null: the data of the run are no table; or the reason why there are none. */
export type TableResultsOrReason = TableResults | null | { readonly missing: string }

/** Reads the stored results if they belong to the run's weights, else computes and stores them. `isAnew`: computes them in any case. */
export async function tableResultsOf(
  run: RunFiles,
  onWarning: (text: string) => void,
  open: () => Promise<RunModel>,
  isAnew = false,
): Promise<TableResultsOrReason> {
  const { dataset } = run.loaded.experiment.data
  if (dataset !== 'table') return null
  const kept = await readTableResults(run.path, onWarning)
  try {
    const { checkpoint } = await openRun(run.path)
    const { weightsSha256 } = await readCheckpoint(checkpoint)
    if (!isAnew && kept?.weightsSha256 === weightsSha256) return kept
    return await computed(run, weightsSha256, onWarning, await open())
  } catch (error) {
    if (!(error instanceof GradloomError)) throw error
    if (!isAnew && kept && kept.weightsSha256 === run.summary?.weightsSha256) return kept
    return { missing: error.message }
  }
}

async function computed(
  run: RunFiles,
  weightsSha256: string,
  onWarning: (text: string) => void,
  model: RunModel,
): Promise<TableResultsOrReason> {
  if (!isTable(model)) return { missing: 'the run is of a version that did not keep the columns of its table' }
  if (model.test.rows === 0) return { missing: 'the data set has no test rows' }
  const results: TableResults = { weightsSha256, ...(await tableInsights(model)) }
  const file = join(run.path, TABLE_RESULTS)
  const text = `${JSON.stringify({ format: FORMAT, version: VERSION, ...results })}\n`
  await writeTextAtomically(file, text).catch(cause =>
    onWarning(`${file}: cannot be written: ${cause.message}; the next report computes it again`),
  )
  return results
}

/** Results in the directory; undefined where there are none, or, with a warning, where they cannot be read. */
async function readTableResults(path: string, onWarning: (text: string) => void): Promise<TableResults | undefined> {
  const file = join(path, TABLE_RESULTS)
  try {
    const { format: _, version: __, ...results } = schema.parse(JSON.parse(await readFile(file, 'utf8')))
    return results
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    onWarning(`${file}: is damaged and will be computed again: ${(error as Error).message.split('\n')[0]}`)
    return undefined
  }
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
