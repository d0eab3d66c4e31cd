/** Quality of yes/no labels on the test rows. Pure; any thread. */
import { formatCount, formatLoss, formatPercent } from '../../format.js'
import { data, type Html, html } from '../html.js'
import type { LabelReport } from '../labels.js'
import { table } from '../table.js'

const count = (value: number) => data(value, formatCount)
const share = (value: number | null) => data(value, value => formatPercent(value))
const number = (value: number | null) => data(value, formatLoss)

export function labelsSection({ labels, rows, right, accuracy, exact, note }: LabelReport): Html {
  return html`<p>${count(right)} of ${count(rows * labels.length)} labels of ${count(rows)} test rows are right: ${share(accuracy)}; ${count(exact)} rows are right in all of them. A label is predicted as yes if its probability is above 0.5.${note !== null && html` <span class="note">Note: ${note}.</span>`}</p>
${table({
  name: 'Scores of each label',
  caption:
    'Precision: fraction of the rows predicted as yes that are. Recall: fraction of the yes rows that are predicted. F1: their harmonic mean. ROC AUC and average precision: of the ranking by probability, empty if the label is the same in all rows.',
  head: [...['label', 'yes', 'predicted', 'right'], ...['precision', 'recall', 'F1', 'ROC AUC', 'average precision']],
  rows: labels.map(of => [
    ...[of.name, count(of.support), count(of.predicted), share(of.right / rows)],
    ...[share(of.precision), share(of.recall), share(of.f1), number(of.rocAuc), number(of.averagePrecision)],
  ]),
})}
${table({
  name: 'Thresholds and calibration of each label',
  caption:
    'Threshold: probability above which the answer yes has the best F1 on these rows, with its scores; on other rows they are lower. Brier score: mean squared difference of probability and truth. Calibration error: mean gap between the confidence of an answer and the fraction that is right.',
  head: [
    ...['label', 'threshold', 'precision there', 'recall there', 'best F1'],
    ...['Brier score', 'calibration error'],
  ],
  rows: labels.map(({ name, best, brier, expectedError }) => [
    ...[name, number(best?.threshold ?? null), share(best?.precision ?? null), share(best?.recall ?? null)],
    ...[share(best?.f1 ?? null), number(brier), share(expectedError)],
  ]),
})}`
}
