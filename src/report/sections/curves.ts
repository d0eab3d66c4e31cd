/** Loss, accuracy, learning rate and throughput over a run. Pure; any thread. */
import { formatCount, formatDuration, formatLoss, formatPercent } from '../../format.js'
import type { Score } from '../../run/events.js'
import { type LineChart, lineChart, type Point, type Series } from '../charts/line-chart.js'
import { linearScale, type Scale, scaleFromZero, shareScale } from '../charts/scale.js'
import type { Curves } from '../curves.js'
import { data, type Html, html } from '../html.js'
import { folded, table } from '../table.js'

/** Number of epochs up to which steps within epochs are shown too. */
const FEW_EPOCHS = 40
/** Rows of the table of epochs; longer runs show a selection. */
const MOST_ROWS = 500

/** Position in a run, the x axis of all charts. */
export interface CourseAxis {
  readonly label: string
  readonly scale: Scale
  at(step: number): number
  format(x: number): string
}

export function courseOf({ stepsPerEpoch, steps, epochs }: Curves): CourseAxis {
  const last = Math.max(0, ...steps.map(({ step }) => step), ...epochs.map(({ step }) => step))
  const per = stepsPerEpoch ?? 1
  const unit = stepsPerEpoch === null ? 'step' : 'epoch'
  return {
    label: unit === 'epoch' ? 'epochs' : 'steps',
    scale: linearScale(0, last / per, { exact: true }),
    at: step => step / per,
    format: x => (Number.isInteger(x) ? formatCount(x) : String(Number(x.toPrecision(3)))),
  }
}

export function curvesSection(curves: Curves): Html {
  const { epochs, steps, incidents } = curves
  if (epochs.length + steps.length === 0) return html`<p class="note">No step was finished, so there are no curves.</p>`
  const course = courseOf(curves)
  const marks = incidents
    .flatMap(({ steps }) => steps.map(step => course.at(step)))
    .filter(at => at <= course.scale.high)
  const lost = [...steps, ...trainedIn(epochs)].some(({ loss }) => !Number.isFinite(loss))
  const notes = [
    ...(marks.length > 0 ? ['Vertical lines: where the run was disturbed; see above.'] : []),
    ...(lost ? ['Crosses at the top: the number is not finite.'] : []),
  ]
  return html`<div class="charts">
${lossChart(curves, course, marks)}${qualityChart(curves, course, marks)}${rateChart(curves, course, marks)}${speedChart(curves, course, marks)}</div>
${notes.length > 0 && html`<p class="note">${notes.join(' ')}</p>`}
${epochs.length > 0 && folded('The numbers of each epoch', epochTable(curves))}`
}

/** Training loss per epoch; per step too in an unfinished epoch, and in a run with few epochs. */
function trainSeries({ epochs, steps }: Curves, course: CourseAxis, of: 'loss' | 'accuracy' | 'r2'): Series[] {
  const fine = steps.flatMap(point => pointOf(course, point.step, point[of]))
  if (epochs.length === 0) return fine.length > 0 ? [{ name: 'training', points: fine, style: 0 }] : []
  const coarse = epochs.flatMap(({ step, train }) => pointOf(course, step, train?.[of]))
  const all: Series = { name: 'training, steps', points: fine, style: 0, faint: true }
  return [
    ...(epochs.length <= FEW_EPOCHS && fine.length > 1.5 * epochs.length ? [all] : []),
    ...(coarse.length > 0 ? [{ name: 'training', points: coarse, style: 0 } as const] : []),
  ]
}

/** Point of a score; none if it is missing or undefined. One that was not finite, as older runs have it, is NaN. */
const pointOf = (course: CourseAxis, step: number, y: number | null | undefined): Point[] =>
  typeof y === 'number' ? [{ x: course.at(step), y }] : []

const trainedIn = (epochs: Curves['epochs']): Score[] => epochs.flatMap(({ train }) => train ?? [])

function validationSeries(
  { epochs, evaluations }: Curves,
  course: CourseAxis,
  of: 'loss' | 'accuracy' | 'r2',
): Series[] {
  const points: Point[] = [
    ...epochs.flatMap(({ step, validation }) => pointOf(course, step, validation?.[of])),
    ...evaluations.flatMap(({ step, ...score }) => pointOf(course, step, score[of])),
  ].sort((a, b) => a.x - b.x)
  return points.length === 0 ? [] : [{ name: 'validation', points, style: 1 }]
}

function lossChart(curves: Curves, course: CourseAxis, marks: readonly number[]): Html {
  const series = [...trainSeries(curves, course, 'loss'), ...validationSeries(curves, course, 'loss')]
  const scale = scaleFromZero(finiteOf(series))
  return chart({
    ...{ title: 'Loss', series, marks, x: course },
    y: { label: `mean loss${isLog(scale) ? ', logarithmic' : ''}`, scale, format: formatLoss, tick: shortNumber },
  })
}

