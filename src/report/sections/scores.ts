/** Scores beside accuracy, R² and loss, as a report shows them. Pure; any thread. */
import { SCORE_NAMES, SCORES, type ScoreName } from '../../config/scores.js'
import { formatLoss, formatNumber, formatPercent } from '../../format.js'
import type { RunSummary, Score } from '../../run/events.js'
import { type Html, html } from '../html.js'
import { table } from '../table.js'

interface ShownScore {
  readonly name: ScoreName
  readonly title: string
  readonly text: string
}

/** Scores that a summary shows anyway. */
const SHOWN: readonly ScoreName[] = ['r2']

function textOf(name: ScoreName, value: number | null): string {
  if (value === null) return 'undefined'
  if (name === 'rmse' || name === 'mae') return formatNumber(value)
  return (SCORES[name].form === 'percent' ? formatPercent : formatLoss)(value)
}

/** The scores that a split has, in the order of the table of scores. */
export const otherScores = (score: Score): ShownScore[] =>
  SCORE_NAMES.filter(name => score[name] !== undefined && !SHOWN.includes(name)).map(name => ({
    ...{ name, title: SCORES[name].title },
    text: textOf(name, score[name] ?? null),
  }))

/** A table of scores by split, with the reasons why some are undefined; null where a run has none, as older ones. */
export function scoresSection(summary: RunSummary | null): Html | null {
  const splits = (['test', 'validation'] as const).flatMap(split => {
    const score = summary?.[split]
    const scores = score ? otherScores(score) : []
    return score && scores.length > 0 ? [{ split, score, scores }] : []
  })
  if (splits.length === 0) return null
  const names = SCORE_NAMES.filter(name => splits.some(({ scores }) => scores.some(each => each.name === name)))
  const reasons = splits.flatMap(({ split, score }) =>
    Object.entries(score.reasons ?? {}).map(
      ([name, reason]) => `${SCORES[name as ScoreName]?.title ?? name} of the ${split} split is undefined: ${reason}.`,
    ),
  )
  return html`${table({
    name: 'Scores by split',
    caption: 'Scores of the final weights, as the documentation (docs/scores.md) defines them',
    head: ['score', ...splits.map(({ split }) => split)],
    rows: names.map(name => [
      SCORES[name].title,
      ...splits.map(({ scores }) => scores.find(each => each.name === name)?.text ?? null),
    ]),
  })}
${reasons.map(reason => html`<p class="note">${reason}</p>\n`)}`
}
