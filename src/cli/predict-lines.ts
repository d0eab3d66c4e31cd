/** What `predict` says, as text. Pure. */
import { basename } from 'node:path'
import type { Answer } from '../inference/ask.js'
import type { SheetTile } from '../picture/sheet.js'
import { formatPercent } from './format.js'
import type { Paint } from './paint.js'

/** One image: which, how it was prepared, itself, and what the network says. */
export function answerLines(answer: Answer, image: readonly string[], paint: Paint): string[] {
  const [best, ...others] = answer.top
  const name = answer.index === null ? String(answer.file) : `test image ${answer.index}`
  const line = `${best.className}, ${formatPercent(best.probability)}`
  return [
    paint.strong(name),
    ...(answer.steps.length === 0 ? [] : [paint.faint(answer.steps.join('; '))]),
    ...image,
    `${paint.strong(line)}${verdict(answer)}`,
    paint.faint(
      `then ${others.map(({ className, probability }) => `${className}, ${formatPercent(probability)}`).join('; ')}`,
    ),
  ]
}

function verdict({ top, truth }: Answer): string {
  if (truth === null) return ''
  return truth.label === top[0].label ? '  right' : `  WRONG, it is ${truth.className}`
}

export function answerJson({ index, file, steps, top, truth }: Answer): object {
  const [{ label, className, probability }] = top
  return {
    ...(index === null ? { file, steps } : { index }),
    ...{ label, className, confidence: probability, top },
    ...(truth === null ? {} : { truth, correct: truth.label === label }),
  }
}

export function tileOf({ index, file, pixels, top, truth }: Answer): SheetTile {
  return {
    ...{ pixels, className: top[0].className, confidence: top[0].probability },
    truth: truth?.className ?? null,
    name: index === null ? basename(String(file)) : `#${index}`,
  }
}
