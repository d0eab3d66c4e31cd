/** The charts of `Watch`, drawn by uPlot: one a quantity, with the curves of all runs. Browser. */

import { formatCount, formatLoss, formatPercent } from '../../cli/format.js'
import type { CurveName, Point, RunCurves } from './curves.js'
import { element } from './dom.js'
import uPlot from './uplot.js'

interface Quantity {
  readonly name: CurveName
  readonly title: string
  readonly unit: string
  /** What one is drawn as: percent, not a fraction. */
  readonly scale: number
  readonly text: (value: number) => string
}

const QUANTITIES: readonly Quantity[] = [
  { name: 'loss', title: 'Loss', unit: 'cross-entropy, nats', scale: 1, text: formatLoss },
  {
    ...{ name: 'accuracy', title: 'Accuracy', unit: 'right answers, %', scale: 100 },
    text: value => formatPercent(value / 100),
  },
  { name: 'learningRate', title: 'Learning rate', unit: 'step size', scale: 1, text: value => value.toPrecision(3) },
  { name: 'throughput', title: 'Throughput', unit: 'samples per second', scale: 1, text: formatCount },
]

/** As many as there are colours; further runs begin anew with other dashes. */
const COLOURS = 6
const DASHES = [[], [10, 4, 2, 4]] as const
const HEIGHT = 270

export const colourVariable = (run: number): string => `--series-${run % COLOURS}`

export interface ChartedRun {
  readonly id: string
  readonly curves: RunCurves
}

export class Charts {
  readonly #panels: { readonly quantity: Quantity; readonly place: HTMLElement; plot: uPlot | null }[]
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
      return { quantity, place: plot, plot: null }
    })
    new ResizeObserver(() => this.#resize()).observe(place)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.show(this.#runs, true))
  }

  /** Draws what the runs have now; `anew` where there are other runs or colours than before. */
  show(runs: readonly ChartedRun[], anew: boolean): void {
    this.#runs = runs
    for (const panel of this.#panels) {
      const { quantity, place } = panel
      const lines = runs.map(({ curves }) => curves.curves[quantity.name])
      const hasValidation = quantity.name === 'loss' || quantity.name === 'accuracy'
      const tables = lines.flatMap(({ training, validation }) =>
        [training, ...(hasValidation ? [validation] : [])].map(points => tableOf(points, quantity.scale)),
      )
      const data = tables.length > 0 ? uPlot.join(tables) : ([[]] as unknown as uPlot.AlignedData)
      if (anew || panel.plot === null) {
        panel.plot?.destroy()
        panel.plot = new uPlot(this.#options(quantity, place, hasValidation), data, place)
      } else panel.plot.setData(data)
      place.ariaLabel = describe(quantity, runs)
    }
  }

  #resize(): void {
    for (const { plot, place } of this.#panels) {
      if (plot && place.clientWidth !== plot.width) plot.setSize({ width: place.clientWidth, height: HEIGHT })
    }
  }

  #options({ title, unit, text }: Quantity, place: HTMLElement, hasValidation: boolean): uPlot.Options {
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
    return {
      width: place.clientWidth,
      height: HEIGHT,
      scales: { x: { time: false } },
      cursor: { sync: { key: 'runs' } },
      axes: [
        { ...axis, label: 'epochs', labelSize: 18, size: 34 },
        { ...axis, label: `${title.toLowerCase()}, ${unit}`, labelSize: 20, size: 62 },
      ],
      series: [
        { label: 'epoch', value: (_plot, x: number | null) => (x === null ? '–' : x.toFixed(2)) },
        ...this.#runs.flatMap(({ id }, i): uPlot.Series[] => {
          const line = { stroke: colour(colourVariable(i)), width: 2, spanGaps: false, value }
          const dash = DASHES[Math.floor(i / COLOURS) % DASHES.length]
          const name = this.#runs.length > 1 ? `${id}, ` : ''
          return [
            { ...line, label: `${name}training`, dash: [...dash], points: { show: false } },
            ...(hasValidation
              ? [{ ...line, label: `${name}validation`, dash: [5, 4], points: { show: true, size: 5 } }]
              : []),
          ]
        }),
      ],
    }
  }
}

/** Of two columns. A number that is not finite leaves a gap. */
const tableOf = (points: readonly Point[], scale: number): uPlot.AlignedData => [
  points.map(({ x }) => x),
  points.map(({ y }) => (y === null ? null : y * scale)),
]

/** What the chart shows, for those who do not see it: where each curve is now. */
function describe({ title, name, scale, text }: Quantity, runs: readonly ChartedRun[]): string {
  const ends = runs.map(({ id, curves }) => {
    const { training, validation } = curves.curves[name]
    const [last, scored] = [training.at(-1), validation.at(-1)]
    const at = (point: Point | undefined) => (point?.y == null ? 'nothing yet' : text(point.y * scale))
    return `${id}: ${at(last)}${scored ? `, validation ${at(scored)}` : ''}`
  })
  return `Chart of ${title.toLowerCase()} over epochs. ${ends.join('; ')}`
}
