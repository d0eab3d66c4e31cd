/** Quality of a regression on the test rows. Pure; any thread. */
import { formatCount, formatLoss, formatNumber } from '../../format.js'
import { scatterChart } from '../charts/scatter-chart.js'
import { data, type Html, html } from '../html.js'
import type { RegressionReport, TargetScores } from '../regression.js'
import { table } from '../table.js'

/** Targets that get a chart; further ones have a row in the table only. */
const MOST_CHARTS = 6

const number = (value: number) => data(value, formatNumber)

export function targetsSection({ targets, values, rows, note }: RegressionReport): Html {
  return html`<p>${data(rows, formatCount)} test rows, in the units of the data.${note !== null && html` <span class="note">Note: ${note}.</span>`}</p>
${table({
  name: 'Scores of each target',
  caption:
    'RMSE: root of the mean squared error. MAE: mean size of the error. Bias: mean error, above 0 where too much is predicted. R²: share of the variance of these rows that is explained.',
  head: ['target', 'RMSE', 'MAE', 'bias', 'R²'],
  rows: targets.map(({ name, rmse, mae, bias, r2 }) => [
    name,
    ...[number(rmse), number(mae), number(bias), data(r2, formatLoss)],
  ]),
})}
<div class="charts">
${targets.slice(0, MOST_CHARTS).map((target, k) => scatterChart({ ...target, ...values[k], summary: inWords(target) }))}</div>
${targets.length > MOST_CHARTS && html`<p class="note">The charts show the first ${MOST_CHARTS} of ${targets.length} targets.</p>`}`
}

const inWords = ({ rmse, r2 }: TargetScores): string =>
  `Root mean squared error ${formatNumber(rmse)}${r2 === null ? '' : `, R² ${formatLoss(r2)}`}.`

export function worstRowsSection({ worst, targets }: RegressionReport): Html {
  return table({
    name: 'Rows with the largest errors',
    caption: 'Test rows, counted from 0, with the largest errors',
    head: ['row', ...targets.flatMap(({ name }) => [`${name}: predicted`, 'true', 'error'])],
    rows: worst.map(({ index, values }) => [
      formatCount(index),
      ...values.flatMap(({ value, truth }) => [number(value), number(truth), number(value - truth)]),
    ]),
  })
}
