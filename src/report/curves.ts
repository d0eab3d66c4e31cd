/** Course of a run by step and by epoch, from its events. Pure; any thread. */
import { formatCount } from '../format.js'
import type { Score } from '../run/events.js'
import { numberOf } from '../run/numbers.js'
import type { StoredEvent } from './run-files.js'

/** Steps that an incident names one by one. */
const NAMED_STEPS = 3

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
  /** Mean over the epoch, with dropout on; null if every mini-batch was skipped. */
  readonly train: Score | null
  /** Score after the epoch; null if there is no validation split, or it is not finite. */
  readonly validation: Score | null
  readonly learningRate: number
  readonly seconds: number
  readonly samplesPerSecond: number
}

/** A problem that the run reported. */
export interface Incident {
  readonly kind: 'non-finite' | 'restart' | 'score-fault'
  readonly step: number
  readonly text: string
  /** All steps after which it happened, the first among them. */
  readonly steps: readonly number[]
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
    evaluations: of('evaluation').flatMap(({ step, validation }) =>
      validation ? [{ step: numberOf(step), ...scoreOf(validation) }] : [],
    ),
    incidents: incidentsOf(events),
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
  return {
    epoch,
    step,
    train: event.train ? scoreOf(event.train) : null,
    validation,
    learningRate,
    seconds,
    samplesPerSecond,
  }
}

function scoreOf(value: unknown): Score {
  const { loss, accuracy, r2 } = (value ?? {}) as Record<string, unknown>
  return {
    loss: numberOf(loss),
    ...(accuracy !== undefined && { accuracy: numberOf(accuracy) }),
    ...(r2 !== undefined && { r2: r2 === null ? null : numberOf(r2) }),
  }
}

/** Incidents in their order; steps that were left out, and scores that were not finite, are one incident of each kind. */
function incidentsOf(events: readonly StoredEvent[]): Incident[] {
  const found = new Map<string, Omit<Incident, 'steps'> & { readonly steps: number[] }>()
  for (const event of events) {
    const incident = incidentOf(event)
    if (!incident) continue
    const isFrequent = incident.kind === 'score-fault' || event.action === 'skip'
    const key = isFrequent ? `${incident.kind} ${event.split}` : String(found.size)
    const same = found.get(key)
    if (same) same.steps.push(incident.step)
    else found.set(key, { ...incident, steps: [incident.step] })
  }
  return [...found.values()].map(({ text, steps, ...incident }) => {
    if (steps.length === 1) return { ...incident, text, steps }
    const named = steps.slice(1, NAMED_STEPS).join(', ')
    const more = steps.length > NAMED_STEPS ? ` and ${formatCount(steps.length - NAMED_STEPS)} more` : ''
    const again = `the same happened ${formatCount(steps.length)} times in all, next after step ${named}${more}`
    return { ...incident, text: `${text}; ${again}`, steps }
  })
}

function incidentOf({ type, ...event }: StoredEvent): Omit<Incident, 'steps'> | undefined {
  const step = numberOf(event.step)
  if (type === 'restart') {
    const from = event.from === 'memory' ? 'the end of the last step' : `the ${event.from}`
    return { kind: 'restart', step, text: `workers were replaced, continuing from ${from}: ${event.error}` }
  }
  if (type === 'score-fault') {
    return { kind: 'score-fault', step, text: `the ${event.split} score is not finite: ${event.fault}` }
  }
  if (type !== 'non-finite') return undefined
  const what = `step ${event.at}: ${event.fault}`
  return {
    kind: 'non-finite',
    step,
    text:
      event.action === 'skip'
        ? `${what}; it was skipped`
        : `${what}; back to step ${step}, with ${numberOf(event.rateFactor).toPrecision(3)} times the learning rate`,
  }
}
