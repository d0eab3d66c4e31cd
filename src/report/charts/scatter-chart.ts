/** Predicted against true values, one point per row, as SVG. Pure; any thread. */
import { formatCount, formatNumber } from '../../format.js'
import { type Html, html } from '../html.js'
import { linearScale, place } from './scale.js'

const WIDTH = 460
const HEIGHT = 400
const LEFT = 70
const RIGHT = 14
const TOP = 26
const BOTTOM = 44
const PLOT = { width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM } as const
/** Points drawn at most; more are not distinguishable, and make the page large. */
const MOST_POINTS = 1500

export interface Scatter {
  readonly name: string
  readonly predicted: Float32Array // (N)
  readonly truth: Float32Array // (N)
  /** Text alternative of the chart. */
  readonly summary: string
}

export function scatterChart({ name, predicted, truth, summary }: Scatter): Html {
  const title = `${name}: predicted and true`
  const finite = [...truth, ...predicted].filter(Number.isFinite)
  // Equal axes, so that a correct prediction lies on the diagonal.
  const scale = linearScale(Math.min(...finite), Math.max(...finite))
  const x = (value: number) => LEFT + PLOT.width * scale.share(value)
  const y = (value: number) => TOP + PLOT.height * (1 - scale.share(value))
  const each = Math.ceil(truth.length / MOST_POINTS)
  const shown = Array.from({ length: Math.ceil(truth.length / each) }, (_, i) => i * each)
  const points = shown
    .filter(row => Number.isFinite(predicted[row]))
    .map(row => `M${place(x(truth[row]))} ${place(y(predicted[row]))}h0`)
  const bottom = TOP + PLOT.height
  return html`<figure class="chart square">
<figcaption>${title}${each > 1 && ` (${formatCount(shown.length)} of ${formatCount(truth.length)} rows)`}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${`${title}. ${summary}`}">
<g class="grid">${scale.ticks.map(tick => html`<path d="M${LEFT} ${place(y(tick))}h${PLOT.width}"/>`)}</g>
<g class="ticks end">${scale.ticks.map(tick => html`<text x="${LEFT - 8}" y="${place(y(tick))}" dy=".35em">${formatNumber(tick)}</text>`)}</g>
<g class="ticks middle">${scale.ticks.map(tick => html`<text x="${place(x(tick))}" y="${bottom + 18}">${formatNumber(tick)}</text>`)}</g>
<path class="axis" d="M${LEFT} ${bottom}h${PLOT.width}"/>
<path class="points" d="${points.join('')}"/>
<path class="ideal" d="M${LEFT} ${bottom}L${WIDTH - RIGHT} ${TOP}"/>
<text class="label middle" x="${LEFT + PLOT.width / 2}" y="${HEIGHT - 8}">true value</text>
<text class="label" x="4" y="14">what is predicted</text>
</svg>
</figure>
`
}
