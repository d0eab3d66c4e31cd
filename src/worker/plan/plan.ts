/**
 * Compiles an experiment and the shape of its data into the plan that every worker gets, and refuses what cannot be.
 * Main thread.
 */

import { availableParallelism, cpus } from 'node:os'
import { type Augmentation, isPlain } from '../../augment/transform.js'
import type { Experiment } from '../../config/schema.js'
import type { DatasetSource } from '../../data/dataset.js'
import { isScaled } from '../../data/input.js'
import { embeddingsOf } from '../../data/table/encoding.js'
import { ConfigError } from '../../errors.js'
import type { Backend } from '../../kernels/backend.js'
import { hasSparseActivations, loadBackend } from '../../kernels/backends.js'
import { chooseCompute } from '../../kernels/choose-compute.js'
import { convolutionsOf, networkText } from '../../model/convolution.js'
import { embeddedInputs } from '../../model/embedding.js'
import { settledOptimizer } from '../../model/optimizer.js'
import { layerWidths, multiplications } from '../../model/parameters.js'
import { MAX_ARENA_BYTES } from '../../tensor/arena.js'
import { inputSize } from '../../tensor/input-shape.js'
import { bytesPerElement, sizeOf } from '../../tensor/tensor.js'
import { rowsPerStep } from './clock.js'
import { choosePartials, type Link } from './cost.js'
import { type Layout, planLayout } from './layout.js'
import { type HostRanks, PROTOCOL, type RunPlan, type Split } from './run-plan.js'
import { rowsOfGroups } from './sharing.js'
import { type Windows, windowsFor } from './windows.js'

export interface PlannedRun {
  /** Plan whose `rows` are still 0: they are known once the labels are loaded. */
  readonly plan: RunPlan
  readonly layout: Layout
  /** Reason for the choice of backend and precision. */
  readonly backendReason: string
  /** Advice that would make the run faster here; null: none. */
  readonly backendAdvice: string | null
}

export interface PlanOptions {
  readonly purpose: RunPlan['purpose']
  /** Splits that will be read; images that none of them needs take no memory. */
  readonly splits: readonly Split[]
  /** Ranks of the run, and the workers of this one; default: this process alone. */
  readonly ranks?: Omit<HostRanks, 'hugeOffset'> & {
    readonly ownWorkers: number
    readonly link: Link
    /** Whether all are on one host and share memory. */
    readonly shareMemory: boolean
  }
}

/** Turns of a barrier's loop, about 50 µs: longer than most waits of a small network, shorter than a sleep costs a large one. */
const SPIN_TURNS = 10_000

