/** Reliability diagram: accuracy by confidence, and a histogram of confidences, as SVG. Pure; any thread. */

import type { Calibration, CalibrationBin } from '../../data/scores/calibration.js'
import { formatCount, formatPercent } from '../../format.js'
import { type Html, html } from '../html.js'
import { linearScale, place, type Scale } from './scale.js'

const WIDTH = 460
const HEIGHT = 330
const LEFT = 58
const RIGHT = 14
const TOP = 26
const BOTTOM = 44
const PLOT = { width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM } as const
const SHARE = linearScale(0, 1, { exact: true })

export function reliabilityChart({ bins, expectedError }: Calibration, unit: string): Html {
  const title = 'Reliability: accuracy by confidence'
  const down = (share: number) => TOP + PLOT.height * (1 - share)
  const summary = `Expected calibration error ${formatPercent(expectedError)}. ${gapsInWords(bins)}`
  return html`<figure class="chart">
<figcaption>${title}<span class="legend"><span><svg viewBox="0 0 26 10" aria-hidden="true"><rect class="bar" width="26" height="10"/></svg>accuracy</span><span><svg viewBox="0 0 26 10" aria-hidden="true"><rect class="gap" x="1" y="1" width="24" height="8"/></svg>gap to the confidence</span></span></figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${`${title}. ${summary}`}">
${frame(SHARE, tick => formatPercent(tick, 0), 'accuracy')}
${bins.map(bin => {
  const { from, to, images, accuracy, confidence } = bin
  if (accuracy === null || confidence === null) return null
  const [left, width] = [LEFT + PLOT.width * from + 1, PLOT.width * (to - from) - 2]
  const [top, bottom] = [down(Math.max(accuracy, confidence)), down(Math.min(accuracy, confidence))]
  return html`<g class="strip"><rect class="bar" x="${place(left)}" y="${place(down(accuracy))}" width="${place(width)}" height="${place(PLOT.height * accuracy)}"/><rect class="gap" x="${place(left + 0.5)}" y="${place(top)}" width="${place(width - 1)}" height="${place(bottom - top)}"/><rect x="${place(left)}" y="${TOP}" width="${place(width)}" height="${PLOT.height}"/><text x="${WIDTH - RIGHT}" y="14">${`confidence ${formatPercent(confidence, 1)}, accuracy ${formatPercent(accuracy, 1)}, ${formatCount(images)} ${unit}s`}</text></g>`
})}
<path class="ideal" d="M${LEFT} ${TOP + PLOT.height}L${WIDTH - RIGHT} ${TOP}"/>
</svg>
</figure>
`
}

export function confidenceChart({ bins, meanConfidence }: Calibration, unit: string): Html {
  const title = 'How sure the network is'
  const images = bins.reduce((sum, bin) => sum + bin.images, 0)
  const scale = linearScale(0, Math.max(...bins.map(bin => bin.images / images)))
  const summary = `Mean confidence ${formatPercent(meanConfidence)}; ${formatPercent(bins[bins.length - 1].images / images, 1)} of the ${unit}s have one above ${formatPercent(bins[bins.length - 1].from, 0)}.`
  return html`<figure class="chart">
<figcaption>${title}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${`${title}. ${summary}`}">
${frame(scale, tick => formatPercent(tick, 0), `share of the ${unit}s`)}
${bins.map(bin => {
  const height = PLOT.height * scale.share(bin.images / images)
  const [left, width] = [LEFT + PLOT.width * bin.from + 1, PLOT.width * (bin.to - bin.from) - 2]
  return html`<g class="strip"><rect class="bar" x="${place(left)}" y="${place(TOP + PLOT.height - height)}" width="${place(width)}" height="${place(height)}"/><rect x="${place(left)}" y="${TOP}" width="${place(width)}" height="${PLOT.height}"/><text x="${WIDTH - RIGHT}" y="14">${`${formatPercent(bin.from, 0)} to ${formatPercent(bin.to, 0)}: ${formatCount(bin.images)} ${unit}s`}</text></g>`
})}
</svg>
</figure>
`
}

/** Axes; confidence is horizontal. */
function frame(scale: Scale, format: (tick: number) => string, label: string): Html {
  const down = (tick: number) => place(TOP + PLOT.height * (1 - scale.share(tick)))
  const bottom = TOP + PLOT.height
  return html`<g class="grid">${scale.ticks.map(tick => html`<path d="M${LEFT} ${down(tick)}h${PLOT.width}"/>`)}</g>
<g class="ticks end">${scale.ticks.map(tick => html`<text x="${LEFT - 8}" y="${down(tick)}" dy=".35em">${format(tick)}</text>`)}</g>
<g class="ticks middle">${SHARE.ticks.map(tick => html`<text x="${place(LEFT + PLOT.width * tick)}" y="${bottom + 18}">${formatPercent(tick, 0)}</text>`)}</g>
<path class="axis" d="M${LEFT} ${bottom}h${PLOT.width}"/>
<text class="label middle" x="${LEFT + PLOT.width / 2}" y="${HEIGHT - 8}">confidence of the prediction</text>
<text class="label" x="4" y="14">${label}</text>`
}

function gapsInWords(bins: readonly CalibrationBin[]): string {
  const gap = ({ images, accuracy, confidence }: CalibrationBin) => images * ((confidence ?? 0) - (accuracy ?? 0))
  const sum = bins.reduce((total, bin) => total + gap(bin), 0)
  return sum > 0 ? 'On the whole the network is overconfident.' : 'On the whole the network is underconfident.'
}
