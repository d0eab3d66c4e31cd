/** Several runs side by side. Pure; any thread. */
import { formatCount, formatLoss, formatPercent } from '../../format.js'
import { lineChart, type Series, STYLES } from '../charts/line-chart.js'
import { linearScale, scaleFromZero, shareScale } from '../charts/scale.js'
import { type Comparison, comparisonTable } from '../comparison.js'
import type { EpochPoint } from '../curves.js'
import { type Html, html } from '../html.js'
import type { RunReport } from '../report.js'
import { table } from '../table.js'
import { qualityOf, shareTick, shortNumber } from './curves.js'

export function comparisonSection(comparison: Comparison, runs: readonly RunReport[], ids: readonly string[]): Html {
  const [head, ...rows] = comparisonTable(comparison)
  const shown = runs.slice(0, STYLES)
  const validated = shown.every(({ curves }) => curves.epochs.some(({ validation }) => validation !== null))
  const split = validated ? 'validation' : 'training'
  const score = ({ train, validation }: EpochPoint) => (validated ? validation : train)
  const quality = shown.every(({ curves }) => qualityOf(curves) === 'r2') ? 'r2' : 'accuracy'
  const series = (of: 'loss' | 'accuracy' | 'r2'): Series[] =>
    shown.map(({ run, curves: { epochs } }, style) => ({
      ...{ name: run, style },
      points: epochs.map(point => ({ x: point.epoch, y: score(point)?.[of] ?? Number.NaN })),
    }))
  const epochs = Math.max(1, ...shown.map(({ curves }) => curves.epochs.at(-1)?.epoch ?? 0))
  const x = { label: 'epochs', scale: linearScale(0, epochs, { exact: true }), format: formatCount }
  const finite = (all: readonly Series[]) =>
    all.flatMap(({ points }) => points.flatMap(({ y }) => (Number.isFinite(y) ? [y] : [])))
  const [losses, qualities] = [series('loss'), series(quality)]
  const last = (all: readonly Series[], format: (y: number) => string) =>
    all.map(({ name, points }) => `${name} ends at ${format(points.at(-1)?.y ?? Number.NaN)}`).join('; ')
  const lossScale = scaleFromZero(finite(losses))
  const shares = quality === 'r2' ? linearScale(Math.min(0, ...finite(qualities)), 1) : shareScale(finite(qualities))
  const format = quality === 'r2' ? formatLoss : formatPercent
  return html`${table({
    name: 'Runs side by side',
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
  title: `${quality === 'r2' ? 'R²' : 'Accuracy'} on the ${split} rows`,
  summary: last(qualities, format),
  y: {
    label: quality === 'r2' ? 'share of the variance explained' : 'fraction of samples that are correct',
    ...{ scale: shares, format, tick: quality === 'r2' ? shortNumber : shareTick(shares) },
  },
  ...{ x, series: qualities, marks: [] },
})}</div>
${runs.length > STYLES && html`<p class="note">The charts show the first ${STYLES} of ${runs.length} runs.</p>`}`
}
