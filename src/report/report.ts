/**
 * Content of a report as data, a function of run directories; HTML, Markdown and JSON render it. Main thread; writes
 * nothing but the test results that it had to compute, see test-results.ts.
 */
import { differences } from '../config/diff.js'
import type { Experiment, ExperimentInput } from '../config/schema.js'
import { type LayerSummary, summaryOf } from '../inference/layers.js'
import type { BackendName } from '../inference/model.js'
import type { RunSummary } from '../run/events.js'
import type { MovedData } from '../run/locate-data.js'
import type { Manifest } from '../run/manifest.js'
import { type Comparison, compareRuns } from './comparison.js'
import { type Curves, curvesOf } from './curves.js'
import { type LabelReport, labelReport } from './labels.js'
import { type RegressionReport, regressionReport } from './regression.js'
import { type RunFiles, readRunFiles } from './run-files.js'
import { runModel } from './run-model.js'
import { type Scores, scoresOf } from './scores.js'
import { type TableResultsOrReason, tableResultsOf } from './table-results.js'
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
  readonly pixels: Uint8Array // (height, width, channels)
}

export interface ReportedExample {
  readonly index: number
  readonly truth: { readonly label: number; readonly className: string }
  readonly layers: readonly LayerSummary[]
  /** Bytes of the image (height, width, channels); null: the input layer's values times 255. */
  readonly pixels: Uint8Array | null
}

/** Results of the weights on the test images, or the rows of a table or an array. */
export interface TestReport extends Scores {
  readonly unit: 'image' | 'row'
  readonly weightsSha256: string
  readonly checkpoint: string
  readonly note: string | null
  readonly height: number
  readonly width: number
  readonly channels: number
  readonly mistakes: readonly ReportedMistake[]
  readonly examples: readonly ReportedExample[]
}

export interface SavedCheckpoint {
  readonly step: number
  readonly file: string
  readonly weightsSha256: string
}

export interface RunReport {
  /** Name of the run directory. */
  readonly run: string
  readonly name: string
  /** Status; `not ended` where the run is active, or was killed. */
  readonly status: RunSummary['status'] | 'not ended'
  readonly summary: RunSummary | null
  readonly widths: readonly number[] | null
  /** The network in one line, where it has convolutions. */
  readonly network?: string
  readonly curves: Curves
  readonly test: TestReport | LabelReport | RegressionReport | { readonly missing: string }
  /** Columns and worst rows; null: the data are no table. */
  readonly table: TableResultsOrReason
  readonly timeline: Timeline | null
  readonly experiment: Experiment
  /** Settings that differ from the defaults. */
  readonly differences: ExperimentInput
  readonly manifest: Partial<Manifest>
  /** Checkpoints that were written; some may have been removed since. */
  readonly checkpoints: readonly SavedCheckpoint[]
  /** Number of unreadable lines in `metrics.jsonl`. */
  readonly damagedLines: number
}

export interface Report {
  readonly format: 'gradloom report'
  readonly version: 1
  readonly runs: readonly RunReport[]
  /** Comparison of several runs; null for one. */
  readonly comparison: Comparison | null
}

/** `dataPath` and `testDataPath`: where the data of the runs are now, if they have moved. */
export interface ReportOptions extends MovedData {
  /** Called where something optional could not be read or stored. */
  readonly onWarning?: (text: string) => void
  /** Kernels of predictions, which are then computed anew; default: as `Predictor` chooses them, unless the run keeps predictions. */
  readonly backend?: BackendName | undefined
  /** Called where predictions are computed: of which run, and with what. */
  readonly onComputing?: (run: string, backend: string) => void
}

/** Reads the runs; rejects with ConfigError where a path is not a run. */
export async function readReport(paths: readonly string[], options: ReportOptions = {}): Promise<Report> {
  const { onWarning = () => {} } = options
  const runs: RunReport[] = []
  for (const path of paths) {
    const files = await readRunFiles(path)
    const open = runModel(files, options)
    const isAnew = options.backend !== undefined
    const results = await testResultsOf(files, onWarning, open, isAnew)
    runs.push(runReport(files, results, await tableResultsOf(files, onWarning, open, isAnew)))
  }
  const comparison = paths.length > 1 ? await compareRuns(paths) : null
  return { format: 'gradloom report', version: 1, runs, comparison }
}

/** Derives a run's report from its files. Pure. */
export function runReport(
  files: RunFiles,
  results: TestResultsOrReason,
  table: TableResultsOrReason = null,
): RunReport {
  const { run, events, damagedLines, summary, manifest = {}, loaded } = files
  const { experiment } = loaded
  const start = events.findLast(({ type }) => type === 'start')
  const [widths, network] = [start?.widths, start?.network]
  return {
    ...{ run, name: experiment.name, status: summary?.status ?? 'not ended', summary: summary ?? null },
    widths: Array.isArray(widths) ? widths.filter(width => typeof width === 'number') : null,
    ...(typeof network === 'string' && { network }),
    curves: curvesOf(events),
    test: testReport(results),
    table,
    timeline: timelineOf(events),
    ...{ experiment, differences: differences(experiment, experiment.name), manifest },
    checkpoints: events.flatMap(({ type, step, file, weightsSha256 }) =>
      type === 'checkpoint' ? [{ step: Number(step), file: String(file), weightsSha256: String(weightsSha256) }] : [],
    ),
    damagedLines,
  }
}

const unitOf = ({ height }: { readonly height: number }) => (height === 1 ? 'row' : 'image')

function testReport(results: TestResultsOrReason): RunReport['test'] {
  if ('missing' in results) return results
  if ('labelNames' in results) {
    return results.targets.length > 0 ? labelReport(results) : { missing: 'the data set has no test rows' }
  }
  if ('names' in results) {
    return results.targets.length > 0 ? regressionReport(results) : { missing: 'the data set has no test rows' }
  }
  if (results.labels.length === 0) return { missing: `the data set has no test ${unitOf(results)}s` }
  const { weightsSha256, checkpoint, note, height, width, channels, classNames } = results
  const named = (label: number) => ({ label, className: classNames[label] })
  return {
    ...scoresOf(results),
    ...{ unit: unitOf(results), weightsSha256, checkpoint, note, height, width, channels },
    mistakes: results.mistakes.map(({ index, truth, top, pixels }) => ({
      ...{ index, truth: named(truth), pixels },
      top: top.map(({ label, probability }) => ({ ...named(label), probability })),
    })),
    examples: results.examples.map(({ index, truth, layers, pixels = null }) => ({
      ...{ index, truth: named(truth), pixels },
      layers: layers.map(({ layer, kind, values, maps }) => ({
        ...{ layer, kind, ...summaryOf(values) },
        ...(maps && { maps }),
      })),
    })),
  }
}
