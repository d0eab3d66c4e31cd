/**
 * What a run or a checkpoint is a model of: the shape of its images, its classes, and the plan of a network for one
 * thread. Main thread; reads the experiment and the header of the weights, and headers of the data only where nothing
 * else tells, so that a model can be asked where its data set is not.
 */
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { resolveExperiment } from '../config/load.js'
import type { Experiment } from '../config/schema.js'
import { type PlannedRun, planRun } from '../coordinator/plan.js'
import { type DatasetSource, openDataset } from '../data/dataset.js'
import { DIGIT_NAMES, KNOWN } from '../data/known.js'
import { GradloomError, ShapeError } from '../errors.js'
import { FILES } from '../run/directory.js'
import { openRun } from '../run/open.js'
import { TensorFile } from '../run/tensor-file.js'

export interface ModelSource {
  /** As resolved, but for one worker and the `wasm` backend. */
  readonly experiment: Experiment
  /** Absolute; null for a checkpoint file given by itself. */
  readonly runDir: string | null
  /** Absolute path of the weights. */
  readonly checkpoint: string
  /** Where a relative `data.path` starts. */
  readonly baseDir: string
  readonly height: number
  readonly width: number
  readonly classNames: readonly string[]
  readonly note: string | null
  /** What trained it, or null where nobody wrote it down. */
  readonly backend: string | null
  readonly planned: PlannedRun
}

/** What the network is asked about. */
interface ImageShape {
  readonly height: number
  readonly width: number
  readonly classNames: readonly string[]
}

export async function openModel(target: string, batchRows: number): Promise<ModelSource> {
  const opened = await openRun(target)
  const { experiment: asRun } = resolveExperiment(opened.experiment, { where: opened.experimentFrom })
  const { experiment } = resolveExperiment(opened.experiment, {
    where: opened.experimentFrom,
    // `precision` with it: what a native library was asked for, WASM may not have.
    overrides: ['compute.workers=1', 'compute.backend=wasm', 'compute.precision=f32'],
  })
  const baseDir = opened.runDir ?? dirname(opened.checkpoint)
  const shape = await imageShape(experiment, baseDir, opened.checkpoint)
  const images: DatasetSource = {
    ...shape,
    name: experiment.data.dataset,
    where: opened.checkpoint,
    classes: shape.classNames.length,
    train: { rows: 0 },
    test: { rows: batchRows }, // the slot of the test images is where a batch is put
    load: () => Promise.reject(new ShapeError('a model has no images of its own')),
  }
  const planned = await planRun(experiment, images, { purpose: 'evaluate', splits: ['test'] })
  const backend = await backendOf(opened.runDir, asRun)
  const { runDir, checkpoint } = opened
  return { ...{ experiment, runDir, checkpoint, baseDir, backend, planned }, ...shape, note: noteOn(backend) }
}

async function imageShape(experiment: Experiment, baseDir: string, checkpoint: string): Promise<ImageShape> {
  const { dataset } = experiment.data
  if (dataset === 'digits') return { height: 28, width: 28, classNames: DIGIT_NAMES }
  if (dataset !== 'idx') return KNOWN[dataset]
  try {
    return await openDataset(experiment.data, { baseDir })
  } catch (error) {
    if (!(error instanceof GradloomError)) throw error
    return shapeOfWeights(checkpoint) // the data are gone; the weights know how many pixels there were
  }
}

/** Square images if their number of pixels allows it, else one long line of them. */
async function shapeOfWeights(checkpoint: string): Promise<ImageShape> {
  const file = await TensorFile.open(checkpoint)
  const { tensors } = file.header
  await file.close()
  const weights = [...tensors.values()].filter(({ name }) => /^layers\.\d+\.weight$/.test(name))
  const byLayer = weights.sort((a, b) => layerOf(a.name) - layerOf(b.name))
  const features = byLayer[0]?.shape[0] ?? 1
  const classes = byLayer.at(-1)?.shape[1] ?? 1
  const side = Math.sqrt(features)
  const square = Number.isInteger(side)
  return {
    height: square ? side : 1,
    width: square ? side : features,
    classNames: Array.from({ length: classes }, (_, label) => String(label)),
  }
}

const layerOf = (name: string): number => Number(name.split('.')[1])

/** The backend that trained a run, or null where nobody wrote it down. */
async function backendOf(runDir: string | null, { compute }: Experiment): Promise<string | null> {
  if (runDir !== null) {
    try {
      const manifest = JSON.parse(await readFile(join(runDir, FILES.manifest), 'utf8'))
      if (typeof manifest?.backend?.name === 'string') return manifest.backend.name
    } catch {
      // Only for a remark: a run without a readable manifest can be asked as well.
    }
  }
  return compute.backend === 'auto' ? null : compute.backend
}

function noteOn(backend: string | null): string | null {
  if (backend === null || backend === 'wasm') return null
  return `the run computed in ${backend}, predictions are computed in wasm: the last digits may differ`
}
