/**
 * Checkpoint files, written and read: the parameters of a network in a safetensors file, with the state of training and the
 * digests `weightsSha256` and `stateSha256` in its metadata.
 * Main thread. The tensors may be views of shared memory; the caller ensures that nobody writes them meanwhile.
 */
import { createHash, type Hash } from 'node:crypto'
import { endianness } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import { parseInput, type SavedInput } from '../data/input.js'
import { RunError } from '../errors.js'
import { CheckpointError } from '../formats/safetensors.js'
import { PIECE_BYTES, TensorFile, writeTensorFile } from '../formats/tensor-file.js'
import { type Kernel, kernelShape, turnKernel } from '../model/channels-first.js'
import { floatsOf, roundToBf16, widenBf16 } from '../tensor/bf16.js'
import { isKernelOf, isStoredKernel, logicalKernel } from './kernel-form.js'

/** A parameter by its name and shape in files: `layers.<i>.weight` (in, out), `layers.<i>.bias` (out). */
export interface NamedWeights {
  readonly name: string
  readonly shape: readonly number[]
  /** Row-major. May be a getter that gathers the data anew: it is read once for each pass over the parameters. */
  readonly data: Float32Array
  /** Of a convolution, whose weight a model has as (filters, channels, size, size); else absent. */
  readonly kernel?: Kernel | undefined
}

/** Position in training, and the experiment. */
export interface CheckpointState {
  readonly step: number
  readonly epoch: number
  readonly rowsSeen: number
  /** The resolved experiment, as in the file, not validated. */
  readonly experiment: unknown
  /** Input specification of the network; undefined in files of older versions, and if none was given. */
  readonly input?: SavedInput | undefined
  /** Training state as JSON: everything else that decides what happens next; null in a file that only has weights. Not validated. */
  readonly training?: unknown
}

export interface Checkpoint extends CheckpointState {
  readonly weightsSha256: string
  /** Digest of the bytes of all tensors: parameters, then moments. Without moments it is `weightsSha256`. */
  readonly stateSha256: string
  readonly training: unknown
  /** `weightsSha256` of the run that a model was exported from; null for a checkpoint. */
  readonly trainedSha256: string | null
}

/** Number type of exported weights. Digests of bf16 are those of the f32 values that it stands for. */
export type ModelDtype = 'F32' | 'BF16'

export interface Digests {
  readonly weightsSha256: string
  readonly stateSha256: string
}

/** Suffix of the optimizer's moments of a parameter, and of its average, after the parameter's name. */
const MOMENT = /\.(moment\d+|average)$/
export const isMoment = (name: string): boolean => MOMENT.test(name)

const FORMAT = 'gradloom'
const FORMAT_VERSION = '1'

/** SHA-256 over the little-endian f32 bytes of all parameters in the given order, in hexadecimal. */
export async function weightsSha256(parameters: Iterable<NamedWeights>): Promise<string> {
  return (await digestsOf(parameters, [])).weightsSha256
}

/** SHA-256 of the parameters, and of parameters and moments. */
export async function digestsOf(parameters: Iterable<NamedWeights>, moments: Iterable<NamedWeights>): Promise<Digests> {
  const hash = createHash('sha256')
  await updateHash(hash, parameters)
  const weights = hash.copy().digest('hex')
  await updateHash(hash, moments)
  return { weightsSha256: weights, stateSha256: hash.digest('hex') }
}

async function updateHash(hash: Hash, tensors: Iterable<NamedWeights>): Promise<void> {
  for (const { data } of tensors) {
    for (const bytes of pieces(bytesOf(data))) {
      hash.update(bytes)
      await setImmediate() // keep the event loop free: 4 MiB take a few milliseconds
    }
  }
}

/** Writes a checkpoint atomically: the parameters, and the optimizer's moments if it is to be resumed. */
export async function saveWeights(
  file: string,
  parameters: readonly NamedWeights[],
  state: CheckpointState,
  moments: readonly NamedWeights[] = [],
): Promise<Digests> {
  const digests = await digestsOf(parameters, moments)
  await writeTensorFile(
    file,
    [...parameters, ...moments].map(({ name, shape, data }) => ({
      name,
      dtype: 'F32' as const,
      shape,
      data: () => pieces(bytesOf(data)),
    })),
    { ...metadataOf(state), ...digests },
  )
  return digests
}

