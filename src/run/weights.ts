/**
 * Checkpoints: the parameters of a network in a safetensors file, with the state of training in its metadata.
 * Main thread. The tensors may be views of shared memory; the caller sees to it that nobody writes them meanwhile.
 */
import { createHash } from 'node:crypto'
import { endianness } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import { CheckpointError } from './safetensors.js'
import { PIECE_BYTES, TensorFile, writeTensorFile } from './tensor-file.js'

/** A parameter by the name and shape it has in files: `layers.<i>.weight` (in, out), `layers.<i>.bias` (out). */
export interface NamedWeights {
  readonly name: string
  readonly shape: readonly number[]
  /** Row-major. May be a getter that gathers the data anew: it is read once for each pass over the parameters. */
  readonly data: Float32Array
}

/** Where training stood. */
export interface CheckpointState {
  readonly step: number
  readonly epoch: number
  readonly rowsSeen: number
  /** The resolved experiment. A reader gets it as it stands in the file, unchecked. */
  readonly experiment: unknown
}

export interface Checkpoint extends CheckpointState {
  readonly weightsSha256: string
}

const FORMAT = 'gradloom'
const FORMAT_VERSION = '1'

/** SHA-256 over the little-endian f32 bytes of all parameters in the given order, in hexadecimal. */
export async function weightsSha256(parameters: Iterable<NamedWeights>): Promise<string> {
  const hash = createHash('sha256')
  for (const { data } of parameters) {
    for (const bytes of pieces(bytesOf(data))) {
      hash.update(bytes)
      await setImmediate() // the event loop stays free: 4 MiB take a few milliseconds
    }
  }
  return hash.digest('hex')
}

/** Writes a checkpoint, whole or not at all. Returns the digest of its weights. */
export async function saveWeights(
  file: string,
  parameters: readonly NamedWeights[],
  state: CheckpointState,
): Promise<string> {
  const digest = await weightsSha256(parameters)
  await writeTensorFile(
    file,
    parameters.map(parameter => ({
      name: parameter.name,
      dtype: 'F32' as const,
      shape: parameter.shape,
      data: () => pieces(bytesOf(parameter.data)),
    })),
    {
      format: FORMAT,
      formatVersion: FORMAT_VERSION,
      step: String(state.step),
      epoch: String(state.epoch),
      rowsSeen: String(state.rowsSeen),
      experiment: JSON.stringify(state.experiment),
      weightsSha256: digest,
    },
  )
  return digest
}

/** What a checkpoint says of itself; its weights are not read. */
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
 * shapes. When it throws, the data may be partly overwritten, and must not be used.
 */
export async function loadWeights(file: string, parameters: readonly NamedWeights[]): Promise<Checkpoint> {
  const tensors = await TensorFile.open(file)
  try {
    const checkpoint = checkpointOf(tensors)
    expectSameTensors(tensors, parameters)
    for (const { name, data } of parameters) await tensors.read(name, bytesOf(data))
    const digest = await weightsSha256(parameters)
    if (digest !== checkpoint.weightsSha256) {
      throw new CheckpointError(
        `${file}: SHA-256 of the weights is ${digest}, expected ${checkpoint.weightsSha256}; the file is damaged`,
        { hint: 'use another checkpoint of the run' },
      )
    }
    return checkpoint
  } finally {
    await tensors.close()
  }
}

function checkpointOf({ file, header: { metadata } }: TensorFile): Checkpoint {
  const format = metadata.get('format')
  const version = metadata.get('formatVersion')
  if (format !== FORMAT) {
    throw new CheckpointError(
      `${file}: format is ${inspect(format)}, expected '${FORMAT}'; this is no checkpoint of gradloom`,
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
    experiment: experimentOf(file, text('experiment', /^\{/, 'a JSON object')),
    weightsSha256: text('weightsSha256', /^[0-9a-f]{64}$/, '64 hexadecimal digits'),
  }
}

function experimentOf(file: string, json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new CheckpointError(`${file}: metadata experiment is not JSON: ${(cause as Error).message}`, { cause })
  }
}

/** All differences at once: a network of another shape is easier to recognise from the whole list. */
function expectSameTensors({ file, header: { tensors } }: TensorFile, parameters: readonly NamedWeights[]): void {
  const wanted = new Set(parameters.map(({ name }) => name))
  const missing = parameters.filter(({ name }) => !tensors.has(name)).map(({ name }) => name)
  const extra = [...tensors.keys()].filter(name => !wanted.has(name))
  const different = parameters.flatMap(({ name, shape }) => {
    const found = tensors.get(name)
    if (!found || (found.dtype === 'F32' && shapeText(found.shape) === shapeText(shape))) return []
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

/** The same memory as bytes. They are little-endian wherever Node runs today; on another machine, say so. */
function bytesOf(data: Float32Array): Uint8Array {
  if (endianness() !== 'LE') throw new CheckpointError('weights: byte order is big-endian, expected little-endian')
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES)
}
