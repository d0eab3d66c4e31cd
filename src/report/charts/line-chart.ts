/** Curves over the course of a run, as SVG. Pure; any thread. */
import { type Html, html } from '../html.js'
import { place, type Scale } from './scale.js'

export interface Point {
  readonly x: number
  /** Values; NaN and infinities break the line and are marked at the top. */
  readonly y: number
}

export interface Series {
  readonly name: string
  /** Points, ascending in x. */
  readonly points: readonly Point[]
  /** Index into {@link STYLES}: colour and dashes. */
  readonly style: number
  /** Draws the line thin and pale, behind the others. */
  readonly faint?: boolean
}

export interface LineChart {
  readonly title: string
  /** Text alternative: what the curves show, in a sentence. */
  readonly summary: string
  readonly x: { readonly label: string; readonly scale: Scale; format(x: number): string }
  readonly y: {
    readonly label: string
    readonly scale: Scale
    format(y: number): string
    /** Formats the marks of the axis. */
    tick(y: number): string
  }
  readonly series: readonly Series[]
  /** Positions of vertical lines. */
  readonly marks: readonly number[]
  /** Line of text below the chart. */
  readonly note?: string
}

/** Colours with dashes, in the style sheet. */
export const STYLES = 6
const WIDTH = 460
const HEIGHT = 270
const LEFT = 58
const RIGHT = 14
const TOP = 26
const BOTTOM = 44
const PLOT = { width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM } as const
/** Points of a line; more are not distinguishable. */
const MOST_POINTS = 300
/** Number of points up to which each is drawn as a dot. */
const FEW_POINTS = 25
/** Number of hover areas that show values. */
const MOST_STRIPS = 60

export function lineChart(chart: LineChart): Html {
  const { x, y, series, marks } = chart
  const across = (value: number) => place(LEFT + PLOT.width * x.scale.share(value))
  const down = (value: number) => place(TOP + PLOT.height * (1 - y.scale.share(value)))
  const thinned = series.map(one => ({ ...one, points: thin(one.points) }))
  return html`<figure class="chart">
<figcaption>${chart.title}${legend(series)}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${`${chart.title}. ${chart.summary}`}">
<g class="grid">${y.scale.ticks.map(tick => html`<path d="M${LEFT} ${down(tick)}h${PLOT.width}"/>`)}</g>
<g class="ticks end">${y.scale.ticks.map(tick => html`<text x="${LEFT - 8}" y="${down(tick)}" dy=".35em">${y.tick(tick)}</text>`)}</g>
<g class="ticks middle">${x.scale.ticks.map(tick => html`<text x="${across(tick)}" y="${TOP + PLOT.height + 18}">${x.format(tick)}</text>`)}</g>
<path class="axis" d="M${LEFT} ${TOP + PLOT.height}h${PLOT.width}${x.scale.ticks.map(tick => html`M${across(tick)} ${TOP + PLOT.height}v4`)}"/>
<text class="label middle" x="${LEFT + PLOT.width / 2}" y="${HEIGHT - 8}">${x.label}</text>
<text class="label" x="4" y="14">${y.label}</text>
${marks.map(mark => html`<path class="mark" d="M${across(mark)} ${TOP}v${PLOT.height}"/>`)}
${thinned.map(one => line(one, across, down))}
${strips(chart, across)}
</svg>${chart.note !== undefined && html`\n<p class="note">${chart.note}</p>`}
</figure>
`
}

function legend(series: readonly Series[]): Html | null {
  if (series.length < 2) return null
  return html`<span class="legend">${series.map(({ name, style, faint }) => html`<span><svg viewBox="0 0 26 10" aria-hidden="true"><path class="line s${style}${faint ? ' faint' : ''}" d="M1 5h24"/></svg>${name}</span>`)}</span>`
}

function line({ points, style, faint }: Series, across: (x: number) => string, down: (y: number) => string): Html {
  const kind = html`line s${style}${faint ? ' faint' : ''}`
  let [path, pen] = ['', 'M']
  for (const { x, y } of points) {
    if (!Number.isFinite(y)) {
      pen = 'M'
      continue
    }
    path += `${pen}${across(x)} ${down(y)}`
    pen = 'L'
  }
  const dots = points.length <= FEW_POINTS && !faint ? points.filter(({ y }) => Number.isFinite(y)) : alone(points)
  return html`${path !== '' && html`<path class="${kind}" d="${path}"/>`}
${dots.length > 0 && html`<g class="dot s${style}">${dots.map(({ x, y }) => html`<circle cx="${across(x)}" cy="${down(y)}" r="2.6"/>`)}</g>`}
${points
  .filter(({ y }) => !Number.isFinite(y))
  .map(({ x }) => html`<path class="lost" d="M${across(x)} ${TOP - 4}m-4 -4l8 8m0 -8l-8 8"/>`)}`
}

/** Isolated points, which no line segment touches. */
const alone = (points: readonly Point[]): readonly Point[] =>
  points.filter(
    ({ y }, i) =>
      Number.isFinite(y) &&
      !Number.isFinite(points[i - 1]?.y ?? Number.NaN) &&
      !Number.isFinite(points[i + 1]?.y ?? Number.NaN),
  )

/** Averages neighbours until few enough points are left; the last point stays as it is. */
function thin(points: readonly Point[]): readonly Point[] {
  if (points.length <= MOST_POINTS) return points
  const each = Math.ceil((points.length - 1) / (MOST_POINTS - 1))
  const means: Point[] = []
  for (let i = 0; i < points.length - 1; i += each) {
    const group = points.slice(i, Math.min(i + each, points.length - 1))
    const mean = (of: (point: Point) => number) => group.reduce((sum, point) => sum + of(point), 0) / group.length
    means.push({ x: mean(({ x }) => x), y: mean(({ y }) => y) })
  }
  return [...means, points[points.length - 1]]
}

/** Invisible hover areas; the style sheet shows the values of the one under the pointer. */
function strips({ x, y, series }: LineChart, across: (x: number) => string): Html[] {
  const all = [...new Set(series.flatMap(({ points, faint }) => (faint ? [] : points.map(point => point.x))))].sort(
    (a, b) => a - b,
  )
  const each = Math.max(1, Math.ceil(all.length / MOST_STRIPS))
  const shown = all.filter((_, i) => i % each === each - 1 || i === all.length - 1)
  const places = shown.map(at => Number(across(at)))
  return shown.map((at, i) => {
    const from = i === 0 ? LEFT : (places[i - 1] + places[i]) / 2
    const to = i === shown.length - 1 ? WIDTH - RIGHT : (places[i] + places[i + 1]) / 2
    const values = series.flatMap(({ name, points, faint }) => {
      const found = faint ? undefined : points.find(point => point.x === at)
      return found ? `${series.length > 1 ? `${name} ` : ''}${y.format(found.y)}` : []
    })
    return html`<g class="strip"><rect x="${place(from)}" y="${TOP}" width="${place(to - from)}" height="${PLOT.height}"/><path d="M${place(places[i])} ${TOP}v${PLOT.height}"/><text x="${WIDTH - RIGHT}" y="14">${`${x.format(at)}: ${values.join(', ')}`}</text></g>`
  })
}
