/** Charts of `Watch`, drawn by uPlot: one per quantity, with the curves of all runs. Browser. */

import { formatCount, formatLoss, formatPercent } from '../../format.js'
import type { CurveName, Point, RunCurves } from './curves.js'
import { element } from './dom.js'
import uPlot from './uplot.js'

interface Quantity {
  readonly name: CurveName
  readonly title: string
  readonly unit: string
  /** Factor of the drawn value: percent, not a fraction. */
  readonly scale: number
  readonly text: (value: number) => string
}

const QUANTITIES: readonly Quantity[] = [
  { name: 'loss', title: 'Loss', unit: 'cross-entropy, nats', scale: 1, text: formatLoss },
  {
    ...{ name: 'accuracy', title: 'Accuracy', unit: 'right answers, or R², %', scale: 100 },
    text: value => formatPercent(value / 100),
  },
  { name: 'learningRate', title: 'Learning rate', unit: 'step size', scale: 1, text: value => value.toPrecision(3) },
  { name: 'throughput', title: 'Throughput', unit: 'samples per second', scale: 1, text: formatCount },
]

/** Number of colours; further runs repeat them with other dashes. */
const COLOURS = 6
const DASHES = [[], [10, 4, 2, 4]] as const
const HEIGHT = 270

export const colourVariable = (run: number): string => `--series-${run % COLOURS}`

export interface ChartedRun {
  readonly id: string
  readonly curves: RunCurves
}

export class Charts {
  readonly #panels: { readonly quantity: Quantity; readonly place: HTMLElement; plot: uPlot | null; lines: string }[]
  #runs: readonly ChartedRun[] = []

  constructor(place: HTMLElement) {
    this.#panels = QUANTITIES.map(quantity => {
      const plot = element('div', { className: 'plot' })
      plot.setAttribute('role', 'img')
      place.append(
        element(
          'figure',
          { className: 'card chart' },
          element(
            'figcaption',
            {},
            quantity.title,
            element('span', { className: 'faint small', textContent: ` · ${quantity.unit}` }),
          ),
          plot,
        ),
      )
      return { quantity, place: plot, plot: null, lines: '' }
    })
    new ResizeObserver(() => this.#resize()).observe(place)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.show(this.#runs, true))
  }

  /** Draws the runs' current curves; `anew` where runs or colours changed. */
  show(runs: readonly ChartedRun[], anew: boolean): void {
    this.#runs = runs
    for (const panel of this.#panels) {
      const { quantity, place } = panel
      const lines = linesOf(runs, quantity)
      const names = lines.map(({ name }) => name).join('\n')
      const data =
        lines.length > 0
          ? uPlot.join(lines.map(({ points }) => tableOf(points, quantity.scale)))
          : ([[]] as unknown as uPlot.AlignedData)
      if (anew || panel.plot === null || panel.lines !== names) {
        panel.plot?.destroy()
        panel.plot = new uPlot(optionsFor(quantity, place, lines), data, place)
        panel.lines = names
      } else panel.plot.setData(data)
      place.ariaLabel = describe(quantity, runs)
    }
  }

  #resize(): void {
    for (const { plot, place } of this.#panels) {
      if (plot && place.clientWidth !== plot.width) plot.setSize({ width: place.clientWidth, height: HEIGHT })
    }
  }
}

interface Line {
  readonly name: string
  readonly run: number
  readonly isValidation: boolean
  readonly points: readonly Point[]
}

/** Columns of a chart; validation only where there is one. */
function linesOf(runs: readonly ChartedRun[], { name }: Quantity): Line[] {
  return runs.flatMap(({ id, curves }, run) => {
    const { training, validation } = curves.curves[name]
    const prefix = runs.length > 1 ? `${id}, ` : ''
    return [
      { name: `${prefix}training`, run, isValidation: false, points: training },
      ...(validation.length > 0 ? [{ name: `${prefix}validation`, run, isValidation: true, points: validation }] : []),
    ]
  })
}

function optionsFor({ title, unit, text }: Quantity, place: HTMLElement, lines: readonly Line[]): uPlot.Options {
  const style = getComputedStyle(document.documentElement)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  const axis = {
    stroke: colour('--faint'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
    font: '12px system-ui, sans-serif',
    labelFont: '12px system-ui, sans-serif',
  }
  const value = (_plot: uPlot, y: number | null) => (y === null ? '–' : text(y))
  const values = (_plot: uPlot, splits: number[]) => splits.map(split => tick(split))
  return {
    width: place.clientWidth,
    height: HEIGHT,
    scales: { x: { time: false } },
    cursor: { sync: { key: 'runs' } },
    axes: [
      { ...axis, label: 'epochs', labelSize: 18, size: 34 },
      { ...axis, label: `${title.toLowerCase()}, ${unit}`, labelSize: 20, size: 70, values },
    ],
    series: [
      { label: 'epoch', value: (_plot, x: number | null) => (x === null ? '–' : x.toFixed(2)) },
      ...lines.map(({ name, run, isValidation }): uPlot.Series => {
        const stroke = colour(colourVariable(run))
        const line = { label: name, stroke, width: 2, spanGaps: false, value }
        const dash = DASHES[Math.floor(run / COLOURS) % DASHES.length]
        return isValidation
          ? { ...line, dash: [5, 4], points: { show: true, size: 6, fill: stroke } }
          : { ...line, dash: [...dash], points: { show: isSingle, size: 6, fill: stroke } }
      }),
    ],
  }
}

/** True for a curve of one point, which a line alone would not show: after one epoch, for instance. */
const isSingle = ({ data }: uPlot, series: number): boolean => {
  const values: ArrayLike<unknown> = data[series]
  let count = 0
  for (let i = 0; i < values.length && count < 2; i++) if (values[i] != null) count++
  return count === 1
}

/** Formats an axis value without trailing zeros and rounding residue. */
const tick = (value: number): string =>
  Math.abs(value) >= 1000 ? formatCount(value) : String(Number(value.toPrecision(4)))

/** Merges two columns; a value that is not finite leaves a gap. */
const tableOf = (points: readonly Point[], scale: number): uPlot.AlignedData => [
  points.map(({ x }) => x),
  points.map(({ y }) => (y === null ? null : y * scale)),
]

/** Text alternative of a chart: the latest value of each curve. */
function describe({ title, name, scale, text }: Quantity, runs: readonly ChartedRun[]): string {
  const ends = runs.map(({ id, curves }) => {
    const { training, validation } = curves.curves[name]
    const [last, scored] = [training.at(-1), validation.at(-1)]
    const at = (point: Point | undefined) => (point?.y == null ? 'nothing yet' : text(point.y * scale))
    return `${id}: ${at(last)}${scored ? `, validation ${at(scored)}` : ''}`
  })
  return `Chart of ${title.toLowerCase()} over epochs. ${ends.join('; ')}`
}
