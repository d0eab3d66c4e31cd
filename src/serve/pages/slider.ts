/** Range and step of a number's slider, from what a model knows of the training rows. Pure; any thread, and the browser. */
import type { NumberEncoding } from '../../data/table/encoding.js'

export interface SliderRange {
  readonly min: number
  readonly max: number
  readonly step: number
}

/** Steps of a slider over numbers that are not whole. */
const FINE_STEPS = 200
/** Standard deviations to either side, where a file of an older version does not know the range. */
const DEVIATIONS = 2

export function sliderOf({ seen, knots, offset, factor }: NumberEncoding): SliderRange {
  const [min, max] = seen
    ? [seen.min, seen.max]
    : knots.length > 1
      ? [knots[0], knots[knots.length - 1]]
      : [offset - DEVIATIONS * (factor === 0 ? 1 : 1 / factor), offset + DEVIATIONS * (factor === 0 ? 1 : 1 / factor)]
  if (min === max) return { min: min - 1, max: max + 1, step: 1 }
  const step = seen?.step ?? roundStep((max - min) / FINE_STEPS)
  return { min: multiple(Math.floor(min / step), step), max: multiple(Math.ceil(max / step), step), step }
}

/** The nearest number that a slider can have, within its range or not. */
export const toStep = (value: number, { step }: SliderRange): number => multiple(Math.round(value / step), step)

/** 1, 2 or 5 times a power of ten, at most `wanted`. */
function roundStep(wanted: number): number {
  const power = Math.floor(Math.log10(wanted))
  const digit = [5, 2].find(digit => digit * 10 ** power <= wanted) ?? 1
  return Number(`${digit}e${power}`)
}

/** `count` steps; those below 1 without the last digits that the product would have. */
const multiple = (count: number, step: number): number =>
  step >= 1 ? count * step : Number((count * step).toPrecision(15))
