/** Text output of `predict`. Pure. */
import { basename } from 'node:path'
import { formatNumber, formatPercent } from '../format.js'
import type { Answer, PredictedValue } from '../inference/ask.js'
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

function verdict({ top, truth }: Answer): string {
  if (truth === null) return ''
  return truth.label === top[0].label ? '  correct' : `  WRONG, it is ${truth.className}`
}

export function answerJson({ index, file, steps, top, truth, values }: Answer): object {
  if (values.length > 0) return { ...(index === null ? { file, steps } : { index }), values }
  const [{ label, className, probability }] = top
  return {
    ...(index === null ? { file, steps } : { index }),
    ...{ label, className, confidence: probability, top },
    ...(truth === null ? {} : { truth, correct: truth.label === label }),
  }
}

export function tileOf({ index, file, pixels, top, truth, values }: Answer): SheetTile {
  const name = index === null ? basename(String(file)) : `#${index}`
  if (values.length > 0) {
    const [{ value, truth: is }] = values
    const number = { value: formatNumber(value), truth: is === null ? null : formatNumber(is) }
    return { pixels, number, name }
  }
  const [{ className, probability: confidence }] = top
  return { pixels, className, confidence, truth: truth?.className ?? null, name }
}
