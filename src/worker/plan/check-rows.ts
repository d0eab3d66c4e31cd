/** Checks of a plan once its rows are known. Pure; main thread. */
import { ConfigError } from '../../errors.js'
import type { RunPlan } from './run-plan.js'

/**
 * Checks the training rows of a plan; one that only evaluates passes. Returns warnings. Throws ConfigError where batch normalisation would
 * see single rows alone, of which it makes zeros: PyTorch refuses each such mini-batch. One that comes last in its epoch
 * trains only what does not go through a normalisation, so it is let through with a warning.
 */
export function checkTrainingRows({ purpose, widths, norm, batchSize, rows }: RunPlan): string[] {
  if (purpose !== 'train' || norm.type !== 'batch' || widths.length < 3) return []
  if (rows.train === 1) {
    throw new ConfigError(
      'model.norm is "batch" with 1 training row, expected at least 2; a single row has no statistics',
      {
        hint: 'give more rows (data.validation may hold them out), or use model.norm "layer" or "none"',
      },
    )
  }
  if (rows.train % batchSize !== 1) return []
  return [
    `the last mini-batch of each epoch has a single row (${rows.train} training rows, train.batchSize ${batchSize}), ` +
      'of which batch normalisation makes zeros: layers behind one learn next to nothing from it; ' +
      'another train.batchSize avoids this',
  ]
}
