/** Text output of `train`: events in, lines out. Pure; progress.ts handles the terminal. */
import { dirname, isAbsolute, join, relative } from 'node:path'
import { SCORE_NAMES, SCORES, type ScoreName, type ScoreValues } from '../config/scores.js'
import {
  formatBytes,
  formatCount,
  formatCounted,
  formatDuration,
  formatEta,
  formatList,
  formatLoss,
  formatPercent,
  shellWord,
} from '../format.js'
import type { EpochEvent, ProgressEvent, RunSummary, Score, StartEvent } from '../run/events.js'
import type { Paint } from './paint.js'

/** Greatest and least width of a bar. */
const BAR = { most: 30, least: 8 } as const

/** Lines about the run that starts: data, model, machine, and run directory. */
export function startLines(event: StartEvent, cwd: string): string[] {
  const {
    experiment,
    rows,
    widths,
    network = widths.join('-'),
    workers,
    backendReason: reason,
    backendAdvice: advice,
  } = event
  return [
    row('data', `${experiment.data.dataset}: ${splitsText(rows)}`),
    ...(event.notes ?? []).map(note => row('', note)),
    row('model', `${network}${embeddingsText(event)}, ${formatCount(event.parameters)} parameters`),
    row(
      'compute',
      `${event.backend} (${advice === null ? reason : `${reason}; ${advice}`}), ${formatCounted(workers, 'worker')}, ${formatBytes(event.memoryBytes)} shared memory`,
    ),
    ...(event.runDir === null ? [] : [row('run', shown(event.runDir, cwd))]),
  ]
}

/** Tables of embedded features, behind the units of the layers. */
function embeddingsText({ embeddings = [] }: StartEvent): string {
  const shapes = embeddings.map(({ rows, size }) => `${formatCount(rows)} x ${size}`)
  const title = shapes.length === 1 ? 'embedding' : 'embeddings'
  return shapes.length === 0 ? '' : `, ${title} ${shapes.join(', ')}`
}

/** Samples of each split; a split without any is left out. */
export function splitsText({ train, validation, test }: StartEvent['rows']): string {
  const parts = [
    `${formatCount(train)} training`,
    ...(validation > 0 ? [`${formatCount(validation)} validation`] : []),
    `${formatCounted(test, 'test sample')}`,
  ]
  return parts.length === 2 ? parts.join(' and ') : `${parts[0]}, ${parts[1]} and ${parts[2]}`
}

/** One line for a finished epoch. */
export function epochLine(event: EpochEvent): string {
  const { epoch, epochs, train, validation } = event
  return spaced([
    epochOf(epoch, epochs),
    train === null ? 'no loss: every mini-batch was skipped' : score(train),
    validation === undefined ? undefined : `validation ${validation === null ? 'not finite' : score(validation)}`,
    `${formatCount(event.samplesPerSecond)} samples/s`,
    formatDuration(event.seconds),
  ])
}

/** One line for progress within an epoch, where there is no live bar. */
export function progressLine(event: ProgressEvent): string {
  return spaced([epochOf(event.epoch, event.epochs), ...moment(event)])
}

/** Live bar over the whole run, fitted to the terminal's width. */
export function barLine(event: ProgressEvent, columns: number): string {
  const { step, stepsPerEpoch, epochs } = event
  const before = `${epochOf(event.epoch, epochs)}  `
  const after = `  ${spaced(moment(event))}`
  const room = Math.min(BAR.most, columns - 1 - before.length - after.length)
  if (room < BAR.least) return (before.trimEnd() + after).slice(0, columns - 1)
  const total = stepsPerEpoch * epochs
  const full = total > 0 ? Math.round(room * Math.min(1, step / total)) : room
  return before + '█'.repeat(full) + '░'.repeat(room - full) + after
}

export interface EndContext {
  /** Absolute, or null for a run that wrote no files. */
  readonly runDir: string | null
  /** The experiment file as the user named it; null where there was none to name. */
  readonly experimentPath: string | null
  readonly cwd: string
  readonly paint: Paint
  /** True for a classifier of images: pictures can be given to it. */
  readonly ofImages: boolean
}

/** Share of each rank's time. */
const exchangesText = (shares: readonly number[]): string =>
  formatList(
    shares.map(share => formatPercent(share, 1)),
    8,
  )

