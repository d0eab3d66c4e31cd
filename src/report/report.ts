/**
 * All that a report tells, in numbers: a function of run directories. HTML, Markdown and JSON show the same. Main thread;
 * writes nothing but what the held-out images came to, see test-results.ts.
 */
import { differences } from '../config/diff.js'
import type { Experiment, ExperimentInput } from '../config/schema.js'
import { type LayerSummary, summaryOf } from '../inference/layers.js'
import type { Manifest } from '../run/directory.js'
import type { RunSummary } from '../run/events.js'
import { type Comparison, compareRuns } from './comparison.js'
import { type Curves, curvesOf } from './curves.js'
import { type RegressionReport, regressionReport } from './regression.js'
import { type RunFiles, readRunFiles } from './run-files.js'
import { type Scores, scoresOf } from './scores.js'
import { type TestResultsOrReason, testResultsOf } from './test-results.js'
import { type Timeline, timelineOf } from './timeline.js'

export interface ReportedClass {
  readonly label: number
  readonly className: string
  readonly probability: number
}

export interface ReportedMistake {
  readonly index: number
  readonly truth: { readonly label: number; readonly className: string }
  readonly top: readonly ReportedClass[]
  readonly pixels: Uint8Array // (height, width)
}

export interface ReportedExample {
  readonly index: number
  readonly truth: { readonly label: number; readonly className: string }
  readonly layers: readonly LayerSummary[]
}

/** What the weights say of the held-out images. */
export interface TestReport extends Scores {
  readonly weightsSha256: string
  readonly checkpoint: string
  readonly note: string | null
  readonly height: number
  readonly width: number
  readonly mistakes: readonly ReportedMistake[]
  readonly examples: readonly ReportedExample[]
}

export interface SavedCheckpoint {
  readonly step: number
  readonly file: string
  readonly weightsSha256: string
}

export interface RunReport {
  /** Name of the directory. */
  readonly run: string
  readonly name: string
  /** `not ended`: it is running, or was killed. */
  readonly status: RunSummary['status'] | 'not ended'
  readonly summary: RunSummary | null
  readonly widths: readonly number[] | null
  readonly curves: Curves
  readonly test: TestReport | RegressionReport | { readonly missing: string }
  readonly timeline: Timeline | null
  readonly experiment: Experiment
  /** What it says beside the defaults. */
  readonly differences: ExperimentInput
  readonly manifest: Partial<Manifest>
  /** As they were written; not all of them need be there any more. */
  readonly checkpoints: readonly SavedCheckpoint[]
  /** Lines of `metrics.jsonl` that cannot be read. */
  readonly damagedLines: number
}

export interface Report {
  readonly format: 'gradloom report'
  readonly version: 1
  readonly runs: readonly RunReport[]
  /** Of several runs. */
  readonly comparison: Comparison | null
}

export interface ReportOptions {
  /** Something could not be kept or read that need not be. */
  readonly onWarning?: (text: string) => void
}

/** Rejects with ConfigError where a path is no run. */
export async function readReport(paths: readonly string[], options: ReportOptions = {}): Promise<Report> {
  const { onWarning = () => {} } = options
  const runs: RunReport[] = []
  for (const path of paths) {
    const files = await readRunFiles(path)
    runs.push(runReport(files, await testResultsOf(files, onWarning)))
  }
  const comparison = paths.length > 1 ? await compareRuns(paths) : null
  return { format: 'gradloom report', version: 1, runs, comparison }
}

/** Pure. */
export function runReport(files: RunFiles, results: TestResultsOrReason): RunReport {
  const { run, events, damagedLines, summary, manifest = {}, loaded } = files
  const { experiment } = loaded
  const widths = events.findLast(({ type }) => type === 'start')?.widths
  return {
    ...{ run, name: experiment.name, status: summary?.status ?? 'not ended', summary: summary ?? null },
    widths: Array.isArray(widths) ? widths.filter(width => typeof width === 'number') : null,
    curves: curvesOf(events),
    test: testReport(results),
    timeline: timelineOf(events),
    ...{ experiment, differences: differences(experiment, experiment.name), manifest },
    checkpoints: events.flatMap(({ type, step, file, weightsSha256 }) =>
      type === 'checkpoint' ? [{ step: Number(step), file: String(file), weightsSha256: String(weightsSha256) }] : [],
    ),
    damagedLines,
  }
}

function testReport(results: TestResultsOrReason): RunReport['test'] {
  if ('missing' in results) return results
  if ('names' in results) {
    return results.targets.length > 0 ? regressionReport(results) : { missing: 'the data set has no held-out rows' }
  }
  if (results.labels.length === 0) return { missing: 'the data set has no held-out images' }
  const { weightsSha256, checkpoint, note, height, width, classNames } = results
  const named = (label: number) => ({ label, className: classNames[label] })
  return {
    ...scoresOf(results),
    ...{ weightsSha256, checkpoint, note, height, width },
    mistakes: results.mistakes.map(({ index, truth, top, pixels }) => ({
      ...{ index, truth: named(truth), pixels },
      top: top.map(({ label, probability }) => ({ ...named(label), probability })),
    })),
    examples: results.examples.map(({ index, truth, layers }) => ({
      ...{ index, truth: named(truth) },
      layers: layers.map(({ layer, kind, values }) => ({ layer, kind, ...summaryOf(values) })),
    })),
  }
}
