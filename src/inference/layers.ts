/** Activations of layers for one sample, and weights of the first layer, in numbers ready to be drawn. Any thread. */

import { TASK_FACTS, type Task } from '../config/tasks.js'
import { bytesOfFeatures } from '../data/input.js'
import { isSet } from '../data/scores/classification.js'
import type { Features } from '../data/source.js'
import { formatList, formatNumber } from '../format.js'
import { outputOf } from '../model/convolution.js'
import type { LayerPanel, WeightTile } from '../picture/layers.js'
import { mapsTitle } from '../picture/mosaic.js'
import type { InputShape } from '../tensor/input-shape.js'
import type { Predictor } from './predictor.js'

export interface LayerSummary {
  readonly layer: number
  readonly kind: 'input' | 'hidden' | 'output'
  readonly units: number
  /** Share of units above 0; for ReLU, of those that are on. */
  readonly active: number
  readonly least: number
  readonly most: number
  readonly values: Float32Array
  /** Shape of feature maps, whose values are (height, width, channels); else absent. */
  readonly maps?: InputShape | undefined
}

/** Activations for one sample (F), layer by layer. */
export function summarizeLayers(predictor: Predictor, sample: Features): LayerSummary[] {
  return predictor.activations(sample).map(({ layer, kind, values: { data: values } }) => {
    const convolution = kind === 'hidden' ? predictor.convolutions[layer - 1] : undefined
    return { layer, kind, ...summaryOf(values), ...(convolution && { maps: outputOf(convolution) }) }
  })
}

/** Summary of one layer's activations for one sample. */
export function summaryOf(values: Float32Array): Omit<LayerSummary, 'layer' | 'kind' | 'maps'> {
  let [on, least, most] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  // By index: `for of` over an array of numbers takes ten times as long.
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value > 0) on++
    least = Math.min(least, value)
    most = Math.max(most, value)
  }
  return { units: values.length, active: on / values.length, least, most, values }
}

/** Most outputs that are drawn with their names; more are a grid like any layer. */
export const MOST_NAMED = 12

/** Labels in a line. */
const MOST_SAID = 6

export function layerPanels(
  {
    height,
    width,
    channels,
    outputNames,
    source: { input },
  }: Pick<Predictor, 'height' | 'width' | 'channels' | 'outputNames'> & {
    readonly source: Pick<Predictor['source'], 'input'>
  },
  layers: readonly LayerSummary[],
): LayerPanel[] {
  return layers.map(({ layer, kind, units, active, values, maps }) => {
    const name = kind === 'hidden' ? `layer ${layer}` : kind
    const named = kind === 'output' && units <= MOST_NAMED
    const what = {
      input: input.dtype === 'uint8' ? 'pixels' : 'features',
      output: input.task === 'regression' ? 'numbers' : TASK_FACTS[input.task].outputs[1],
    }
    const isPicture = kind === 'input' && channels === 3
    return {
      title: isPicture
        ? `${name}: ${width} x ${height} pixels in colour`
        : maps
          ? `${name}: ${mapsTitle(maps)}`
          : `${name}: ${units} ${kind === 'hidden' ? 'units' : what[kind]}`,
      note:
        kind === 'output'
          ? `predicts ${saidBy(input.task, values, outputNames)}`
          : `${(100 * active).toFixed(0)} % active`,
      values,
      names: named ? outputNames : null,
      shape: isPicture || (kind === 'input' && values.length === height * width) ? { height, width } : null,
      ...(maps && { maps }),
      ...(isPicture && {
        picture: input.dtype === 'uint8' ? bytesOfFeatures(values, input.scaling) : aroundMean(values),
      }),
    }
  })
}

/** Standardised numbers as bytes: grey for the mean, white and black for three standard deviations from it. */
export const aroundMean = (values: ArrayLike<number>): Uint8Array =>
  Uint8Array.from(values, value => Math.min(Math.max(128 + (value * 127) / 3, 0), 255))

/** Labels that are set, for a line. */
export const labelsText = (names: readonly string[]): string =>
  names.length === 0 ? 'none' : formatList(names, MOST_SAID)

/** Answer of the outputs in words. */
export function saidBy(task: Task, values: Float32Array, outputNames: readonly string[]): string {
  switch (task) {
    case 'classification':
      return outputNames[values.indexOf(Math.max(...values))]
    case 'multi-label':
      return labelsText(outputNames.filter((_, k) => isSet(values[k])))
    case 'regression':
      return formatNumber(values[0])
  }
}

/**
 * Units of the first layer whose weights matter most, as images over the input: those with the largest norm of incoming times outgoing
 * weights, which measures how much of the input a unit takes in, and how much of its output is used. Of a convolution its filters, as
 * images over a window, those with the largest norm. By index among equals.
 */
export function importantUnits(predictor: Predictor, count: number): WeightTile[] {
  const incoming = predictor.parameter('layers.0.weight') // (F, U)
  const [features, units] = incoming.shape
  const hidden = predictor.widths.length > 2
  const isFilter = predictor.convolutions.length > 0
  const weights = Array.from({ length: units }, (_, unit) =>
    Float32Array.from({ length: features }, (_, i) => incoming.get(i, unit)),
  )
  const outgoing = hidden && !isFilter ? predictor.parameter('layers.1.weight') : null // (U, O)
  const heard = (unit: number) =>
    outgoing === null ? 1 : norm(Array.from({ length: outgoing.shape[1] }, (_, o) => outgoing.get(unit, o)))
  const captionOf = (unit: number) =>
    isFilter ? `filter ${unit}` : hidden ? `unit ${unit}` : predictor.outputNames[unit]
  return weights
    .map((values, unit) => ({ unit, values, importance: norm(values) * heard(unit) }))
    .sort((a, b) => b.importance - a.importance || a.unit - b.unit)
    .slice(0, count)
    .map(({ unit, values }) => ({ unit, values, caption: captionOf(unit) }))
}

const norm = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i]
  return Math.sqrt(sum)
}