function metadataOf({ step, epoch, rowsSeen, experiment, input, training }: CheckpointState): Record<string, string> {
  return {
    format: FORMAT,
    formatVersion: FORMAT_VERSION,
    step: String(step),
    epoch: String(epoch),
    rowsSeen: String(rowsSeen),
    experiment: JSON.stringify(experiment),
    ...(input && { input: JSON.stringify(input) }),
    training: JSON.stringify(training ?? null),
  }
}

/**
 * Writes a model atomically: the weights that the run is scored with, which every command reads as it reads a
 * checkpoint, but which training cannot resume from. Returns the digests of what a reader gets.
 */
export async function saveModel(
  file: string,
  parameters: readonly NamedWeights[],
  {
    dtype,
    trainedSha256,
    metadata,
    ...state
  }: CheckpointState & {
    readonly dtype: ModelDtype
    readonly trainedSha256: string
    readonly metadata: Readonly<Record<string, string>>
  },
): Promise<Digests> {
  const read = parameters.map(({ data, ...parameter }) => {
    return { ...parameter, data: dtype === 'BF16' ? widenBf16(roundToBf16(data)) : data }
  })
  const digests = await digestsOf(read, [])
  await writeTensorFile(
    file,
    read.map(({ name, shape, data, kernel }) => ({
      ...{ name, dtype, shape: kernel ? kernelShape(kernel, shape[1]) : shape },
      data() {
        const stored = kernel ? turnKernel(data, kernel, shape[1], 'last') : data
        return pieces(dtype === 'BF16' ? new Uint8Array(roundToBf16(stored).buffer) : bytesOf(stored))
      },
    })),
    { ...metadataOf(state), ...metadata, trainedSha256, ...digests },
  )
  return digests
}

/** Metadata of a checkpoint; its weights are not read. */
export async function readCheckpoint(file: string): Promise<Checkpoint> {
  const tensors = await TensorFile.open(file)
  try {
    return checkpointOf(tensors)
  } finally {
    await tensors.close()
  }
}

/**
 * Overwrites the data of `parameters` with the weights of a checkpoint, which must have exactly these names and
 * shapes; moments are ignored. When it throws, the data may be partly overwritten, and must not be used.
 */
export async function loadWeights(file: string, parameters: readonly NamedWeights[]): Promise<Checkpoint> {
  return load(file, parameters, null)
}

/** Loads the weights that a run is scored with: averages, if it keeps them. A model has only these. */
export async function loadScored(
  file: string,
  parameters: readonly NamedWeights[],
  ema: number | null,
): Promise<Checkpoint> {
  if (ema === null || (await readCheckpoint(file)).trainedSha256 !== null) return loadWeights(file, parameters)
  return loadAverages(file, parameters)
}

/**
 * Loads weights, with the average of each parameter that has one in its place: the weights that the run is scored with. Throws
 * CheckpointError if the file has none.
 */
export async function loadAverages(file: string, parameters: readonly NamedWeights[]): Promise<Checkpoint> {
  const checkpoint = await loadWeights(file, parameters)
  const tensors = await TensorFile.open(file)
  try {
    await verifyDigests(tensors)
    const averaged = parameters.flatMap(({ name, shape, data }) => {
      const found = tensors.header.tensors.get(`${name}.average`)
      if (!found) return []
      if (found.dtype !== 'F32' || shapeText(found.shape) !== shapeText(shape)) {
        throw new CheckpointError(
          `${file}: ${found.name} is ${found.dtype} ${shapeText(found.shape)}, expected F32 ${shapeText(shape)}`,
        )
      }
      return [{ name: found.name, data }]
    })
    if (averaged.length === 0) {
      throw new CheckpointError(`${file}: has no averages of weights, expected them because train.ema.decay is set`)
    }
    for (const { name, data } of averaged) await tensors.read(name, bytesOf(data))
    return checkpoint
  } finally {
    await tensors.close()
  }
}

