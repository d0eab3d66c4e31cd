/**
 * gradloom as a library: load an experiment, train it, score what it learned.
 *
 * ```ts
 * import { loadExperiment, train } from 'gradloom'
 * const summary = await train(await loadExperiment('configs/quickstart.json'), { onEvent: console.log })
 * ```
 */
export { type LoadedExperiment, loadExperiment, resolveExperiment } from './config/load.js'
export type { Experiment, ExperimentInput } from './config/schema.js'
export { TrainControl } from './coordinator/control.js'
export { type ReproduceOptions, type Reproduction, reproduce } from './coordinator/reproduce.js'
export { type Resumed, type ResumeOptions, resume } from './coordinator/resume.js'
export { type TrainOptions, train } from './coordinator/train.js'
export { ConfigError, DataError, GradloomError, RunError } from './errors.js'
export { type Exported, type ExportFormat, exportWeights, formatOf } from './export/export.js'
export { type EvaluateOptions, type Evaluation, evaluate } from './inference/evaluate.js'
export { findMistakes, loadTestImages, type Mistake, randomIndices, type TestImages } from './inference/examples.js'
export { importantUnits, type LayerSummary, summarizeLayers } from './inference/layers.js'
export { type LayerActivations, type Prediction, Predictor } from './inference/predictor.js'
export { type ComparedGroup, type ComparedRun, type Comparison, compareRuns } from './report/comparison.js'
export { reportJson } from './report/json.js'
export { reportMarkdown } from './report/markdown.js'
export { reportPage } from './report/page.js'
export { type Report, type ReportOptions, readReport } from './report/report.js'
export type { EpochEvent, ProgressEvent, RunSummary, Score, TrainEvent } from './run/events.js'
export { type Parameters, readParameters } from './run/parameters.js'
export { loadSweep, type SweepFile } from './sweep/file.js'
export { runSweep, type SweepOptions, type SweepResult, type SweepRun } from './sweep/sweep.js'