/** Score that should increase: accuracy, or R² for regression. */
export const qualityOf = ({ epochs, steps }: Curves): 'accuracy' | 'r2' =>
  [...trainedIn(epochs), ...steps].some(({ accuracy }) => accuracy !== undefined) ||
  trainedIn(epochs).length + steps.length === 0
    ? 'accuracy'
    : 'r2'

function qualityChart(curves: Curves, course: CourseAxis, marks: readonly number[]): Html {
  const of = qualityOf(curves)
  const series = [...trainSeries(curves, course, of), ...validationSeries(curves, course, of)]
  if (of === 'r2') {
    const scale = linearScale(Math.min(0, ...finiteOf(series)), 1)
    return chart({
      ...{ title: 'R²', series, marks, x: course },
      y: { label: 'share of the variance explained', scale, format: formatLoss, tick: shortNumber },
    })
  }
  const scale = shareScale(finiteOf(series))
  return chart({
    ...{ title: 'Accuracy', series, marks, x: course },
    y: { label: 'fraction of samples that are correct', scale, format: formatPercent, tick: shareTick(scale) },
  })
}

function rateChart(curves: Curves, course: CourseAxis, marks: readonly number[]): Html {
  const points = curves.steps.map(({ step, learningRate }) => ({ x: course.at(step), y: learningRate }))
  const series = [{ name: 'learning rate', points, style: 2 }]
  const scale = scaleFromZero(finiteOf(series))
  return chart({
    ...{ title: 'Learning rate', series, marks, x: course },
    y: { label: `learning rate${isLog(scale) ? ', logarithmic' : ''}`, scale, format: shortNumber, tick: shortNumber },
  })
}

function speedChart(curves: Curves, course: CourseAxis, marks: readonly number[]): Html {
  const points = curves.steps.map(({ step, samplesPerSecond }) => ({ x: course.at(step), y: samplesPerSecond }))
  const series = [{ name: 'throughput', points, style: 3 }]
  const scale = linearScale(0, Math.max(0, ...finiteOf(series)))
  return chart({
    ...{ title: 'Throughput', series, marks, x: course },
    y: { label: 'training samples per second', scale, format: formatCount, tick: formatCount },
  })
}

/** Formats an axis mark with as many digits as the marks need to differ. */
export function shareTick({ ticks }: Scale): (share: number) => string {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1
  const digits = step >= 0.0099 ? 0 : step >= 0.00099 ? 1 : 2
  return share => formatPercent(share, digits)
}

const isLog = ({ low }: Scale): boolean => low > 0
export const shortNumber = (value: number): string => String(Number(value.toPrecision(3)))
const finiteOf = (series: readonly Series[]): number[] =>
  series.flatMap(({ points }) => points.flatMap(({ y }) => (Number.isFinite(y) ? [y] : [])))

const chart = (parts: Omit<LineChart, 'summary'>): Html => lineChart({ ...parts, summary: inWords(parts) })

function inWords({ series, x, y }: Omit<LineChart, 'summary'>): string {
  return series
    .filter(({ faint }) => !faint)
    .map(({ name, points }) => {
      const finite = points.filter(point => Number.isFinite(point.y))
      const lost = points.length - finite.length
      const [first, last] = [finite[0], finite.at(-1)]
      const course =
        first && last
          ? `from ${y.format(first.y)} to ${y.format(last.y)} over ${x.format(last.x)} ${x.label}`
          : 'no finite number'
      return `${name}: ${course}${lost > 0 ? `, ${lost} not finite` : ''}`
    })
    .join('; ')
}

function epochTable(curves: Curves): Html {
  const { epochs } = curves
  const of = qualityOf(curves)
  const name = of === 'r2' ? 'R²' : 'accuracy'
  const each = Math.ceil(epochs.length / MOST_ROWS)
  const shown = epochs.filter((_, i) => i % each === 0 || i === epochs.length - 1)
  const validated = epochs.some(({ validation }) => validation !== null)
  const quality = (score: Score | null) => data(score?.[of] ?? null, of === 'r2' ? formatLoss : formatPercent)
  return table({
    name: 'Numbers of each epoch',
    caption: html`Epochs${each > 1 && `, every ${each}th of ${epochs.length}`}. Training scores are means over the epoch, as it went on, with dropout.`,
    head: [
      ...['epoch', 'steps', 'training loss', `training ${name}`],
      ...(validated ? ['validation loss', `validation ${name}`] : []),
      ...['learning rate', 'time', 'samples/s'],
    ],
    rows: shown.map(({ epoch, step, train, validation, learningRate, seconds, samplesPerSecond }) => [
      ...[data(epoch, formatCount), data(step, formatCount), data(train?.loss, formatLoss), quality(train)],
      ...(validated ? [data(validation?.loss, formatLoss), quality(validation)] : []),
      ...[data(learningRate, shortNumber), data(seconds, formatDuration), data(samplesPerSecond, formatCount)],
    ]),
  })
}
