/** Text output of `predict`. Pure. */
import { basename } from 'node:path'
import { formatNumber, formatPercent } from '../format.js'
import type { Answer, PredictedLabel, PredictedValue } from '../inference/ask.js'
import { labelsText } from '../inference/layers.js'
import type { SheetTile } from '../picture/sheet.js'
import type { Paint } from './paint.js'

/** Lines for one image: name, preprocessing, the image, and the prediction. */
export function answerLines(answer: Answer, image: readonly string[], paint: Paint): string[] {
  const name =
    answer.index === null
      ? String(answer.file)
      : `test ${answer.features instanceof Uint8Array ? 'image' : 'row'} ${answer.index}`
  const about = [
    paint.strong(name),
    ...(answer.steps.length === 0 ? [] : [paint.faint(answer.steps.join('; '))]),
    ...image,
  ]
  if (answer.values.length > 0) return [...about, ...answer.values.map(value => valueLine(value, paint))]
  if (answer.labels.length > 0) return [...about, ...answer.labels.map(label => labelLine(label, paint))]
  const [best, ...others] = answer.top
  const line = `${best.className}, ${formatPercent(best.probability)}`
  return [
    ...about,
    `${paint.strong(line)}${verdict(answer)}`,
    paint.faint(
      `then ${others.map(({ className, probability }) => `${className}, ${formatPercent(probability)}`).join('; ')}`,
    ),
  ]
}

function valueLine({ name, value, truth }: PredictedValue, paint: Paint): string {
  const said = paint.strong(`${name} ${formatNumber(value)}`)
  if (truth === null) return said
  const error = value - truth
  if (error === 0) return `${said}  correct`
  return `${said}  truth ${formatNumber(truth)}, ${formatNumber(Math.abs(error))} too ${error < 0 ? 'low' : 'high'}`
}

function labelLine({ name, isSet, probability, truth }: PredictedLabel, paint: Paint): string {
  const said = paint.strong(`${name}: ${yesNo(isSet)}, ${formatPercent(probability)}`)
  if (truth === null) return said
  return truth === isSet ? `${said}  correct` : `${said}  WRONG, it is ${yesNo(truth)}`
}

const yesNo = (isSet: boolean): string => (isSet ? 'yes' : 'no')

function verdict({ top, truth }: Answer): string {
  if (truth === null) return ''
  return truth.label === top[0].label ? '  correct' : `  WRONG, it is ${truth.className}`
}

export function answerJson({ index, file, steps, top, truth, labels, values }: Answer): object {
  const about = index === null ? { file, steps } : { index }
  if (values.length > 0) return { ...about, values }
  if (labels.length > 0) {
    const isKnown = labels.every(({ truth: is }) => is !== null)
    return { ...about, labels, ...(isKnown && { correct: labels.every(({ isSet, truth: is }) => isSet === is) }) }
  }
  const [{ label, className, probability }] = top
  return {
    ...about,
    ...{ label, className, confidence: probability, top },
    ...(truth === null ? {} : { truth, correct: truth.label === label }),
  }
}

export function tileOf({ index, file, pixels, top, truth, labels, values }: Answer): SheetTile {
  const name = index === null ? basename(String(file)) : `#${index}`
  if (values.length > 0) {
    const [{ value, truth: is }] = values
    const number = { value: formatNumber(value), truth: is === null ? null : formatNumber(is) }
    return { pixels, number, name }
  }
  if (labels.length > 0) {
    const named = (isIn: (label: PredictedLabel) => boolean) => labelsText(labels.filter(isIn).map(label => label.name))
    return {
      ...{ pixels, name, className: named(({ isSet }) => isSet) },
      // Confidence in the label that the network is least sure of.
      confidence: Math.min(...labels.map(({ probability: p }) => Math.max(p, 1 - p))),
      truth: labels[0].truth === null ? null : named(label => label.truth === true),
    }
  }
  const [{ className, probability: confidence }] = top
  return { pixels, className, confidence, truth: truth?.className ?? null, name }
}
