/** Writes the weights of a run for other programs. Main thread; the file is whole or absent. */
import { readFile, rm } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { inspect } from 'node:util'
import type { Experiment } from '../config/schema.js'
import { TASK_FACTS } from '../config/tasks.js'
import { deviation, type Scaling } from '../data/input.js'
import { KNOWN } from '../data/known.js'
import type { TableEncoding } from '../data/table/encoding.js'
import { ConfigError } from '../errors.js'
import { writeAtomically } from '../files/atomic.js'
import { FACTS_VERSION } from '../formats/npz-facts.js'
import { writeTensorFile } from '../formats/tensor-file.js'
import { Predictor } from '../inference/predictor.js'
import { type Kernel, kernelShape } from '../model/channels-first.js'
import type { Convolution } from '../model/convolution.js'
import { forwardSettings } from '../model/forward.js'
import { type ModelDtype, type NamedWeights, readCheckpoint, saveModel } from '../run/checkpoint-file.js'
import { againIfPruned } from '../run/open.js'
import { gradloomVersion } from '../version.js'
import type { PytorchModel } from './pytorch.js'

export const FORMATS = ['npz', 'safetensors', 'onnx', 'tfjs', 'pytorch'] as const
export type ExportFormat = (typeof FORMATS)[number]

export interface Exported {
  readonly format: ExportFormat
  readonly file: string
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[]
}

const EXTENSIONS: Readonly<Record<ExportFormat, string>> = {
  npz: '.npz',
  safetensors: '.safetensors',
  onnx: '.onnx',
  tfjs: '.json',
  pytorch: '.safetensors',
}

function expectFile(file: string): void {
  if (file !== '-') return
  throw new ConfigError('export: file is "-", expected a file; a model is not written to stdout')
}

/** The format that a file's name asks for. */
export function formatOf(file: string): ExportFormat {
  expectFile(file)
  const format = FORMATS.find(name => extname(file).toLowerCase() === EXTENSIONS[name])
  if (format) return format
  const names = [...new Set(Object.values(EXTENSIONS))].join(', ')
  throw new ConfigError(`export: file is ${inspect(file)}, expected a name that ends in one of ${names}`, {
    hint: `--format ${FORMATS.join('|')}`,
  })
}

export interface ExportOptions {
  /** Default: by the file's name. */
  readonly format?: ExportFormat
  /** Other than F32 in safetensors alone. */
  readonly dtype?: ModelDtype
}

/**
 * `target` is a run directory or a checkpoint. Overwrites `file`; tfjs has its weights in files beside it. A safetensors
 * file is a model that every command of gradloom opens as it opens a checkpoint.
 */
export async function exportWeights(
  target: string,
  file: string,
  { format = formatOf(file), dtype = 'F32' }: ExportOptions = {},
): Promise<Exported> {
  expectFile(file)
  if (dtype !== 'F32' && format !== 'safetensors') {
    throw new ConfigError(`export: dtype is ${dtype}, expected F32 in ${format}`, { hint: '--format safetensors' })
  }
  return againIfPruned(() => exportOnce(target, file, { format, dtype }))
}

async function exportOnce(target: string, file: string, { format, dtype }: Required<ExportOptions>): Promise<Exported> {
  const predictor = await Predictor.open(target)
  const { outputNames, widths, convolutions, source, task } = predictor
  if (format === 'pytorch') expectNoEmbeddings(target, format, source.input.table)
  const { model, train } = source.experiment
  const parameters = predictor.parameterNames.map((name): NamedWeights => {
    const { shape, data } = predictor.parameter(name)
    return { name, shape, data, kernel: kernelOf(name, convolutions) }
  })
  const writeAll = () => {
    if (format === 'safetensors') return writeModel(file, dtype, parameters, predictor)
    return write(file, format, {
      ...{ widths, convolutions, outputNames, task, producerVersion: gradloomVersion() },
      parameters: inUnits(parameters, widths.length - 2, source.input.targets),
      ...{ activation: model.activation, norm: { type: model.norm, epsilon: model.normEpsilon } },
      ...{ loss: train.loss, scaling: source.input.scaling, table: source.input.table },
      ...{ shape: source.input, dropout: dropoutOf(source.experiment), normMomentum: model.normMomentum },
      facts: {
        formatVersion: FACTS_VERSION,
        generatedBy: `gradloom ${gradloomVersion()}`,
        input: source.input,
        forward: forwardSettings(source.experiment),
      },
    })
  }
  try {
    const written = await writeAll()
    return { format, file, parameters: written.map(({ name, shape }) => ({ name, shape })) }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause
    throw new ConfigError(`export: ${file} cannot be written: ${(cause as Error).message}`, { cause })
  }
}

/** Throws ConfigError for a model whose categories are rows of a table: the network there takes features. */
function expectNoEmbeddings(target: string, format: ExportFormat, table: TableEncoding | undefined): void {
  const embedded = table?.columns.filter(({ kind }) => kind === 'embedding') ?? []
  if (embedded.length === 0) return
  const names = embedded.map(({ column }) => inspect(column)).join(', ')
  throw new ConfigError(`${target}: embeds ${names}, expected one feature for each category in ${format}`, {
    hint: '--format onnx, tfjs, npz or safetensors has the embeddings; or train with --set data.categories.above=hash',
  })
}

