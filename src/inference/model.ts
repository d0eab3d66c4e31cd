/**
 * The model that a run or a checkpoint holds: the shape and names of what it takes and puts out, and the plan of a network
 * for some threads. Main thread; reads the experiment and the header of the weights, never the data, so that a model can
 * predict where its data set is not.
 */

import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { resolveExperiment } from '../config/load.js'
import type { Experiment } from '../config/schema.js'
import type { DatasetSource } from '../data/dataset.js'
import type { InputSpec } from '../data/input.js'
import { ConfigError, ShapeError } from '../errors.js'
import { CheckpointError } from '../formats/safetensors.js'
import { preparationOfOldModel } from '../picture/preparation.js'
import { readCheckpoint } from '../run/checkpoint-file.js'
import { FILES } from '../run/manifest.js'
import { openRun } from '../run/open.js'
import type { InputShape } from '../tensor/input-shape.js'
import { type PlannedRun, planRun } from '../worker/plan/plan.js'
import { PASS_ROWS } from './thread-layouts.js'

/** Backends that an experiment, or a caller, can ask for. */
export type BackendName = Experiment['compute']['backend']

export interface ModelSource extends InputShape {
  /** Resolved experiment, but for the number of workers, the backend and its precision. */
  readonly experiment: Experiment
  /** Absolute; null for a checkpoint file given by itself. */
  readonly runDir: string | null
  /** Absolute path of the weights. */
  readonly checkpoint: string
  /** Folder at which a relative `data.path` starts. */
  readonly baseDir: string
  /** Names of the classes, labels or targets. */
  readonly outputNames: readonly string[]
  readonly input: InputSpec
  readonly note: string | null
  /** Backend that trained it; null where it is not recorded. */
  readonly backend: string | null
}

/** A model, and the plan of its network, which is no part of the library's interface. */
export interface OpenedModel {
  readonly source: ModelSource
  readonly planned: PlannedRun
}

export interface ModelOptions {
  /** Number of threads that the plan has room for. */
  readonly threads: number
  /** Default: what the experiment asks for, as `evaluate` takes it; where that does not work here, what is the fastest here. */
  readonly backend?: BackendName | undefined
}

/** Throws a GradloomError that says what is wrong with the target, ConfigError for a backend that does not work here. */
export async function openModel(target: string, { threads, backend }: ModelOptions): Promise<OpenedModel> {
  const opened = await openRun(target)
  const where = { where: opened.experimentFrom }
  const { experiment: asRun } = resolveExperiment(opened.experiment, where)
  // A library that the experiment names belongs to the backend that it names.
  const named = backend ?? asRun.compute.backend
  const library = named === asRun.compute.backend ? {} : { library: null }
  // As an object: overrides in text need the description of all settings, whose making takes 50 ms.
  const given = opened.experiment as { readonly compute?: object }
  const resolved = (compute: object) =>
    resolveExperiment(
      // Predictions are in f32 whatever the precision of training: other backends may not have that.
      { ...given, compute: { ...given.compute, workers: threads, precision: 'f32', ...compute } },
      where,
    ).experiment
  const experiment = resolved({ backend: named, ...library })
  const baseDir = opened.runDir ?? dirname(opened.checkpoint)
  const { input: saved } = await readCheckpoint(opened.checkpoint)
  if (saved === undefined) {
    throw new CheckpointError(`${opened.checkpoint}: does not say what the network takes, expected metadata 'input'`, {
      hint: 'read it with the version of gradloom that wrote it, or train again',
    })
  }
  const { height, width, channels, classNames } = saved
  const preparation = saved.preparation ?? preparationOfOldModel(experiment.data.dataset, height, width)
  const input: InputSpec = { ...saved, preparation }
  const images: DatasetSource = {
    ...{ height, width, channels, classNames, dtype: input.dtype },
    name: experiment.data.dataset,
    where: opened.checkpoint,
    task: input.task,
    classes: classNames.length,
    ...(input.table && { table: input.table }),
    train: { rows: 0 },
    test: { rows: PASS_ROWS }, // samples are put where test images would be
    load: () => Promise.reject(new ShapeError('a model has no images of its own')),
  }
  const plan = (of: Experiment) => planRun(of, images, { purpose: 'evaluate', splits: ['test'] })
  const planned = await plan(experiment).catch(error => {
    // A model predicts on any machine, whatever it was trained with on another.
    if (backend !== undefined || named === 'auto' || !(error instanceof ConfigError)) throw error
    return plan(resolved({ backend: 'auto', library: null }))
  })
  const trainedIn = await backendOf(opened.runDir, asRun)
  const { runDir, checkpoint } = opened
  const about = { experiment, runDir, checkpoint, baseDir, backend: trainedIn, height, width, channels, input }
  return {
    source: { ...about, outputNames: classNames, note: opened.note ?? noteOn(trainedIn, planned.plan.backend) },
    planned,
  }
}

/** Backend that trained a run; null where it is not recorded. */
async function backendOf(runDir: string | null, { compute }: Experiment): Promise<string | null> {
  if (runDir !== null) {
    try {
      const manifest = JSON.parse(await readFile(join(runDir, FILES.manifest), 'utf8'))
      if (typeof manifest?.backend?.name === 'string') return manifest.backend.name
    } catch {
      // Only a remark needs it: a run without a readable manifest predicts too.
    }
  }
  return compute.backend === 'auto' ? null : compute.backend
}

function noteOn(trainedIn: string | null, predictsIn: string): string | null {
  if (trainedIn === null || trainedIn === predictsIn) return null
  return `the run computed in ${trainedIn}, predictions are computed in ${predictsIn}: the last digits may differ`
}
