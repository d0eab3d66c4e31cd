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
import { ShapeError } from '../errors.js'
import { CheckpointError } from '../formats/safetensors.js'
import { preparationOfOldModel } from '../picture/preparation.js'
import { readCheckpoint } from '../run/checkpoint-file.js'
import { FILES } from '../run/manifest.js'
import { openRun } from '../run/open.js'
import { type PlannedRun, planRun } from '../worker/plan/plan.js'

export interface ModelSource {
  /** Resolved experiment, but for the number of workers and the `wasm` backend. */
  readonly experiment: Experiment
  /** Absolute; null for a checkpoint file given by itself. */
  readonly runDir: string | null
  /** Absolute path of the weights. */
  readonly checkpoint: string
  /** Folder at which a relative `data.path` starts. */
  readonly baseDir: string
  readonly height: number
  readonly width: number
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

/** Samples that a thread passes through the network at a time. More would be no faster: the weights stay in the caches. */
const BATCH_ROWS = 64

/** `threads`: number of threads that the plan has room for. Throws a GradloomError that says what is wrong with the target. */
export async function openModel(target: string, threads: number): Promise<OpenedModel> {
  const opened = await openRun(target)
  const { experiment: asRun } = resolveExperiment(opened.experiment, { where: opened.experimentFrom })
  const { experiment } = resolveExperiment(opened.experiment, {
    where: opened.experimentFrom,
    // `precision` with it: what a native library was asked for, WASM may not have.
    overrides: [`compute.workers=${threads}`, 'compute.backend=wasm', 'compute.precision=f32'],
  })
  const baseDir = opened.runDir ?? dirname(opened.checkpoint)
  const { input: saved } = await readCheckpoint(opened.checkpoint)
  if (saved === undefined) {
    throw new CheckpointError(`${opened.checkpoint}: does not say what the network takes, expected metadata 'input'`, {
      hint: 'read it with the version of gradloom that wrote it, or train again',
    })
  }
  const { height, width, classNames } = saved
  const preparation = saved.preparation ?? preparationOfOldModel(experiment.data.dataset, height, width)
  const input: InputSpec = { ...saved, preparation }
  const bufferRows = threads * BATCH_ROWS
  const images: DatasetSource = {
    ...{ height, width, classNames, dtype: input.dtype },
    name: experiment.data.dataset,
    where: opened.checkpoint,
    task: input.task,
    classes: classNames.length,
    ...(input.table && { table: input.table }),
    train: { rows: 0 },
    test: { rows: bufferRows }, // the slot of the test images is where a batch is put
    load: () => Promise.reject(new ShapeError('a model has no images of its own')),
  }
  const planned = await planRun(experiment, images, { purpose: 'evaluate', splits: ['test'], bufferRows })
  const backend = await backendOf(opened.runDir, asRun)
  const { runDir, checkpoint } = opened
  const about = { experiment, runDir, checkpoint, baseDir, backend, height, width, input }
  return { source: { ...about, outputNames: classNames, note: noteOn(backend) }, planned }
}

/** Backend that trained a run; null where it is not recorded. */
async function backendOf(runDir: string | null, { compute }: Experiment): Promise<string | null> {
  if (runDir !== null) {
    try {
      const manifest = JSON.parse(await readFile(join(runDir, FILES.manifest), 'utf8'))
      if (typeof manifest?.backend?.name === 'string') return manifest.backend.name
    } catch {
      // Needed for a remark only: a run without a readable manifest predicts as well.
    }
  }
  return compute.backend === 'auto' ? null : compute.backend
}

function noteOn(backend: string | null): string | null {
  if (backend === null || backend === 'wasm') return null
  return `the run computed in ${backend}, predictions are computed in wasm: the last digits may differ`
}