/** Weights for regression: the last layer, which is linear, scaled so that its outputs are in the units of the data. */
function inUnits(parameters: readonly NamedWeights[], last: number, targets: Scaling | null): readonly NamedWeights[] {
  if (!targets) return parameters
  const { offset, factor } = targets
  const units = factor.map(deviation)
  return parameters.map(({ name, shape, data, kernel }) => {
    if (name === `layers.${last}.bias`) return { name, shape, data: data.map((b, k) => offset[k] + b * units[k]) }
    if (name !== `layers.${last}.weight`) return { name, shape, data, kernel }
    return { name, shape, data: data.map((w, i) => w * units[i % units.length]) }
  })
}

/** Returns the weights by their names and shapes in the file; of ONNX and TensorFlow.js, whose writers arrange them, those of the model. */
async function write(
  file: string,
  format: 'npz' | 'onnx' | 'tfjs' | 'pytorch',
  { facts, ...model }: PytorchModel & { readonly facts: object },
): Promise<readonly NamedWeights[]> {
  switch (format) {
    case 'tfjs':
      await writeTfjs(file, model)
      return model.parameters
    case 'onnx': {
      const bytes = (await import('./onnx.js')).encodeOnnx(model)
      await writeAtomically(file, handle => handle.writeFile(bytes))
      return model.parameters
    }
    case 'npz': {
      const { scalingArrays } = await import('./onnx.js')
      const scales = scalingArrays(model.scaling ?? unitScaling(model.widths[0]))
      const parameters = model.parameters.map(withKernel)
      const bytes = (await import('./npz.js')).encodeNpz([...scales, ...parameters], facts)
      await writeAtomically(file, handle => handle.writeFile(bytes))
      return parameters
    }
    case 'pytorch':
      return writeStateDictionary(file, model, facts)
  }
}

async function writeStateDictionary(
  file: string,
  model: PytorchModel,
  facts: object,
): Promise<readonly NamedWeights[]> {
  const { stateDictionary } = await import('./pytorch.js')
  const { tensors, metadata } = stateDictionary(model, facts)
  const sources = tensors.map(({ name, shape, data }) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    return { name, dtype: 'F32' as const, shape, data: () => [bytes] }
  })
  await writeTensorFile(file, sources, metadata)
  return tensors
}

/** The weight of a convolution as (height, width, channels, filters): the same numbers in the same order. */
function withKernel({ name, shape, data, kernel }: NamedWeights): NamedWeights {
  return { name, shape: kernel ? [kernel.size, kernel.size, kernel.channels, shape[1]] : shape, data }
}

/** The window of a convolution's weight; undefined for any other parameter. */
function kernelOf(name: string, convolutions: readonly Convolution[]): Kernel | undefined {
  const window = convolutions[Number(/^layers\.(\d+)\.weight$/.exec(name)?.[1] ?? Number.NaN)]?.window
  return window && { size: window.size, channels: window.input.channels }
}

/** Dropout behind each hidden block, convolutions first. */
const dropoutOf = ({ model: { convolutions = [], hidden, dropout } }: Experiment): number[] => [
  ...convolutions.map(convolution => convolution.dropout),
  ...(typeof dropout === 'number' ? hidden.map(() => dropout) : dropout),
]

/** Bytes divided by 255, as offsets and factors. */
const unitScaling = (features: number): Scaling => ({
  offset: Array<number>(features).fill(0),
  factor: Array<number>(features).fill(Math.fround(1 / 255)),
})

/** Writes the description last: whoever finds it finds the weights too. Shards of an older export are removed then. */
async function writeTfjs(file: string, model: Parameters<typeof import('./tfjs.js').encodeTfjs>[0]): Promise<void> {
  const { encodeTfjs, shardsOf } = await import('./tfjs.js')
  const stem = basename(file, extname(file))
  const older = shardsOf(await readFile(file, 'utf8').catch(() => ''), stem)
  const { json, shards } = encodeTfjs(model, stem)
  for (const { name, bytes } of shards) {
    await writeAtomically(join(dirname(file), name), handle => handle.writeFile(bytes))
  }
  await writeAtomically(file, handle => handle.writeFile(json))
  const kept = new Set(shards.map(({ name }) => name))
  for (const name of older) if (!kept.has(name)) await rm(join(dirname(file), name), { force: true })
}

async function writeModel(
  file: string,
  dtype: ModelDtype,
  parameters: readonly NamedWeights[],
  { outputNames, task, source }: Predictor,
): Promise<readonly NamedWeights[]> {
  const { step, epoch, rowsSeen, experiment, input, weightsSha256, trainedSha256 } = await readCheckpoint(
    source.checkpoint,
  )
  await saveModel(file, parameters, {
    ...{ step, epoch, rowsSeen, input, dtype, trainedSha256: trainedSha256 ?? weightsSha256 },
    experiment: travelling(experiment as Experiment, source.backend),
    metadata: { [TASK_FACTS[task].outputs[1]]: JSON.stringify(outputNames) },
  })
  return parameters.map(({ kernel, shape, ...rest }) => {
    return { ...rest, shape: kernel ? kernelShape(kernel, shape[1]) : shape }
  })
}

/** Known data sets are found wherever the reader keeps them, and `auto` is what it came to be. */
function travelling(experiment: Experiment, backend: string | null): object {
  const { data, compute } = experiment
  return {
    ...experiment,
    data: data.dataset in KNOWN || data.dataset === 'digits' ? { ...data, path: null } : data,
    compute: { ...compute, library: null, ...(backend !== null && { backend }) },
  }
}
