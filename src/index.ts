/**
 * gradloom as a library: load an experiment, train it, score the trained network. Main thread.
 *
 * ```ts
 * import { loadExperiment, train } from 'gradloom'
 * const run = train(await loadExperiment('configs/quickstart.json'))
 * for await (const event of run) if (event.type === 'epoch') console.log(event.epoch, event.train.loss)
 * const { test, history } = await run
 * ```
 *
 * Every failure with a message for people is a GradloomError; errors.ts lists the kinds. test/types names
 * every export, so that nothing is removed unnoticed.
 */
export { type LoadedExperiment, loadExperiment, resolveExperiment } from './config/load.js'
export type { Experiment, ExperimentInput } from './config/schema.js'
export { TrainControl } from './coordinator/control.js'
export type { TrainOptions } from './coordinator/new-run.js'
export { type Difference, type ReproduceOptions, type Reproduction, reproduce } from './coordinator/reproduce.js'
export { type Resumed, type ResumeOptions, resume } from './coordinator/resume.js'
export { type EpochRecord, type TrainingRun, type TrainResult, train } from './coordinator/run-handle.js'
export type { TrainingData } from './data/memory.js'
export type { TargetScore } from './data/regression-score.js'
export type {
  Sample,
  SampleArrays,
  SampleFeatures,
  SampleLabel,
  SampleRows,
  SampleSet,
  SampleTarget,
  ShapedArray,
} from './data/samples.js'
export { ConfigError, DataError, GradloomError, RunError, ShapeError, WorkerError } from './errors.js'
export { type Exported, type ExportFormat, type ExportOptions, exportWeights, formatOf } from './export/export.js'
export { CheckpointError } from './formats/safetensors.js'
export type { WeightLayout } from './import/assign.js'
export { type EvaluateOptions, type Evaluation, evaluate, type NamedTargetScore } from './inference/evaluate.js'
export { findMistakes, loadTestSamples, type Mistake, randomIndices, type TestSamples } from './inference/examples.js'
export { importantUnits, type LayerSummary, summarizeLayers } from './inference/layers.js'
export {
  type ClassPrediction,
  type LabelPrediction,
  type LayerActivations,
  Predictor,
  type PredictorOptions,
  type Samples,
} from './inference/predictor.js'
export { PictureError } from './picture/raster.js'
export { type ComparedGroup, type ComparedRun, type Comparison, compareRuns } from './report/comparison.js'
export { reportJson } from './report/json.js'
export { reportMarkdown } from './report/markdown.js'
export { reportPage } from './report/page.js'
export { type Report, type ReportOptions, readReport } from './report/report.js'
export type { NamedWeights } from './run/checkpoint-file.js'
export type {
  CheckpointEvent,
  EndEvent,
  EpochEvent,
  EvaluationEvent,
  FinishingEvent,
  NonFiniteEvent,
  ProgressEvent,
  RestartEvent,
  RunSummary,
  Score,
  StartEvent,
  StepsEvent,
  TrainEvent,
  WorkerTime,
} from './run/events.js'
export type { Manifest } from './run/manifest.js'
export { type Parameters, readParameters } from './run/parameters.js'
export { loadSweep, type SweepFile } from './sweep/file.js'
export type { SweepOptions, SweepResult, SweepRun } from './sweep/result.js'
export { runSweep } from './sweep/sweep.js'
