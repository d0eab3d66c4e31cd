/** A report as Markdown: tables, no images. Pure; any thread. */
import { formatCount, formatDuration, formatLoss, formatNumber, formatPercent } from '../format.js'
import type { Score } from '../run/events.js'
import { comparisonMarkdown } from './comparison.js'
import type { LabelReport } from './labels.js'
import type { RegressionReport } from './regression.js'
import type { Report, RunReport, TestReport } from './report.js'
import { qualityOf } from './sections/curves.js'
import { otherScores } from './sections/scores.js'
import { sharesOf } from './timeline.js'

/** Rows of the table of epochs, and classes of the largest matrix that is written out. */
const MOST_ROWS = 50
const MOST_CLASSES = 20
const MOST_CONFUSIONS = 15

export function reportMarkdown({ runs, comparison }: Report): string {
  const parts = runs.map(runMarkdown)
  if (comparison) parts.unshift(`# Report of ${runs.length} runs\n\n${comparisonMarkdown(comparison)}`)
  return parts.join('\n')
}

function runMarkdown(run: RunReport): string {
  const { summary, curves, test, timeline, differences } = run
  const lines = [
    `# ${plain(run.name)}`,
    '',
    `${plain(run.run)}: ${run.status}${summary?.error ? `: ${plain(summary.error)}` : ''}`,
    '',
  ]
  const results: [string, string][] = []
  const score = (name: string, of: Score | null | undefined) => {
    if (of?.accuracy !== undefined) results.push([`${name} accuracy`, formatPercent(of.accuracy)])
    if (of?.r2 !== undefined) results.push([`${name} R²`, of.r2 === null ? 'undefined' : formatLoss(of.r2)])
    if (of) results.push([`${name} loss`, formatLoss(of.loss)])
    if (of) results.push(...otherScores(of).map(({ title, text }): [string, string] => [`${name} ${title}`, text]))
  }
  score('test', summary?.test)
  score('validation', summary?.validation)
  score('training', summary?.train)
  if (summary) {
    results.push(['epochs', formatCount(summary.epochs)], ['training time', formatDuration(summary.seconds)])
    results.push(['training samples per second', formatCount(summary.samplesPerSecond)])
    const { exchangeShares: shares } = summary
    if (shares)
      results.push(['in exchanges, of the time of each rank', shares.map(share => formatPercent(share)).join(', ')])
    results.push(['parameters', formatCount(summary.parameters)])
    if (summary.weightsSha256) results.push(['SHA-256 of the weights', summary.weightsSha256])
  }
  if (results.length > 0) lines.push(table(['result', ''], results))
  for (const { step, text } of curves.incidents) lines.push(`- After step ${formatCount(step)}: ${plain(text)}`, '')
  lines.push(...epochsMarkdown(run))
  if ('missing' in test) lines.push(`There are no predictions to show: ${plain(test.missing)}.`, '')
  else if ('labels' in test) lines.push(...labelsMarkdown(test))
  else lines.push(...('targets' in test ? regressionMarkdown(test) : testMarkdown(test)))
  lines.push(...tableMarkdown(run))
  if (timeline) {
    lines.push('## Workers', '')
    const rows = timeline.workers.map((time, worker) => {
      const shares = sharesOf(time) ?? []
      return [String(worker + 1), ...shares.map(share => formatPercent(share, 1))]
    })
    lines.push(table(['worker', 'forward and backward', 'update', 'waiting'], rows))
  }
  lines.push(
    '## Experiment',
    '',
    'Settings that differ from the defaults:',
    '',
    '```json',
    JSON.stringify(differences, null, 2),
    '```',
    '',
  )
  return lines.join('\n')
}

function epochsMarkdown({ curves }: RunReport): string[] {
  const { epochs } = curves
  const of = qualityOf(curves)
  const name = of === 'r2' ? 'R²' : 'accuracy'
  const quality = (score: Score | null) => {
    const value = score?.[of]
    return typeof value === 'number' ? (of === 'r2' ? formatLoss : formatPercent)(value) : ''
  }
  if (epochs.length === 0) return []
  const each = Math.ceil(epochs.length / MOST_ROWS)
  const rows = epochs
    .filter((_, i) => i % each === 0 || i === epochs.length - 1)
    .map(({ epoch, train, validation, seconds, samplesPerSecond }) => [
      ...[formatCount(epoch), train ? formatLoss(train.loss) : '', quality(train)],
      ...[validation ? formatLoss(validation.loss) : '', quality(validation)],
      ...[formatDuration(seconds), formatCount(samplesPerSecond)],
    ])
  const head = ['epoch', 'loss', name, 'validation loss', `validation ${name}`, 'time', 'samples/s']
  return ['## Epochs', '', table(head, rows)]
}

