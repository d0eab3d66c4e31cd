/** `gradloom evaluate`: scores saved weights. Main thread; the engine is loaded when it runs. */
import { resolve } from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { formatCount, formatLoss, formatNumber, formatPercent } from '../format.js'
import type { Evaluation } from '../inference/evaluate.js'
import { jsonObject, savedRun, single } from './options.js'

const SPLITS = ['test', 'train', 'validation'] as const

interface EvaluateArguments {
  run: string
  split: (typeof SPLITS)[number]
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
        describe: 'Rows to score: held-out, trained on, or for validation',
        choices: SPLITS,
        default: 'test' as const,
      })
      .option('data', { describe: 'Folder with the data set (data.path)', ...single('data') })
      .option('json', jsonObject)
      .example('$0 evaluate runs/quickstart-2026-01-31T12-00-05', 'the last weights of a run, on the held-out rows')
      .example(
        '$0 evaluate runs/mine/checkpoints/step-400.safetensors --split train',
        'one checkpoint, on its training rows',
      )
      .example('$0 evaluate mnist', 'the model that comes with gradloom') as Argv<EvaluateArguments>,
  handler: async ({ run, split, data, json }) => {
    const { evaluate } = await import('../inference/evaluate.js')
    const evaluation = await evaluate(run, { split, ...(data !== undefined && { dataPath: resolve(data) }) })
    process.stdout.write(json ? `${JSON.stringify(evaluation)}\n` : `${evaluationLine(evaluation)}\n`)
  },
}

/** Exported for tests. */
export function evaluationLine({ split, rows, loss, accuracy, correct, r2, rmse, targets = [] }: Evaluation): string {
  if (accuracy === undefined || correct === undefined) {
    const error = rmse === undefined ? '' : `, root mean squared error ${formatNumber(rmse)}`
    const each = targets.map(
      ({ name, rmse, r2 }) => `\n${name}: R² ${r2Text(r2)}, root mean squared error ${formatNumber(rmse)}`,
    )
    const all = `R² ${r2Text(r2)}, loss ${formatLoss(loss)}${error}; ${formatCount(rows)} rows`
    return `${split}: ${all}${each.join('')}`
  }
  const rightAndWrong = `${formatCount(correct)} of ${formatCount(rows)} rows right, ${formatCount(rows - correct)} wrong`
  return `${split}: accuracy ${formatPercent(accuracy)}, loss ${formatLoss(loss)}; ${rightAndWrong}`
}

/** Undefined where all rows have the same truth: there is nothing to explain. */
const r2Text = (r2: number | null | undefined): string =>
  typeof r2 === 'number' ? formatLoss(r2) : 'undefined (the truth is the same in all rows)'