/** Loads parameters and moments: all that training changes. */
export async function loadState(
  file: string,
  parameters: readonly NamedWeights[],
  moments: readonly NamedWeights[],
): Promise<Checkpoint> {
  return load(file, parameters, moments)
}

async function load(
  file: string,
  parameters: readonly NamedWeights[],
  moments: readonly NamedWeights[] | null,
): Promise<Checkpoint> {
  const tensors = await TensorFile.open(file)
  try {
    const checkpoint = checkpointOf(tensors)
    expectSameTensors(tensors, [...parameters, ...(moments ?? [])], moments === null)
    for (const { name, data } of [...parameters, ...(moments ?? [])]) {
      const { dtype, shape } = tensors.header.tensors.get(name)!
      if (dtype === 'BF16') {
        const halves = new Uint16Array(data.length)
        await tensors.read(name, new Uint8Array(halves.buffer))
        data.set(widenBf16(halves))
      } else await tensors.read(name, bytesOf(data))
      if (isStoredKernel(shape)) data.set(logicalKernel(data, shape))
    }
    const { weightsSha256, stateSha256 } = await digestsOf(parameters, moments ?? [])
    expectDigest(file, 'weights', weightsSha256, checkpoint.weightsSha256)
    if (moments !== null) expectDigest(file, 'optimizer state', stateSha256, checkpoint.stateSha256)
    return checkpoint
  } finally {
    await tensors.close()
  }
}

/** Reads all tensors, parameters first and then moments, and compares their digests with those in the metadata. */
export async function verifyDigests(tensors: TensorFile): Promise<Checkpoint> {
  const checkpoint = checkpointOf(tensors)
  const names = [...tensors.header.tensors.keys()]
  const hash = createHash('sha256')
  const update = async (some: readonly string[]) => {
    for (const name of some) {
      const { dtype, shape } = tensors.header.tensors.get(name)!
      const half = dtype === 'BF16'
      const whole: Uint8Array[] = []
      for await (const bytes of tensors.pieces(name)) {
        const floats = half ? bytesOf(floatsOf(bytes, 'BF16')) : bytes
        if (isStoredKernel(shape)) whole.push(floats.slice())
        else hash.update(floats)
      }
      if (whole.length > 0)
        hash.update(bytesOf(logicalKernel(floatsOf(new Uint8Array(Buffer.concat(whole)), 'F32'), shape)))
    }
  }
  await update(names.filter(name => !isMoment(name)))
  expectDigest(tensors.file, 'weights', hash.copy().digest('hex'), checkpoint.weightsSha256)
  await update(names.filter(isMoment))
  expectDigest(tensors.file, 'optimizer state', hash.digest('hex'), checkpoint.stateSha256)
  return checkpoint
}

function expectDigest(file: string, what: string, got: string, want: string): void {
  if (got === want) return
  throw new CheckpointError(`${file}: SHA-256 of the ${what} is ${got}, expected ${want}; the file is damaged`, {
    hint: 'use another checkpoint of the run',
  })
}

