/** Each worker's time over a run, in shares of forward + backward, update and waiting, as SVG. Pure; any thread. */
import { formatPercent } from '../../format.js'
import { type Html, html } from '../html.js'
import { sharesOf, type Timeline } from '../timeline.js'
import { place, type Scale } from './scale.js'

export interface TimelineAxis {
  readonly label: string
  readonly scale: Scale
  /** Position of a step on the axis. */
  at(step: number): number
  format(x: number): string
}

export const PHASES = ['forward and backward pass', 'gradients and update', 'waiting for others'] as const
const WIDTH = 940
const LEFT = 74
const RIGHT = 14
const TOP = 26
const BOTTOM = 44
const PLOT_WIDTH = WIDTH - LEFT - RIGHT

export function timelineChart({ workers, pieces }: Timeline, { label, scale, at, format }: TimelineAxis): Html {
  const row = workers.length <= 4 ? 56 : workers.length <= 16 ? 30 : 16
  const bottom = TOP + workers.length * row
  const across = (step: number) => LEFT + PLOT_WIDTH * scale.share(at(step))
  const title = 'Time of each worker, in shares'
  const summary = workers.map((time, worker) => `Worker ${worker + 1}: ${inWords(sharesOf(time))}`).join('. ')
  return html`<figure class="chart wide">
<figcaption>${title}<span class="legend">${PHASES.map((name, phase) => html`<span><svg viewBox="0 0 26 10" aria-hidden="true"><rect class="p${phase}" width="26" height="10"/></svg>${name}</span>`)}</span></figcaption>
<svg viewBox="0 0 ${WIDTH} ${bottom + BOTTOM}" role="img" aria-label="${`${title}. ${summary}.`}">
<g class="ticks end">${workers.map((_, worker) => html`<text x="${LEFT - 8}" y="${TOP + worker * row + (row - 6) / 2}" dy=".35em">worker ${worker + 1}</text>`)}</g>
<g class="ticks middle">${scale.ticks.map(tick => html`<text x="${place(LEFT + PLOT_WIDTH * scale.share(tick))}" y="${bottom + 16}">${format(tick)}</text>`)}</g>
<text class="label middle" x="${LEFT + PLOT_WIDTH / 2}" y="${bottom + BOTTOM - 8}">${label}</text>
${pieces.map(({ from, to, workers: times }) => {
  const [left, width] = [across(from), across(to) - across(from)]
  return times.map((time, worker) => {
    const shares = sharesOf(time)
    if (shares === null) return null
    let top = TOP + worker * row
    const parts = shares.map((share, phase) => {
      const height = (row - 6) * share
      top += height
      return html`<rect class="p${phase}" x="${place(left)}" y="${place(top - height)}" width="${place(width)}" height="${place(height)}"/>`
    })
    return html`<g class="strip">${parts}<rect x="${place(left)}" y="${TOP + worker * row}" width="${place(width)}" height="${row - 6}"/><text x="${WIDTH - RIGHT}" y="14">${`worker ${worker + 1}, steps ${from + 1} to ${to}: ${inWords(shares)}`}</text></g>`
  })
})}
</svg>
</figure>
`
}

const inWords = (shares: readonly number[] | null): string =>
  shares === null
    ? 'no time'
    : `${formatPercent(shares[0], 0)} forward and backward, ${formatPercent(shares[1], 0)} update, ${formatPercent(shares[2], 0)} waiting`