function labelsMarkdown({ rows, right, accuracy, exact, labels, calibration }: LabelReport): string[] {
  const share = (value: number | null) => (value === null ? '' : formatPercent(value))
  const number = (value: number | null) => (value === null ? '' : formatLoss(value))
  return [
    '## Test rows',
    '',
    `${formatCount(right)} of ${formatCount(rows * labels.length)} labels of ${formatCount(rows)} rows are right: ${share(accuracy)}; ` +
      `${formatCount(exact)} rows are right in all of them. Expected calibration error ${share(calibration.expectedError)}.`,
    '',
    table(
      ['label', 'yes', 'predicted', 'right', 'precision', 'recall', 'F1', 'ROC AUC', 'average precision'],
      labels.map(of => [
        ...[of.name, formatCount(of.support), formatCount(of.predicted), share(of.right / rows)],
        ...[share(of.precision), share(of.recall), share(of.f1), number(of.rocAuc), number(of.averagePrecision)],
      ]),
    ),
    '',
    'Thresholds with the best F1 on these rows, and calibration of each label:',
    '',
    table(
      ['label', 'threshold', 'precision there', 'recall there', 'best F1', 'Brier score', 'calibration error'],
      labels.map(({ name, best, brier, expectedError }) => [
        ...[name, number(best?.threshold ?? null), share(best?.precision ?? null), share(best?.recall ?? null)],
        ...[share(best?.f1 ?? null), number(brier), share(expectedError)],
      ]),
    ),
  ]
}

function regressionMarkdown({ rows, targets }: RegressionReport): string[] {
  return [
    '## Test rows',
    '',
    `Of ${formatCount(rows)} rows, in the units of the data.`,
    '',
    table(
      ['target', 'RMSE', 'MAE', 'bias', 'R²'],
      targets.map(({ name, rmse, mae, bias, r2 }) => [
        ...[name, formatNumber(rmse), formatNumber(mae), formatNumber(bias)],
        r2 === null ? '' : formatLoss(r2),
      ]),
    ),
  ]
}

function testMarkdown({ confusion, confusions, classes, macro, weighted, calibration, ...test }: TestReport): string[] {
  const share = (value: number | null) => (value === null ? '' : formatPercent(value))
  const [low, high] = test.interval
  const { unit } = test
  const means = (name: string, of: typeof macro) => [name, '', share(of.precision), share(of.recall), share(of.f1)]
  const matrix = confusion.map((row, truth) => [classes[truth].className, ...row.map(formatCount)])
  const frequent = confusions
    .slice(0, MOST_CONFUSIONS)
    .map(({ truth, predicted, images }) => [
      classes[truth].className,
      classes[predicted].className,
      formatCount(images),
    ])
  return [
    `## Test ${unit}s`,
    '',
    `${formatCount(test.right)} of ${formatCount(test.images)} are correct: ${share(test.accuracy)} (95 %: ${share(low)} to ${share(high)}). ` +
      `Expected calibration error ${share(calibration.expectedError)}.`,
    '',
    table(
      ['class', `${unit}s`, 'precision', 'recall', 'F1'],
      [
        ...classes.map(of => [
          of.className,
          formatCount(of.support),
          share(of.precision),
          share(of.recall),
          share(of.f1),
        ]),
        means('mean over classes', macro),
        means(`mean over ${unit}s`, weighted),
      ],
    ),
    ...(classes.length <= MOST_CLASSES
      ? [table(['true \\ predicted', ...classes.map(of => of.className)], matrix)]
      : []),
    ...(frequent.length > 0 ? [table(['true', 'predicted', `${unit}s`], frequent)] : []),
  ]
}

/** Columns of a table by importance. */
function tableMarkdown({ table: found }: RunReport): string[] {
  if (found === null) return []
  if ('missing' in found) return [`Importance of columns could not be computed: ${plain(found.missing)}.`, '']
  const { importance, split } = found
  const { score, rows, repeats, columns } = importance
  const format = score.form === 'percent' ? formatPercent : formatNumber
  return [
    '## Columns',
    '',
    `${score.better === 'higher' ? 'Fall' : 'Rise'} of the ${score.title} of ${formatCount(rows)} ${split} rows when the values of one column are shuffled: ` +
      `mean and standard deviation over ${repeats} shuffles.`,
    '',
    table(
      ['column', 'kind', 'importance', 'deviation'],
      columns.slice(0, MOST_ROWS).map(({ column, kind, mean, spread }) => [column, kind, format(mean), format(spread)]),
    ),
  ]
}

/** Renders a table; the first column is left-aligned, all others right-aligned. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(plain).join(' | ')} |\n`
  return line(head) + line(head.map((_, column) => (column === 0 ? '---' : '---:'))) + rows.map(line).join('')
}

/** Escapes text for Markdown, which may contain HTML. */
const plain = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[|`*_[\]]/g, '\\$&')
