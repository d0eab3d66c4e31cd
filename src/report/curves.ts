/** Course of a run by step and by epoch, from its events. Pure; any thread. */
import type { Score } from '../run/events.js'
import { numberOf } from '../run/numbers.js'
import type { StoredEvent } from './run-files.js'

/** Mean over the steps since the previous point; may be NaN or infinite. */
export interface StepPoint extends Score {
  readonly step: number
  readonly learningRate: number
  readonly samplesPerSecond: number
}

export interface EpochPoint {
  /** Epoch, counted from 1. */
  readonly epoch: number
  readonly step: number
  /** Training score over the epoch, with dropout active. */
  readonly train: Score
  /** After it; null where no rows are held out. */
  readonly validation: Score | null
  readonly learningRate: number
  readonly seconds: number
  readonly samplesPerSecond: number
}

/** A problem that the run reported. */
export interface Incident {
  readonly kind: 'non-finite' | 'restart'
  readonly step: number
  readonly text: string
}

export interface Curves {
  /** Total steps; null where no event has it. */
  readonly stepsPerEpoch: number | null
  readonly steps: readonly StepPoint[]
  readonly epochs: readonly EpochPoint[]
  /** Validation scores within epochs. */
  readonly evaluations: readonly ({ readonly step: number } & Score)[]
  readonly incidents: readonly Incident[]
}

export function curvesOf(events: readonly StoredEvent[]): Curves {
  const of = (type: string) => events.filter(event => event.type === type)
  const epochs = of('epoch').map(epochPoint)
  const last = epochs.at(-1)
  const declared = numberOf(of('start').at(-1)?.stepsPerEpoch)
  const counted = last ? last.step / last.epoch : Number.NaN
  const stepsPerEpoch = declared > 0 ? declared : counted > 0 ? counted : null
  return {
    stepsPerEpoch,
    steps: of('steps').map(stepPoint),
    epochs,
    evaluations: of('evaluation').map(({ step, validation }) => ({ step: numberOf(step), ...scoreOf(validation) })),
    incidents: events.flatMap(event => incidentOf(event) ?? []),
  }
}

function stepPoint(event: StoredEvent): StepPoint {
  const [step, learningRate, samplesPerSecond] = (['step', 'learningRate', 'samplesPerSecond'] as const).map(field =>
    numberOf(event[field]),
  )
  return { step, ...scoreOf(event), learningRate, samplesPerSecond }
}

function epochPoint(event: StoredEvent): EpochPoint {
  const [epoch, step, learningRate, seconds, samplesPerSecond] = (
    ['epoch', 'step', 'learningRate', 'seconds', 'samplesPerSecond'] as const
  ).map(field => numberOf(event[field]))
  const validation = event.validation ? scoreOf(event.validation) : null
  return { epoch, step, train: scoreOf(event.train), validation, learningRate, seconds, samplesPerSecond }
}

function scoreOf(value: unknown): Score {
  const { loss, accuracy, r2 } = (value ?? {}) as Record<string, unknown>
  return { loss: numberOf(loss), ...(r2 === undefined ? { accuracy: numberOf(accuracy) } : { r2: numberOf(r2) }) }
}

function incidentOf({ type, ...event }: StoredEvent): Incident | undefined {
  const step = numberOf(event.step)
  if (type === 'restart') {
    const from = event.from === 'memory' ? 'the end of the last step' : `the ${event.from}`
    return { kind: 'restart', step, text: `workers were replaced, on from ${from}: ${event.error}` }
  }
  if (type !== 'non-finite') return undefined
  const what = `step ${event.at}: ${event.fault}`
  return {
    kind: 'non-finite',
    step,
    text:
      event.action === 'skip'
        ? `${what}; it was left out`
        : `${what}; back to step ${step}, with ${numberOf(event.rateFactor).toPrecision(3)} times the learning rate`,
  }
}
