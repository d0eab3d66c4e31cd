/** Values of some series for each of some names, one row a name and one dot a series, as SVG. Pure; any thread. */
import { formatShort } from '../../format.js'
import { type Html, html } from '../html.js'
import { place, type Scale } from './scale.js'

const WIDTH = 460
const LEFT = 150
const RIGHT = 24
const TOP = 26
const BOTTOM = 44
const ROW = 22
const LEAST_HEIGHT = 200
const PLOT_WIDTH = WIDTH - LEFT - RIGHT
/** Characters of a name that fit beside the dots. */
const MOST_CHARACTERS = 20

/** Outlines around a centre, about 10 wide: series differ in them as well as in their colours. */
const SYMBOLS = [
  'm-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0',
  'm-4.5 -4.5h9v9h-9z',
  'm0 -6l5.5 10h-11z',
  'm0 -6l6 6l-6 6l-6 -6z',
  'm0 6l5.5 -10h-11z',
  'm-6 -2h4v-4h4v4h4v4h-4v4h-4v-4h-4z',
]

const symbol = (style: number, x: number, y: number): Html =>
  html`<path class="dot s${style}" d="M${place(x)} ${place(y)}${SYMBOLS[style]}"/>`

function legend(series: DotChart['series']): Html | null {
  if (series.length < 2) return null
  return html`<span class="legend">${series.map(({ name, style }) => html`<span><svg class="symbol" viewBox="0 0 14 14" aria-hidden="true">${symbol(style, 7, 7)}</svg>${name}</span>`)}</span>`
}

export interface DotChart {
  readonly title: string
  /** Text alternative. */
  readonly summary: string
  readonly label: string
  readonly scale: Scale
  readonly names: readonly string[]
  /** Colours are those of the style sheet's series. */
  readonly series: readonly { readonly name: string; readonly style: number; readonly values: readonly number[] }[]
  format(value: number): string
  /** Formats the marks of the axis. */
  tick(value: number): string
}

export function dotChart({ title, summary, label, scale, names, series, format, tick: mark }: DotChart): Html {
  const row = Math.max(ROW, Math.floor(LEAST_HEIGHT / names.length))
  const bottom = TOP + names.length * row
  const x = (value: number) => place(LEFT + PLOT_WIDTH * scale.share(value))
  return html`<figure class="chart">
<figcaption>${title}${legend(series)}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${bottom + BOTTOM}" role="img" aria-label="${`${title}. ${summary}`}">
<g class="grid">${scale.ticks.map(tick => html`<path d="M${x(tick)} ${TOP}V${bottom}"/>`)}${names.map((_, i) => html`<path d="M${LEFT} ${TOP + (i + 0.5) * row}h${PLOT_WIDTH}"/>`)}</g>
<g class="ticks middle">${scale.ticks.map(tick => html`<text x="${x(tick)}" y="${bottom + 18}">${mark(tick)}</text>`)}</g>
<text class="label middle" x="${LEFT + PLOT_WIDTH / 2}" y="${bottom + BOTTOM - 8}">${label}</text>
${names.map((name, i) => {
  const middle = TOP + (i + 0.5) * row
  const values = series.map(each => `${series.length > 1 ? `${each.name} ` : ''}${format(each.values[i])}`)
  return html`<text class="name" x="${LEFT - 10}" y="${middle}" dy=".35em">${formatShort(name, MOST_CHARACTERS)}</text>${series.map(({ style, values: of }) => symbol(style, Number(x(of[i])), middle))}<g class="strip"><rect x="0" y="${TOP + i * row}" width="${WIDTH}" height="${row}"/><text x="${WIDTH - 4}" y="14">${`${name}: ${values.join(', ')}`}</text></g>`
})}
</svg>
</figure>
`
}
