/** Events as a run sends them, to render in tests. */
import { join } from 'node:path'
import { resolveExperiment } from '../../src/config/load.js'
import type { EpochEvent, ProgressEvent, RunSummary, StartEvent } from '../../src/run/events.js'

export const CWD = join('/', 'home', 'ann')
export const RUN_DIR = join(CWD, 'runs', 'quick-2026-01-31T12-00-05')

export const start: StartEvent = {
  type: 'start',
  name: 'quick',
  runDir: RUN_DIR,
  experiment: resolveExperiment({ data: { dataset: 'digits' }, model: { hidden: [512, 256] } }).experiment,
  backend: 'wasm',
  backendReason: 'the fastest that works here',
  backendAdvice: null,
  workers: 2,
  parameters: 535_818,
  widths: [784, 512, 256, 10],
  rows: { train: 8004, validation: 0, test: 1996 },
  stepsPerEpoch: 63,
  memoryBytes: 45_200_000,
}

export const progress: ProgressEvent = {
  type: 'progress',
  epoch: 3,
  epochs: 10,
  step: 157,
  stepInEpoch: 31,
  stepsPerEpoch: 63,
  loss: 0.23456,
  accuracy: 0.9312,
  samplesPerSecond: 9870.4,
  etaSeconds: 12.3,
}

export const epoch: EpochEvent = {
  type: 'epoch',
  epoch: 3,
  epochs: 10,
  step: 189,
  train: { loss: 0.21, accuracy: 0.94 },
  learningRate: 0.001,
  seconds: 0.812,
  samplesPerSecond: 9857,
}

export const summary: RunSummary = {
  name: 'quick',
  status: 'completed',
  seed: 1,
  backend: 'wasm',
  precision: 'f32',
  workers: 2,
  shardRows: 64,
  allReduce: 'fused',
  epochs: 10,
  steps: 630,
  rowsSeen: 80_040,
  seconds: 8.12,
  samplesPerSecond: 9857,
  parameters: 535_818,
  train: { loss: 0.05 },
  test: { loss: 0.1345, accuracy: 0.961 },
  weightsSha256: '0'.repeat(64),
  checkpoint: 'checkpoints/step-630.safetensors',
}
