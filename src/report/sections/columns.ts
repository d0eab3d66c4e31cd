/** Columns of a table: how important each is for the predictions, and how these depend on the most important. Pure; any thread. */
import { formatCount, formatCounted, formatList, formatNumber, formatPercent } from '../../format.js'
import type { Dependence } from '../../inference/table/dependence.js'
import { type Bar, importanceChart } from '../charts/importance-chart.js'
import { data, type Html, html } from '../html.js'
import { folded, table } from '../table.js'
import type { TableResults } from '../table-results.js'
import { dependenceCharts, outputFormat } from './dependence.js'

/** Columns in the chart; the table has all. */
const MOST_BARS = 20
const MOST_NAMED = 12

/** `level`: that of the headings. */
export function columnsSection(results: TableResults, level: 3 | 4): Html {
  const heading = (text: string) => (level === 3 ? html`<h3>${text}</h3>` : html`<h4>${text}</h4>`)
  return html`${importancePart(results)}
${heading('Partial dependence')}
${dependencePart(results)}`
}

type ScoreForm = TableResults['importance']['score']

const inUnits = ({ title }: ScoreForm) => title === 'RMSE' || title === 'MAE'

/** Value of a score. */
function scoreFormat(score: ScoreForm): (value: number) => string {
  if (score.form === 'percent') return value => formatPercent(value, 1)
  return inUnits(score) ? formatNumber : value => value.toFixed(3)
}

/** Change of a score; of a share in percentage points. */
function changeFormat(score: ScoreForm): (value: number) => string {
  if (score.form === 'percent') return value => (100 * value).toFixed(1)
  return inUnits(score) ? formatNumber : value => value.toFixed(3)
}

const changeUnit = ({ form }: ScoreForm) => (form === 'percent' ? ', in percentage points' : '')

function importancePart(results: TableResults): Html {
  const { importance, split, available } = results
  const { score, base, rows, repeats, columns, skipped } = importance
  const format = changeFormat(score)
  const shown: readonly Bar[] = columns.slice(0, MOST_BARS).map(({ column, ...rest }) => ({ name: column, ...rest }))
  const worse = score.better === 'higher' ? 'falls' : 'rises'
  const some = rows < available ? `${formatCount(rows)} of ${formatCount(available)}` : formatCount(rows)
  const first = columns.slice(0, 3).map(({ column, mean }) => `${column} ${format(mean)}`)
  return html`<p>Importance of a column: by how much the ${score.title} ${worse} when the values of this column alone are shuffled among the rows (permutation importance). Of ${some} ${split} rows${rows < available && ', chosen by the seed'}; without shuffling the ${score.title} is ${data(base, scoreFormat(score))}. A column looks less important if others say the same.</p>
${importanceChart({
  title: 'Importance of columns',
  summary: `The most important: ${formatList(first, 3)}.`,
  label: `${worse === 'falls' ? 'fall' : 'rise'} of the ${score.title} when the column is shuffled${changeUnit(score)}; lines: ± one standard deviation over ${repeats} shuffles`,
  bars: shown,
  format,
})}
${columns.length > MOST_BARS && html`<p class="note">The chart shows the ${MOST_BARS} most important of ${columns.length} columns.</p>`}
${skipped.length > 0 && html`<p class="note">Of ${formatCount(columns.length + skipped.length)} columns, importance was computed for the ${formatCount(columns.length)} that the first layer listens to most: the others would take too long. Without: ${formatList(skipped, MOST_NAMED)}.</p>`}
${folded('The numbers of each column', importanceTable(results, format))}`
}

function importanceTable({ importance, unused }: TableResults, format: (value: number) => string): Html {
  const { score, columns } = importance
  const none = html`<span class="none">not used</span>`
  return table({
    name: 'Importance of columns',
    caption: `${score.better === 'higher' ? 'Fall' : 'Rise'} of the ${score.title} when a column is shuffled${changeUnit(score)}. Columns that are not used change nothing.`,
    head: ['column', 'kind', 'mean', 'standard deviation'],
    kind: 'words-2',
    rows: [
      ...columns.map(({ column, kind, mean, spread }) => [column, kind, data(mean, format), data(spread, format)]),
      ...unused.map(({ column, reason }) => [column, reason, none, null]),
    ],
  })
}

function dependencePart(results: TableResults): Html {
  const { dependence, dependenceRows: rows, outputs, task } = results
  const what = task === 'regression' ? 'Mean prediction' : 'Mean probability'
  return html`<p>${what} over ${formatCounted(rows, 'row')} if all of them had the same value of one column, and kept their own values of the others. Such rows need not exist where columns go together. Dots of numbers and dates lie at quantiles of the rows: where dots are close, there are many rows.</p>
<div class="charts">
${dependenceCharts(results)}</div>
${folded(
  'The numbers of each chart',
  html`${dependence.map(each => dependenceTable(each, outputs, outputFormat(task)))}`,
)}`
}

function dependenceTable(
  { column, kind, points, others }: Dependence,
  outputs: readonly string[],
  format: (value: number) => string,
): Html {
  const isCounted = kind === 'category' || kind === 'boolean'
  const more =
    others > 0 ? ` The ${formatCount(points.length)} most frequent of ${formatCount(points.length + others)}.` : ''
  return table({
    name: `Partial dependence on ${column}`,
    caption: `Predictions by ${column}.${more}`,
    head: [column, ...(isCounted ? ['rows'] : []), ...outputs],
    rows: points.map(({ text, count, outputs: means }) => [
      text ?? html`<span class="none">missing</span>`,
      ...(isCounted ? [data(count, formatCount)] : []),
      ...means.map(mean => data(mean, format)),
    ]),
  })
}
