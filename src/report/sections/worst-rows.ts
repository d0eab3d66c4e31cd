/** Test rows of a table with the largest losses, with their fields by name. Pure; any thread. */
import { formatCount, formatLoss, formatNumber, formatPercent, formatShort } from '../../format.js'
import type { WorstRow } from '../../inference/table/worst-rows.js'
import { data, type Html, type HtmlValue, html } from '../html.js'
import { folded, table } from '../table.js'
import type { TableResults } from '../table-results.js'

/** Fields beside each row: those of the most important columns. A table of its own has all. */
const MOST_FIELDS = 5
const MOST_CHARACTERS = 40

const share = (value: number) => data(value, value => formatPercent(value, 1))
const number = (value: number) => data(value, formatNumber)

export function worstTableRows({ worst, columns, outputs }: TableResults): Html {
  const isNumbers = worst.some(({ answer }) => 'values' in answer)
  const shown = columns.slice(0, MOST_FIELDS)
  const answerHead = isNumbers
    ? outputs.flatMap(name => [outputs.length > 1 ? `${name}: predicted` : 'predicted', 'true', 'error'])
    : ['true', 'predicted', 'its probability', 'that of the true class']
  const whole = columns.length > MOST_FIELDS
  return html`${table({
    name: 'Rows with the largest losses',
    caption: html`The ${formatCount(worst.length)} test rows with the largest losses${whole && ', with the most important columns'}. Row: in the table, counted from 1. Index: among the test rows, counted from 0, as <code>predict --index</code> has it.`,
    head: ['row', 'index', ...answerHead, 'loss', ...shown],
    rows: worst.map(row => [
      ...[formatCount(row.fileRow + 1), data(row.index, String), ...answerCells(row)],
      ...[data(row.loss, formatLoss), ...row.fields.slice(0, MOST_FIELDS).map(field)],
    ]),
  })}
${whole && folded(`All ${formatCount(columns.length)} columns of these rows`, allFields(worst, columns))}`
}

/** Rows as columns, because there may be many fields. */
function allFields(worst: readonly WorstRow[], columns: readonly string[]): Html {
  return table({
    name: 'Fields of the rows with the largest losses',
    caption: 'Fields of these rows, the most important column first',
    head: ['column', ...worst.map(({ fileRow }) => `row ${formatCount(fileRow + 1)}`)],
    rows: columns.map((name, i) => [name, ...worst.map(({ fields }) => field(fields[i]))]),
  })
}

function answerCells({ answer }: WorstRow): HtmlValue[] {
  if ('values' in answer) {
    return answer.values.flatMap(({ value, truth }) => [number(value), number(truth), number(value - truth)])
  }
  const { truth, predicted, confidence, probabilityOfTruth } = answer
  return [truth, predicted, share(confidence), share(probabilityOfTruth)]
}

const field = (text: string | null): HtmlValue =>
  text === null ? html`<span class="none">missing</span>` : formatShort(text, MOST_CHARACTERS)
