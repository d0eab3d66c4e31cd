/** Summary of a run: experiment, scores, problems. Pure; any thread. */
import { formatCount, formatCounted, formatDuration, formatLoss, formatPercent } from '../../format.js'
import type { Score } from '../../run/events.js'
import { data, type Html, type HtmlValue, html } from '../html.js'
import type { RunReport } from '../report.js'
import { qualityOf } from './curves.js'
import { scoresSection } from './scores.js'

const STATUS: Readonly<Record<RunReport['status'], string>> = {
  completed: 'completed',
  interrupted: 'interrupted: stopped before its end',
  failed: 'failed',
  'not ended': 'not ended: it is still running, or was killed',
}

export function summarySection(run: RunReport): Html {
  const { status, experiment, widths, network: named, summary, test } = run
  const network = named ?? (widths ?? experiment.model.hidden).join('-')
  const trained = [
    experiment.data.dataset,
    `network ${network}`,
    experiment.optimizer.type,
    `batches of ${formatCount(experiment.train.batchSize)}`,
    `seed ${experiment.seed}`,
  ]
  return html`<p class="facts"><span class="status ${status === 'completed' ? 'good' : 'bad'}">${STATUS[status]}</span> ${trained.join(' · ')}</p>
<dl class="tiles">
${tiles(run).map(([name, value, more]) => html`<div><dt>${name}</dt><dd>${value}${more && html`<small>${more}</small>`}</dd></div>\n`)}</dl>
${scoresSection(summary)}${trouble(run).map(text => html`<p class="trouble">${text}</p>\n`)}${
  summary &&
  summary.test === null &&
  !('missing' in test) &&
  html`<p class="note">The run recorded no test scores; those below were computed from its weights.</p>`
}`
}

function tiles({ summary, curves, test, experiment }: RunReport): [string, HtmlValue, HtmlValue?][] {
  const of = qualityOf(curves)
  const [name, format] = of === 'r2' ? (['R²', formatLoss] as const) : (['accuracy', formatPercent] as const)
  const quality = (score: Partial<Score> | null) =>
    score?.[of] === null ? html`<span class="none">undefined</span>` : data(score?.[of], format)
  const last = curves.epochs.at(-1)
  const shown: [string, HtmlValue, HtmlValue?][] = []
  if (summary?.test) {
    shown.push([`test ${name}`, quality(summary.test), html`loss ${data(summary.test.loss, formatLoss)}`])
  } else if ('accuracy' in test) {
    shown.push([`test ${name}`, quality(test), 'of the last checkpoint'])
  } else shown.push([`test ${name}`, html`<span class="none">none</span>`])
  const validation = summary?.validation ?? last?.validation
  if (validation) {
    shown.push([`validation ${name}`, quality(validation), html`loss ${data(validation.loss, formatLoss)}`])
  }
  const train = summary?.train
  if (train?.[of] !== undefined) {
    shown.push([`training ${name}`, quality(train), html`loss ${data(train.loss, formatLoss)}`])
  } else if (last) {
    shown.push([
      `training ${name}`,
      quality(last.train),
      html`loss ${data(last.train?.loss, formatLoss)}, over the last epoch`,
    ])
  }
  const seconds = summary?.seconds ?? curves.epochs.reduce((sum, epoch) => sum + epoch.seconds, 0)
  const epochs = summary?.epochs ?? curves.epochs.length
  shown.push([
    'training time',
    data(seconds, formatDuration),
    html`${data(epochs, formatCount)} of ${data(experiment.train.epochs, formatCount)} epochs`,
  ])
  if (summary) {
    const steps = html`${data(summary.steps, formatCount)} steps`
    shown.push(['training samples per second', data(summary.samplesPerSecond, formatCount), steps])
    const { exchangeShares: shares } = summary
    if (shares) {
      const text = shares.map(share => formatPercent(share)).join(', ')
      shown.push(['in exchanges', html`${text}`, html`of the time of each rank`])
    }
    const on = html`${summary.backend}, ${summary.workers} ${summary.workers === 1 ? 'worker' : 'workers'}`
    shown.push(['parameters', data(summary.parameters, formatCount), on])
  }
  return shown
}

function trouble({ summary, curves, damagedLines }: RunReport): string[] {
  const stopped = { early: 'It ended early: no better score for long enough.', time: 'It ended early: out of time.' }
  return [
    ...(summary?.error ? [`It failed: ${summary.error}`] : []),
    ...(summary?.notSaved ? [`The final weights are not saved: ${summary.notSaved}`] : []),
    ...(curves.incidents.some(({ kind }) => kind === 'score-fault') ? [] : (summary?.notFinite ?? [])).map(
      split => `The ${split} score of the final weights is not finite.`,
    ),
    ...(summary?.stopped ? [stopped[summary.stopped]] : []),
    ...curves.incidents.map(({ step, text }) => `After step ${formatCount(step)}: ${text}`),
    ...(damagedLines > 0
      ? [
          `${formatCounted(damagedLines, 'line')} of metrics.jsonl cannot be read and ${damagedLines === 1 ? 'is' : 'are'} ignored.`,
        ]
      : []),
  ]
}
