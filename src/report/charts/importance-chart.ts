/** Importance of columns as horizontal bars with their spread, as SVG. Pure; any thread. */
import { formatShort } from '../../format.js'
import { type Html, html } from '../html.js'
import { linearScale, place } from './scale.js'

export interface Bar {
  readonly name: string
  readonly mean: number
  readonly spread: number
}

const WIDTH = 940
const LEFT = 250
const RIGHT = 30
const TOP = 22
const BOTTOM = 44
const ROW = 24
const PLOT_WIDTH = WIDTH - LEFT - RIGHT
/** Characters of a name that fit beside the bars. */
const MOST_CHARACTERS = 34

export interface ImportanceChart {
  readonly title: string
  /** Text alternative. */
  readonly summary: string
  readonly label: string
  readonly bars: readonly Bar[]
  format(value: number): string
}

export function importanceChart({ title, summary, label, bars, format }: ImportanceChart): Html {
  const ends = bars.flatMap(({ mean, spread }) => [mean - spread, mean + spread])
  const scale = linearScale(Math.min(0, ...ends), Math.max(0, ...ends))
  const x = (value: number) => LEFT + PLOT_WIDTH * scale.share(value)
  const bottom = TOP + bars.length * ROW
  return html`<figure class="chart wide">
<figcaption>${title}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${bottom + BOTTOM}" role="img" aria-label="${`${title}. ${summary}`}">
<g class="grid">${scale.ticks.map(tick => html`<path d="M${place(x(tick))} ${TOP}V${bottom}"/>`)}</g>
<g class="ticks middle">${scale.ticks.map(tick => html`<text x="${place(x(tick))}" y="${bottom + 18}">${format(tick)}</text>`)}</g>
<text class="label middle" x="${LEFT + PLOT_WIDTH / 2}" y="${bottom + BOTTOM - 6}">${label}</text>
${bars.map(({ name, mean, spread }, i) => {
  const top = TOP + i * ROW
  const middle = top + ROW / 2
  const [from, to] = [x(Math.min(0, mean)), x(Math.max(0, mean))]
  return html`<text class="name" x="${LEFT - 10}" y="${middle}" dy=".35em">${formatShort(name, MOST_CHARACTERS)}</text><rect class="bar" x="${place(from)}" y="${top + 4}" width="${place(to - from)}" height="${ROW - 8}"/><path class="spread" d="M${place(x(mean - spread))} ${middle}H${place(x(mean + spread))}"/><g class="strip"><rect x="0" y="${top}" width="${WIDTH}" height="${ROW}"/><text x="${WIDTH - 4}" y="14">${`${name}: ${format(mean)} ± ${format(spread)}`}</text></g>`
})}
<path class="axis" d="M${place(x(0))} ${TOP}V${bottom}"/>
</svg>
</figure>
`
}
