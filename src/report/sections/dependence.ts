/** Charts of partial dependence: lines over numbers and dates, dots for categories. Pure; any thread. */
import { TASK_FACTS, type Task } from '../../config/tasks.js'
import { formatCounted, formatNumber, formatPercent, formatShort } from '../../format.js'
import type { Dependence, DependencePoint } from '../../inference/table/dependence.js'
import { dateText } from '../../inference/table/field-text.js'
import { dotChart } from '../charts/dot-chart.js'
import { lineChart, STYLES } from '../charts/line-chart.js'
import { linearScale, type Scale } from '../charts/scale.js'
import type { Html } from '../html.js'
import type { TableResults } from '../table-results.js'

/** Charts of each column, if outputs have units of their own. */
const MOST_TARGETS = 3
const MOST_CHARACTERS = 28

export const outputFormat = (task: Task): ((value: number) => string) =>
  task === 'regression' ? formatNumber : value => formatPercent(value, 1)

/** Outputs that share an axis. */
interface Panel {
  readonly label: string
  readonly outputs: readonly { readonly index: number; readonly name: string }[]
  readonly scale: Scale
}

/** A chart for each column; of a regression with several targets, for each column and target. */
export function dependenceCharts(results: TableResults): Html[] {
  const panels = panelsOf(results)
  return results.dependence.flatMap(each => panels.map(panel => chart(each, panel, results.task, panels.length > 1)))
}

function panelsOf({ dependence, outputs, task }: TableResults): Panel[] {
  const valuesOf = (index: number) => dependence.flatMap(({ points }) => points.map(point => point.outputs[index]))
  const panel = (label: string, indices: readonly number[]): Panel => {
    const all = indices.flatMap(valuesOf)
    const scale = linearScale(Math.min(...all), Math.max(...all))
    return { label, scale, outputs: indices.map(index => ({ index, name: outputs[index] })) }
  }
  if (task === 'regression') {
    return outputs
      .slice(0, MOST_TARGETS)
      .map((name, index) => panel(`predicted ${formatShort(name, MOST_CHARACTERS)}`, [index]))
  }
  if (task === 'classification' && outputs.length === 2)
    return [panel(`probability of ${formatShort(outputs[1], MOST_CHARACTERS)}`, [1])]
  // The classes whose probability varies most.
  const range = (index: number) => Math.max(...valuesOf(index)) - Math.min(...valuesOf(index))
  const indices = [...outputs.keys()].sort((a, b) => range(b) - range(a) || a - b).slice(0, STYLES)
  const which =
    outputs.length > STYLES
      ? `probability, the ${STYLES} of ${outputs.length} ${TASK_FACTS[task].outputs[1]} that vary most`
      : 'probability'
  return [
    panel(
      which,
      indices.sort((a, b) => a - b),
    ),
  ]
}

function chart(
  { column, kind, points }: Dependence,
  { label, outputs, scale }: Panel,
  task: Task,
  isOneOfSeveral: boolean,
): Html {
  const format = outputFormat(task)
  const tick = task === 'regression' ? formatNumber : (value: number) => `${Number((100 * value).toFixed(1))} %`
  const title = formatShort(column, MOST_CHARACTERS) + (isOneOfSeveral ? `: ${outputs[0].name}` : '')
  const summary = summaryOf(points, outputs, format)
  if (kind === 'category' || kind === 'boolean') {
    return dotChart({
      ...{ title, summary, label, scale, format, tick },
      names: points.map(({ text }) => text ?? 'missing'),
      series: outputs.map(({ index, name }, style) => ({
        ...{ name, style },
        values: points.map(point => point.outputs[index]),
      })),
    })
  }
  const present = points.flatMap(point => (point.at === null ? [] : [{ ...point, at: point.at }]))
  const axis = axisOf(
    present.map(({ at }) => at),
    kind,
  )
  const missing = points.find(({ at }) => at === null)
  return lineChart({
    ...{ title, summary, marks: [] },
    ...(missing && { note: missingNote(missing, column, outputs, format) }),
    x: { label: column, ...axis },
    y: { label, scale, format, tick },
    series: outputs.map(({ index, name }, style) => ({
      ...{ name, style },
      points: present.map(point => ({ x: point.at, y: point.outputs[index] })),
    })),
  })
}

function missingNote(
  { outputs: means, count }: DependencePoint,
  column: string,
  outputs: Panel['outputs'],
  format: (value: number) => string,
): string {
  const said = outputs.map(({ index, name }) => `${outputs.length > 1 ? `${name} ` : ''}${format(means[index])}`)
  return `Where ${column} is missing, in ${formatCounted(count, 'row')}: ${said.join(', ')}.`
}

function axisOf(values: readonly number[], kind: Dependence['kind']) {
  const [low, high] = [values[0] ?? 0, values.at(-1) ?? 1]
  if (kind !== 'date') return { scale: linearScale(low, high, { exact: true }), format: formatNumber }
  const range = high > low ? high - low : 1
  const scale: Scale = {
    ...{ low, high: low + range, ticks: [0.1, 0.5, 0.9].map(share => low + share * range) },
    share: value => (value - low) / range,
  }
  const text = dateText(Float64Array.from(values))
  return { scale, format: (seconds: number) => text(Math.round(seconds)) }
}

/** The values with the least and the largest mean of each output. */
function summaryOf(
  points: readonly DependencePoint[],
  outputs: Panel['outputs'],
  format: (value: number) => string,
): string {
  return outputs
    .map(({ index, name }) => {
      const sorted = [...points].sort((a, b) => a.outputs[index] - b.outputs[index])
      const [least, most] = [sorted[0], sorted[sorted.length - 1]]
      const at = (point: DependencePoint) => `${format(point.outputs[index])} at ${point.text ?? 'missing'}`
      return `${name}: from ${at(least)} to ${at(most)}.`
    })
    .join(' ')
}