/** Checkpoint from the metadata of an open file. */
export function checkpointOf({ file, header: { metadata } }: TensorFile): Checkpoint {
  const format = metadata.get('format')
  const version = metadata.get('formatVersion')
  if (format !== FORMAT) {
    throw new CheckpointError(
      `${file}: format is ${inspect(format)}, expected '${FORMAT}'; this is no checkpoint of gradloom`,
    )
  }
  // No CheckpointError: the file is whole, so it must not be skipped as damaged, or removed.
  if (/^\d{1,9}$/.test(version ?? '') && Number(version) > Number(FORMAT_VERSION)) {
    throw new RunError(
      `${file}: formatVersion is '${version}', expected '${FORMAT_VERSION}'; a newer version of gradloom wrote it`,
      { hint: 'read it with that version: npm install gradloom@latest' },
    )
  }
  if (version !== FORMAT_VERSION) {
    throw new CheckpointError(`${file}: formatVersion is ${inspect(version)}, expected '${FORMAT_VERSION}'`, {
      hint: 'read it with the version of gradloom that wrote it, or train again',
    })
  }
  const text = (key: string, pattern: RegExp, wanted: string): string => {
    const value = metadata.get(key)
    if (value === undefined || !pattern.test(value)) {
      throw new CheckpointError(`${file}: metadata ${key} is ${inspect(value)}, expected ${wanted}`)
    }
    return value
  }
  const count = (key: string) => Number(text(key, /^(0|[1-9]\d{0,14})$/, 'an integer >= 0'))
  return {
    step: count('step'),
    epoch: count('epoch'),
    rowsSeen: count('rowsSeen'),
    experiment: jsonOf(file, 'experiment', text('experiment', /^\{/, 'a JSON object')),
    input: inputOf(file, metadata.get('input')),
    training: jsonOf(file, 'training', text('training', /^(\{|null$)/, 'a JSON object or null')),
    weightsSha256: text('weightsSha256', /^[0-9a-f]{64}$/, '64 hexadecimal digits'),
    stateSha256: text('stateSha256', /^[0-9a-f]{64}$/, '64 hexadecimal digits'),
    trainedSha256: metadata.has('trainedSha256')
      ? text('trainedSha256', /^[0-9a-f]{64}$/, '64 hexadecimal digits')
      : null,
  }
}

function inputOf(file: string, json: string | undefined): SavedInput | undefined {
  try {
    return parseInput(json)
  } catch (cause) {
    throw new CheckpointError(`${file}: metadata input: ${(cause as Error).message}, expected the input of a network`, {
      cause,
    })
  }
}

function jsonOf(file: string, key: string, json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new CheckpointError(`${file}: metadata ${key} is not JSON: ${(cause as Error).message}`, { cause })
  }
}

/** Compares names and shapes, and reports all differences at once: the whole list shows best which network it is. */
function expectSameTensors(
  { file, header: { tensors, metadata } }: TensorFile,
  parameters: readonly NamedWeights[],
  momentsAllowed: boolean,
): void {
  const wanted = new Set(parameters.map(({ name }) => name))
  const missing = parameters.filter(({ name }) => !tensors.has(name)).map(({ name }) => name)
  const known = (name: string) => wanted.has(momentsAllowed ? name.replace(MOMENT, '') : name)
  const extra = [...tensors.keys()].filter(name => !known(name))
  const different = parameters.flatMap(({ name, shape }) => {
    const found = tensors.get(name)
    const fits = found?.dtype === 'F32' || (found?.dtype === 'BF16' && metadata.has('trainedSha256'))
    const isKernel =
      metadata.has('trainedSha256') && isStoredKernel(found?.shape ?? []) && isKernelOf(found!.shape, shape)
    if (!found || (fits && (isKernel || shapeText(found.shape) === shapeText(shape)))) return []
    return [`${name} is ${found.dtype} ${shapeText(found.shape)}, expected F32 ${shapeText(shape)}`]
  })
  const problems = [
    ...different,
    ...(missing.length > 0 ? [`missing: ${listed(missing)}`] : []),
    ...(extra.length > 0 ? [`not expected: ${listed(extra)}`] : []),
  ]
  if (problems.length > 0) {
    throw new CheckpointError(`${file}: weights do not fit the model: ${listed(problems, '; ')}`, {
      hint: 'the experiment must have the model and the data set that the checkpoint was trained with',
    })
  }
}

function shapeText(shape: readonly number[]): string {
  return `(${shape.join(', ')})`
}

function listed(items: readonly string[], separator = ', '): string {
  const shown = items.slice(0, 10)
  return (
    shown.join(separator) + (items.length > shown.length ? `${separator}and ${items.length - shown.length} more` : '')
  )
}

/** Bytes of the same memory. They are little-endian wherever Node.js runs today; another machine is an error. */
function bytesOf(data: Float32Array): Uint8Array {
  if (endianness() !== 'LE') throw new CheckpointError('weights: byte order is big-endian, expected little-endian')
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES)
}