/** Plans a run. Throws ConfigError if the backend does not work here, or the run does not fit the memory a run may have. */
export async function planRun(experiment: Experiment, data: DatasetSource, options: PlanOptions): Promise<PlannedRun> {
  const { model, train, compute } = experiment
  const features = inputSize(data)
  const embeddings = data.table ? embeddingsOf(data.table) : []
  const inputs = { height: data.height, width: data.width, channels: data.channels }
  if (model.convolutions.length > 0) refuseTables(data)
  const convolutions = convolutionsOf(model, inputs)
  const widths = layerWidths(embeddedInputs(features, embeddings), model.hidden, data.classes, convolutions)
  const {
    name: backend,
    library,
    reason,
    advice,
    precision,
  } = await chooseCompute(compute, {
    weights: multiplications({ widths, convolutions }),
    zeros: hasSparseActivations(model),
    convolutions: convolutions.length > 0,
  })
  const kernels = await loadBackend(backend, precision)
  const workers = options.ranks?.ownWorkers ?? (compute.workers === 'auto' ? availableParallelism() : compute.workers)
  const allWorkers = options.ranks?.workers ?? workers
  const shardRows =
    compute.shardRows === 'auto' ? kernels.shardRows(multiplications({ widths, convolutions })) : compute.shardRows
  const images = {
    train: options.splits.some(split => split !== 'test') ? data.train.rows : 0,
    test: options.splits.includes('test') ? data.test.rows : 0,
  }
  // Samples of the data, not of the splits in memory: a model is scored in the blocks that it was trained in. A model that is
  // opened without its data has none.
  const miniBatch = Math.min(train.batchSize, data.train.rows || train.batchSize)
  const gradientRows = rowsOfGroups(compute.gradientGroups, miniBatch, kernels)
  // A normalisation stands between two parts of a layer's pass, and that of a batch needs all rows of it.
  const layered =
    kernels.bitsDependOnPartition ||
    model.norm !== 'none' ||
    convolutions.length > 0 ||
    gradientRows !== null ||
    allWorkers > Math.ceil(train.batchSize / shardRows)
  const dropout = typeof model.dropout === 'number' ? model.hidden.map(() => model.dropout as number) : model.dropout
  const plan: RunPlan = {
    protocol: PROTOCOL,
    purpose: options.purpose,
    seed: experiment.seed,
    ...{ widths, convolutions, features, embeddings },
    activation: model.activation,
    init: model.init,
    initGain: model.initGain,
    dropout: [...convolutions.map(convolution => convolution.dropout), ...dropout],
    inputDropout: model.inputDropout,
    norm: { type: model.norm, momentum: model.normMomentum, epsilon: model.normEpsilon },
    l2: train.l2,
    clipValue: train.clipValue,
    clipNorm: train.clipNorm,
    maxNorm: train.maxNorm,
    loss: train.loss,
    labelSmoothing: train.labelSmoothing,
    weighted: options.purpose === 'train' && (train.classWeights !== null || data.weighted === true),
    ema: train.ema.decay,
    batchSize: train.batchSize,
    accumulateSteps: train.accumulateSteps,
    augmentation: options.purpose === 'train' ? augmentationOf(experiment, data) : null,
    shardRows,
    gradientRows,
    passes: layered ? 'layers' : 'shards',
    optimizer: settledOptimizer(experiment.optimizer, data.task === 'classification' ? data.classes : null),
    schedule: experiment.schedule,
    epochs: train.epochs,
    backend,
    library,
    precision,
    allReduce: compute.allReduce,
    workers,
    ranks: null,
    host: null,
    spinTurns: workers <= availableParallelism() && allWorkers <= coresFor(options) ? SPIN_TURNS : 0,
    input: { dtype: data.dtype, scaled: isScaled(experiment.data, data) },
    rows: { train: 0, validation: 0, test: 0 },
    windows: windowsOf(experiment, data, options, features),
    images,
  }
  const planned = options.ranks ? amongRanks(plan, kernels, options.ranks) : plan
  const layout = planLayout(planned, kernels)
  if (layout.bytes > MAX_ARENA_BYTES) throw tooLarge(planned, layout)
  if (layout.exchange && layout.exchange.buffer.shape[0] > MAX_EXCHANGE_BYTES)
    throw exchangeTooLarge(planned, layout.exchange.buffer.shape[0])
  return { plan: planned, layout, backendReason: reason, backendAdvice: advice }
}

/** The plan of one of several ranks, which share memory if they can and all of the state fits into it: else each has moments of its own tiles. */
function amongRanks(plan: RunPlan, backend: Backend, of: NonNullable<PlanOptions['ranks']>): RunPlan {
  const { rank, size, workers, link } = of
  const alone = { ...plan, ranks: { rank, size, workers, partials: choosePartials(plan, size, link) } }
  if (!of.shareMemory) return alone
  const together = { ...plan, host: { rank, size, workers, hugeOffset: null } }
  const fits = (plan: RunPlan) => planLayout(plan, backend).bytes <= MAX_ARENA_BYTES
  return fits(together) || !fits(alone) ? together : alone
}

/** Cores for the workers of all ranks that wait for each other at a barrier; of others, nobody knows. */
const coresFor = ({ ranks }: PlanOptions): number => (ranks?.shareMemory ? cpus().length : Number.POSITIVE_INFINITY)

/** Throws ConfigError where features have no places beside each other. */
function refuseTables(data: DatasetSource): void {
  if (!data.table && data.columns === undefined) return
  throw new ConfigError(
    `model.convolutions has layers, expected none with ${data.name}, whose features are columns, not pictures`,
    { hint: 'model.hidden takes rows of a table' },
  )
}

/** Windows of training rows that are not all held in memory. */
function windowsOf(
  { train, data: { windowRows } }: Experiment,
  data: DatasetSource,
  { purpose }: PlanOptions,
  features: number,
): Windows | null {
  if (purpose !== 'train' || data.stream === undefined) return null
  const keptRows = data.train.rows - (data.validationFrom ?? data.train.rows)
  return windowsFor(features, rowsPerStep(train), windowRows, keptRows)
}

