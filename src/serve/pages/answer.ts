/** Answer of a network of a table: probabilities as bars, or values by name. Browser. */
import { formatNumber, formatPercent } from '../../format.js'
import type { ModelFacts, PredictionJson } from '../protocol.js'
import { byId, element } from './dom.js'

/** Classes that have a bar each in their order; of more, the most probable are shown. */
const MOST_BARS = 20

/** Empties `#bars` and gives it the parts that `showAnswer` fills. */
export function prepareAnswer({ classNames, task }: ModelFacts): void {
  const count = Math.min(classNames.length, MOST_BARS)
  byId('verdict').textContent = ''
  byId('bars').replaceChildren(
    ...(task === 'regression' ? [] : Array.from({ length: count }, (_, i) => barOf(classNames[i]))),
  )
}

const barOf = (name: string): HTMLElement =>
  element(
    'tr',
    {},
    element('th', { scope: 'row', textContent: name, title: name }),
    element('td', {}, element('div', { className: 'track' }, element('div', { className: 'fill' }))),
    element('td', { textContent: '–' }),
  )

/** Shows a prediction; returns it as a sentence. */
export function showAnswer(prediction: PredictionJson, { classNames }: ModelFacts): string {
  const verdict = byId('verdict')
  if ('values' in prediction) {
    verdict.replaceChildren(...prediction.values.flatMap(({ name, value }) => targetOf(name, value)))
    return prediction.values.map(({ name, value }) => `${name} ${formatNumber(value)}`).join(', ')
  }
  if ('labels' in prediction) {
    const { labels } = prediction
    const set = labels.filter(({ isSet }) => isSet).map(({ name }) => name)
    verdict.replaceChildren(element('strong', { textContent: set.length > 0 ? set.join(', ') : 'none' }))
    showBars(labels.map(({ name, isSet, probability }) => ({ name, isBest: isSet, probability })))
    return set.length > 0 ? set.join(', ') : 'no label'
  }
  const { label, className, confidence, probabilities } = prediction
  const share = formatPercent(confidence, 1)
  verdict.replaceChildren(element('strong', { textContent: className }), `with ${share}`)
  showBars(probabilities.map((probability, i) => ({ name: classNames[i], isBest: i === label, probability })))
  return `${className} with ${share}`
}

interface Bar {
  readonly name: string
  readonly isBest: boolean
  readonly probability: number
}

function showBars(all: readonly Bar[]): void {
  const bars = all.length > MOST_BARS ? [...all].sort((a, b) => b.probability - a.probability) : all
  for (const [i, row] of [...byId<HTMLTableSectionElement>('bars').rows].entries()) {
    const { name, isBest, probability } = bars[i]
    row.className = isBest ? 'best' : ''
    row.cells[0].textContent = name
    row.cells[0].title = name
    // A classifier by squared error has its outputs as they are.
    row.querySelector<HTMLElement>('.fill')!.style.width = `${100 * Math.min(1, Math.max(0, probability))}%`
    row.cells[2].textContent = formatPercent(probability, 1)
  }
}

const targetOf = (name: string, value: number): Node[] => [
  element('span', { className: 'target faint', textContent: name, title: name }),
  element('strong', { className: 'value', textContent: formatNumber(value) }),
]