/** Lines about the finished run: result, files, next commands. */
export function endLines(summary: RunSummary, { runDir, experimentPath, cwd, paint, ofImages }: EndContext): string[] {
  const { status, epochs } = summary
  const lines = [
    ...(status === 'completed' ? [] : [row('status', summary.error ?? status)]),
    ...(summary.stopped === undefined ? [] : [row('stopped', stoppedText(summary))]),
    row('result', scores(summary, paint)),
    row(
      'time',
      `${formatDuration(summary.seconds)} of training, ${formatCount(summary.samplesPerSecond)} samples/s, ` +
        `${formatCounted(epochs, 'epoch')}, ${formatCounted(summary.steps, 'step')}`,
    ),
  ]
  if (summary.exchangeShares)
    lines.push(row('ranks', `in exchanges ${exchangesText(summary.exchangeShares)} of the time`))
  if (summary.notSaved !== undefined) lines.push(row('unsaved', summary.notSaved))
  if (runDir === null || summary.checkpoint === null) return lines
  return [
    ...lines,
    row(summary.notSaved === undefined ? 'weights' : 'earlier', shown(join(runDir, summary.checkpoint), cwd)),
    '',
    'What to try next:',
    ...nextSteps(status, shown(runDir, cwd), experimentPath, ofImages).flatMap(([command, why]) => [
      `  ${command}`,
      `      ${paint.faint(why)}`,
    ]),
  ]
}

function stoppedText({ stopped, weightsStep }: RunSummary): string {
  const why = stopped === 'early' ? 'no better score for long enough' : 'out of time'
  return weightsStep === undefined ? why : `${why}; the weights are those of step ${formatCount(weightsStep)}, the best`
}

/** Scores, the test score first: it is the result of the run. */
function scores({ test, validation, train, notFinite = [] }: RunSummary, paint: Paint): string {
  const text = (what: string, { loss, accuracy, r2 }: Score, style = (text: string) => text) =>
    accuracy !== undefined
      ? `${what} accuracy ${style(formatPercent(accuracy))}, loss ${formatLoss(loss)}`
      : r2 !== undefined
        ? `${what} R² ${style(r2 === null ? 'undefined' : formatLoss(r2))}, loss ${formatLoss(loss)}`
        : `${what} loss ${formatLoss(loss)}`
  const parts = [
    test && text('test', test, paint.strong),
    validation && text('validation', validation),
    train && text('training', train),
    ...notFinite.map(split => `${split} score not finite`),
  ]
  return parts.filter(part => part).join('; ') || 'none'
}

type NextStep = readonly [command: string, why: string]

function nextSteps(
  status: RunSummary['status'],
  run: string,
  experimentPath: string | null,
  ofImages: boolean,
): NextStep[] {
  return [
    ...(status === 'completed'
      ? []
      : ([[`npx gradloom resume ${shellWord(run)}`, 'continue where it stopped, to the same bits']] as const)),
    ofImages
      ? [`npx gradloom serve ${shellWord(run)}`, 'try the network in the browser: draw or drop images, see every layer']
      : [`npx gradloom predict ${shellWord(run)} --wrong`, 'the test samples with the largest mistakes'],
    [`npx gradloom report ${shellWord(run)}`, 'a page about this run: curves, mistakes, workers'],
    ...(experimentPath === null ? [] : [variation(experimentPath)]),
    ['npx gradloom train --help', 'all options'],
  ]
}

function variation(experimentPath: string): NextStep {
  const experiment = shellWord(experimentPath)
  // The copy lies beside the original, so that its relative paths stay right.
  const copy = shellWord(join(dirname(experimentPath), 'mine.json'))
  return shellWord(join(experimentPath)) === copy
    ? [`npx gradloom train ${experiment} --set model.dropout=0.1`, 'change one setting, keep the rest']
    : [`cp ${experiment} ${copy}`, `edit it, then: npx gradloom train ${copy}`]
}

/** A path as the user would type it. */
export function shown(path: string, cwd: string): string {
  const short = relative(cwd, path)
  return short === '' || short.startsWith('..') || isAbsolute(short) ? path : short
}

function moment(event: ProgressEvent): string[] {
  return [
    `step ${event.stepInEpoch}/${event.stepsPerEpoch}`,
    score(event),
    `${formatCount(event.samplesPerSecond)} samples/s`,
    `ETA ${formatEta(event.etaSeconds)}`,
  ]
}

/** Epoch number, padded so that columns stay aligned. */
function epochOf(epoch: number, epochs: number): string {
  return `epoch ${String(epoch).padStart(String(epochs).length)}/${epochs}`
}

function score({ loss, accuracy, r2, ...others }: Score): string {
  return spaced([
    `loss ${formatLoss(loss)}`,
    accuracy === undefined ? undefined : `accuracy ${formatPercent(accuracy)}`,
    r2 === undefined || r2 === null ? undefined : `R² ${formatLoss(r2)}`,
    ...SCORE_NAMES.map(name => judgedText(name, others)),
  ])
}

/** The score that epochs are compared by, where it is another one. */
function judgedText(name: ScoreName, score: ScoreValues): string | undefined {
  const value = score[name]
  if (value === undefined || name === 'rmse') return undefined
  const text = value === null ? 'undefined' : (SCORES[name].form === 'percent' ? formatPercent : formatLoss)(value)
  return `${SCORES[name].title} ${text}`
}

function row(label: string, text: string): string {
  return `${label.padEnd(8)} ${text}`
}

function spaced(parts: readonly (string | undefined)[]): string {
  return parts.filter(part => part !== undefined).join('  ')
}