/** Exported for `data preview`. Throws ConfigError where settings do not fit the images or the classes. */
export function augmentationOf({ augment, train }: Experiment, data: DatasetSource): Augmentation | null {
  if (isPlain(augment)) return null
  if (data.dtype !== 'uint8') {
    throw new ConfigError(`augment has settings, expected none with ${data.name}, whose features are not images`, {
      hint: data.height > 1 ? 'arrays of pictures are images as bytes, uint8 from 0 to 255' : undefined,
    })
  }
  const { perClass } = augment
  if (perClass !== null && perClass.length !== data.classes) {
    throw new ConfigError(
      `augment.perClass has ${perClass.length} entries, expected ${data.classes}, one for each class of ${data.name}`,
    )
  }
  const { height, width, channels, name } = data
  const side = Math.min(height, width)
  for (const key of ['crop', 'cutout'] as const) {
    if (augment[key] < side) continue
    throw new ConfigError(
      `augment.${key} is ${augment[key]}, expected less than ${side}, the shorter side of an image of ${name}`,
    )
  }
  if (augment.saturation > 0 && channels === 1) {
    throw new ConfigError(
      `augment.saturation is ${augment.saturation}, expected 0, because the images of ${name} are grey`,
    )
  }
  if (augment.mixup > 0 && train.loss !== null && train.loss !== 'cross-entropy') {
    throw new ConfigError(`augment.mixup is ${augment.mixup}, expected 0, because train.loss is "${train.loss}"`)
  }
  if (augment.mixup > 0 && data.weighted === true) {
    throw new ConfigError(`augment.mixup is ${augment.mixup}, expected 0, because the samples of ${name} have weights`)
  }
  return { ...augment, height, width, channels }
}

/** MPI counts places in 32 bits with a sign. */
const MAX_EXCHANGE_BYTES = 2 ** 31 - 1

const exchangeTooLarge = (plan: RunPlan, bytes: number): ConfigError =>
  new ConfigError(
    `the exchange between machines needs ${gib(bytes)}, expected less than 2 GiB; the model is ${networkText(plan.widths, plan.convolutions)}, batch ${plan.batchSize}`,
    { hint: 'a smaller train.batchSize, or fewer compute.gradientGroups' },
  )

const OF_BATCH = 'activations and deltas of a mini-batch'

/** Lists the memory of each group of tensors, so that the reader sees which setting to change. */
function tooLarge(plan: RunPlan, { bytes, reservations }: Layout): ConfigError {
  const groups: [string, RegExp][] = [
    ['weights', /^(layers|embeddings)\.\d+\.(norm\.)?\w+$/],
    ['optimizer moments', /\.moment\d$/],
    ['averages of weights', /\.average$/],
    ['weights in the form that products read', /\.derived$/],
    ['gradient buffers', /\.gradient(OfGroup)?\d+$/],
    [OF_BATCH, /^(activations|derivatives|deltas|workspace|batch)\./],
    ['data', /^(features|scaling|labels|weights|targets|sampleIndices|augmented)\./],
    ['scratch', /^scratch\./],
    ['exchange between machines', /^exchange\./],
  ]
  const sizes = groups.map(([name, pattern]) => {
    const slots = reservations.slots.filter(slot => pattern.test(slot.name))
    return { name, size: slots.reduce((sum, { dtype, shape }) => sum + sizeOf(shape) * bytesPerElement[dtype], 0) }
  })
  const lines = sizes.filter(({ size }) => size > 0).map(({ name, size }) => `${gib(size)} ${name}`)
  const largest = sizes.reduce((most, each) => (each.size > most.size ? each : most))
  return new ConfigError(
    `the run needs ${gib(bytes)} of shared memory, expected at most ${gib(MAX_ARENA_BYTES)}; ${lines.join(' + ')}; ` +
      `the model is ${networkText(plan.widths, plan.convolutions)} with ${plan.optimizer.type}, batch ${plan.batchSize}`,
    {
      hint:
        plan.convolutions.length > 0 && largest.name === OF_BATCH
          ? 'make train.batchSize smaller, and train.accumulateSteps larger: a step is then several mini-batches, one after the other'
          : plan.convolutions.length > 0
            ? 'make filters and size of model.convolutions smaller, pool more before model.hidden, or make that smaller'
            : 'make model.hidden or train.batchSize smaller, or use an optimizer with fewer moments',
    },
  )
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`
