/**
 * Bar charts as one SVG picture: horizontal bars with the quartiles as whiskers, in colours that colour-blind people can distinguish and
 * that show on light and on dark pages. Pure; any thread. Test: node dist/test/bench/svg.test.js
 */

import { roundStep } from '../src/report/charts/scale.js'

export interface ChartBar {
  readonly value: number
  /** First and third quartile. */
  readonly low: number
  readonly high: number
}

export interface Chart {
  readonly title: string
  /** Label of the axis, with its unit: "step time, ms". */
  readonly axis: string
  readonly better: 'higher' | 'lower'
  readonly groups: readonly string[]
  /** Each has a bar for each group; null: not measured. */
  readonly series: readonly { readonly name: string; readonly bars: readonly (ChartBar | null)[] }[]
}

/** Colours of Okabe and Ito's palette with a contrast of at least 3:1 to white and to #161b22; the last is grey. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#b8629a', '#7f7f7f']
const WIDTH = 760
const MARGIN = 20
const BAR = 18
const BAR_GAP = 4
const GROUP_GAP = 12
const LETTER = 7
/** Room for a value to the right of the longest bar. */
const VALUE_ROOM = 70
const HEAD = 44
const LEGEND = 24
const AXIS = 48
const STYLE =
  '.page{fill:#fff;stroke:#d0d7de}.ink{fill:#1f2328}.dim{fill:#59636e}.line{stroke:#59636e}.grid{stroke:#d0d7de}.halo{stroke:#fff}' +
  '@media(prefers-color-scheme:dark){.page{fill:#161b22;stroke:#3d444d}.ink{fill:#e6edf3}.dim{fill:#9da7b3}' +
  '.line{stroke:#c5ced8}.grid{stroke:#30363d}.halo{stroke:#161b22}}'

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
const round = (value: number): number => Math.round(value * 10) / 10

/** Marks from 0 that are 1, 2 or 5 times a power of ten apart, about five of them; the last is at least `highest`. */
export function ticksTo(highest: number): number[] {
  if (!(highest > 0)) return [0, 1]
  const step = roundStep(highest, 5)
  return Array.from({ length: Math.ceil(highest / step - 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(12)))
}

/** Three digits, or all that stand before the point. */
export const shortNumber = (value: number): string =>
  Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)))

/** All charts below each other. */
export function svgOf(charts: readonly Chart[]): string {
  let y = MARGIN / 2
  const bodies = charts.map(chart => {
    const at = y
    y += heightOf(chart) + MARGIN / 2
    return `<g transform="translate(${MARGIN / 2} ${at})">${drawChart(chart)}</g>`
  })
  const names = charts.map(({ title }) => title).join('; ')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" role="img" ` +
      `font-family="system-ui, sans-serif" font-size="13">`,
    `<title>${escapeXml(names)}</title><style>${STYLE}</style>`,
    ...bodies,
    '</svg>\n',
  ].join('\n')
}

const groupHeight = ({ series }: Chart): number => series.length * (BAR + BAR_GAP) + GROUP_GAP
const topOf = ({ series }: Chart): number => HEAD + (series.length > 1 ? LEGEND : 0)
const heightOf = (chart: Chart): number => topOf(chart) + chart.groups.length * groupHeight(chart) + AXIS

function drawChart(chart: Chart): string {
  const { title, axis, better, groups, series } = chart
  const width = WIDTH - MARGIN
  const left = MARGIN + LETTER * Math.max(...groups.map(({ length }) => length)) + 8
  const bars = series.flatMap(each => each.bars).filter(bar => bar !== null)
  const ticks = ticksTo(Math.max(0, ...bars.map(({ value, high }) => Math.max(value, high))))
  const scale = (width - left - VALUE_ROOM) / ticks.at(-1)!
  const x = (value: number) => round(left + value * scale)
  const top = topOf(chart)
  const bottom = top + groups.length * groupHeight(chart)
  const spread = bars.some(({ low, high }) => low < high)
  const label = `${axis} (${better} is better${spread ? '; whiskers: quartiles' : ''})`
  return [
    `<rect class="page" width="${width}" height="${heightOf(chart)}" rx="6"/>`,
    `<text class="ink" x="${MARGIN}" y="28" font-size="15" font-weight="600">${escapeXml(title)}</text>`,
    ...(series.length > 1 ? drawLegend(series.map(({ name }) => name)) : []),
    ...ticks.map(
      tick =>
        `<line class="grid" x1="${x(tick)}" x2="${x(tick)}" y1="${top}" y2="${bottom}"/>` +
        `<text class="dim" x="${x(tick)}" y="${bottom + 16}" text-anchor="middle">${shortNumber(tick)}</text>`,
    ),
    `<line class="line" x1="${left}" x2="${left}" y1="${top}" y2="${bottom}"/>`,
    `<text class="dim" x="${left}" y="${bottom + 36}">${escapeXml(label)}</text>`,
    ...groups.flatMap((group, g) => {
      const y = top + g * groupHeight(chart) + GROUP_GAP / 2
      const middle = y + (groupHeight(chart) - GROUP_GAP) / 2 + 4
      const name = `<text class="ink" x="${left - 8}" y="${middle}" text-anchor="end">${escapeXml(group)}</text>`
      return [name, ...series.map(({ bars }, s) => drawBar(bars[g], s, y + s * (BAR + BAR_GAP), x))]
    }),
  ].join('')
}

function drawLegend(names: readonly string[]): string[] {
  let x = MARGIN
  return names.map((name, s) => {
    const at = x
    x += 26 + LETTER * name.length + 14
    const box = `<rect x="${at}" y="${HEAD - 4}" width="14" height="14" fill="${COLOURS[s % COLOURS.length]}"/>`
    return `${box}<text class="ink" x="${at + 20}" y="${HEAD + 8}">${escapeXml(name)}</text>`
  })
}

function drawBar(bar: ChartBar | null, series: number, y: number, x: (value: number) => number): string {
  const text = (at: number, what: string) => `<text class="ink" x="${round(at)}" y="${y + 14}">${what}</text>`
  if (bar === null) return text(x(0) + 6, 'not measured')
  const { value, low, high } = bar
  const middle = y + BAR / 2
  const whisker = `M${x(low)} ${middle}H${x(high)}M${x(low)} ${middle - 4}v8M${x(high)} ${middle - 4}v8`
  const whiskers = [['halo', 4] as const, ['line', 1.5] as const]
  return [
    `<rect x="${x(0)}" y="${y}" width="${round(x(value) - x(0))}" height="${BAR}" fill="${COLOURS[series % COLOURS.length]}"/>`,
    ...(low < high ? whiskers : []).map(
      ([name, stroke]) => `<path class="${name}" fill="none" stroke-width="${stroke}" d="${whisker}"/>`,
    ),
    text(Math.max(x(value), x(high)) + 6, shortNumber(value)),
  ].join('')
}
