/** `gradloom evaluate`: scores saved weights. Main thread; the engine is loaded when it runs. */
import { resolve } from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { SCORE_NAMES, SCORES, type ScoreName } from '../config/scores.js'
import { formatCount, formatCounted, formatLoss, formatNumber, formatPercent } from '../format.js'
import type { Evaluation } from '../inference/evaluate.js'
import { jsonObject, savedRun, single } from './options.js'

const SPLITS = ['test', 'train', 'validation'] as const

interface EvaluateArguments {
  run: string
  split?: (typeof SPLITS)[number]
  data?: string
  json: boolean
}

export const evaluateCommand: CommandModule<object, EvaluateArguments> = {
  command: 'evaluate <run>',
  describe: 'Score the weights of a run or a checkpoint',
  builder: yargs =>
    yargs
      .positional('run', savedRun)
      .option('split', {
        describe: 'Split of the run to score',
        choices: SPLITS,
        defaultDescription: 'test; all rows of a file of --data',
      })
      .option('data', {
        describe: 'Score all rows of this file; of a folder, if the data of the run are one',
        ...single('data'),
      })
      .option('json', jsonObject)
      .example('$0 evaluate runs/quickstart-2026-01-31T12-00-05', 'the final weights of a run, on the test split')
      .example(
        '$0 evaluate runs/mine/checkpoints/step-400.safetensors --split train',
        'one checkpoint, on its training rows',
      )
      .example('$0 evaluate runs/mine --data new.csv', 'all rows of another file')
      .example('$0 evaluate mnist', 'the model that comes with gradloom') as Argv<EvaluateArguments>,
  handler: async ({ run, split, data, json }) => {
    const { evaluate } = await import('../inference/evaluate.js')
    const evaluation = await evaluate(run, { split, ...(data !== undefined && { dataPath: resolve(data) }) })
    const { ignoredColumns: ignored, files, note, omissions } = evaluation
    if (json) {
      process.stdout.write(`${JSON.stringify(evaluation)}\n`)
      return
    }
    process.stdout.write(`${evaluationLine(evaluation)}\n`)
    if (data !== undefined) process.stdout.write(`read from ${files.join(', ')}\n`)
    if (ignored.length > 0) {
      process.stdout.write(
        `${formatCounted(ignored.length, 'column')} that the model does not take: ${ignored.join(', ')}\n`,
      )
    }
    for (const each of note === null ? omissions : [note, ...omissions]) process.stderr.write(`note: ${each}\n`)
  },
}

type Scores = Omit<Evaluation, 'files' | 'ignoredColumns' | 'note' | 'omissions'>

/** Exported for tests. */
export function evaluationLine({
  rows,
  loss,
  accuracy,
  correct,
  labels,
  r2,
  rmse,
  targets = [],
  ...of
}: Scores): string {
  const split = of.split === 'all' ? 'all rows' : of.split
  if (accuracy === undefined || correct === undefined) {
    const error = typeof rmse === 'number' ? `, root mean squared error ${formatNumber(rmse)}` : ''
    const size = typeof of.mae === 'number' ? `, mean absolute error ${formatNumber(of.mae)}` : ''
    const each = targets.map(
      ({ name, rmse, mae, r2 }) =>
        `\n${name}: R² ${r2Text(r2)}, root mean squared error ${formatNumber(rmse)}` +
        `${mae === undefined ? '' : `, mean absolute error ${formatNumber(mae)}`}`,
    )
    const all = `R² ${r2Text(r2)}, loss ${formatLoss(loss)}${error}${size}; ${formatCount(rows)} rows`
    return `${split}: ${all}${each.join('')}`
  }
  const all = rows * (labels ?? 1)
  const what = labels === undefined ? 'rows' : `labels of ${formatCount(rows)} rows`
  const rightAndWrong = `${formatCount(correct)} of ${formatCount(all)} ${what} right, ${formatCount(all - correct)} wrong`
  return [
    `${split}: accuracy ${formatPercent(accuracy)}, loss ${formatLoss(loss)}; ${rightAndWrong}`,
    ...otherScores(of),
  ].join('\n')
}

/** The scores beside accuracy on one line, and a line for each reason why some of them are undefined. */
function otherScores({ reasons = {}, ...score }: Pick<Evaluation, ScoreName | 'reasons'>): string[] {
  const text = (name: ScoreName, value: number) => (SCORES[name].form === 'percent' ? formatPercent : formatLoss)(value)
  const defined = SCORE_NAMES.flatMap(name => {
    const value = score[name]
    return typeof value === 'number' ? [`${SCORES[name].title} ${text(name, value)}`] : []
  })
  const why = new Map<string, string[]>()
  for (const name of SCORE_NAMES) {
    const reason = reasons[name]
    if (reason !== undefined) why.set(reason, [...(why.get(reason) ?? []), SCORES[name].title])
  }
  return [
    ...(defined.length > 0 ? [defined.join(', ')] : []),
    ...[...why].map(([reason, names]) => `undefined: ${names.join(', ')}; ${reason}`),
  ]
}

/** "undefined" if all rows have the same target: there is no variance to explain. */
const r2Text = (r2: number | null | undefined): string =>
  typeof r2 === 'number' ? formatLoss(r2) : 'undefined (the target is the same in all rows)'
