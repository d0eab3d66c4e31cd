/** Several runs beside each other. Pure; any thread. */
import { formatCount, formatLoss, formatPercent } from '../../cli/format.js'
import { type Comparison, comparisonTable } from '../../coordinator/compare.js'
import { lineChart, type Series, STYLES } from '../charts/line-chart.js'
import { linearScale, scaleFromZero, shareScale } from '../charts/scale.js'
import type { EpochPoint } from '../curves.js'
import { type Html, html } from '../html.js'
import type { RunReport } from '../report.js'
import { table } from '../table.js'
import { shareTick, shortNumber } from './curves.js'

export function comparisonSection(comparison: Comparison, runs: readonly RunReport[], ids: readonly string[]): Html {
  const [head, ...rows] = comparisonTable(comparison)
  const shown = runs.slice(0, STYLES)
  const validated = shown.every(({ curves }) => curves.epochs.some(({ validation }) => validation !== null))
  const split = validated ? 'validation' : 'training'
  const score = ({ train, validation }: EpochPoint) => (validated ? validation : train)
  const series = (of: 'loss' | 'accuracy'): Series[] =>
    shown.map(({ run, curves: { epochs } }, style) => ({
      ...{ name: run, style },
      points: epochs.map(point => ({ x: point.epoch, y: score(point)?.[of] ?? Number.NaN })),
    }))
  const epochs = Math.max(1, ...shown.map(({ curves }) => curves.epochs.at(-1)?.epoch ?? 0))
  const x = { label: 'epochs', scale: linearScale(0, epochs, { exact: true }), format: formatCount }
  const finite = (all: readonly Series[]) =>
    all.flatMap(({ points }) => points.flatMap(({ y }) => (Number.isFinite(y) ? [y] : [])))
  const [losses, accuracies] = [series('loss'), series('accuracy')]
  const last = (all: readonly Series[], format: (y: number) => string) =>
    all.map(({ name, points }) => `${name} ends at ${format(points.at(-1)?.y ?? Number.NaN)}`).join('; ')
  const lossScale = scaleFromZero(finite(losses))
  const shares = shareScale(finite(accuracies))
  return html`${table({
    name: 'Runs beside each other',
    caption: 'Settings in which the runs differ, and their results',
    head,
    rows: rows.map(([run, ...cells], i) => [
      i < runs.length ? html`<a href="#${ids[i]}">${run}</a>` : run,
      ...cells.map((cell, column) => (column === 0 && i < runs.length ? runs[i].status : cell)),
    ]),
  })}
<div class="charts">
${lineChart({
  title: `Loss on the ${split} rows`,
  summary: last(losses, formatLoss),
  y: {
    label: `mean loss${lossScale.low > 0 ? ', logarithmic' : ''}`,
    scale: lossScale,
    format: formatLoss,
    tick: shortNumber,
  },
  ...{ x, series: losses, marks: [] },
})}${lineChart({
  title: `Accuracy on the ${split} rows`,
  summary: last(accuracies, formatPercent),
  y: { label: 'share of rows that are right', scale: shares, format: formatPercent, tick: shareTick(shares) },
  ...{ x, series: accuracies, marks: [] },
})}</div>
${runs.length > STYLES && html`<p class="note">The charts show the first ${STYLES} of ${runs.length} runs.</p>`}`
}
