/** Section about the workers' time. Pure; any thread. */
import { formatDuration, formatPercent } from '../../format.js'
import { PHASES, timelineChart } from '../charts/timeline-chart.js'
import { data, type Html, html } from '../html.js'
import { table } from '../table.js'
import { sharesOf, type Timeline } from '../timeline.js'
import type { CourseAxis } from './curves.js'

export function workersSection(timeline: Timeline | null, course: CourseAxis): Html {
  if (timeline === null) return html`<p class="note">The run wrote down no times of its workers.</p>`
  return html`${timelineChart(timeline, course)}
${table({
  name: 'Time of each worker',
  caption: 'Time of each worker in training steps; start-up, scoring and files excluded',
  head: ['worker', ...PHASES],
  rows: timeline.workers.map((time, worker) => {
    const shares = sharesOf(time)
    const cell = (ms: number, phase: number) =>
      html`${data(ms, value => formatDuration(value / 1000))}${shares && html` (${data(shares[phase], value => formatPercent(value, 1))})`}`
    return [worker + 1, cell(time.computeMs, 0), cell(time.updateMs, 1), cell(time.waitMs, 2)]
  }),
})}`
}
