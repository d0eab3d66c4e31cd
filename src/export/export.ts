/** Writes the weights of a run for other programs. Main thread; the file is whole or absent. */
import { extname } from 'node:path'
import { inspect } from 'node:util'
import { ConfigError } from '../errors.js'
import { Predictor } from '../inference/predictor.js'
import { writeAtomically } from '../run/atomic.js'
import { writeTensorFile } from '../run/tensor-file.js'
import { gradloomVersion } from '../run/version.js'
import type { NamedWeights } from '../run/weights.js'

export const FORMATS = ['npz', 'safetensors', 'onnx'] as const
export type ExportFormat = (typeof FORMATS)[number]

export interface Exported {
  readonly format: ExportFormat
  readonly file: string
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[]
}

/** The format that a file's name asks for. */
export function formatOf(file: string): ExportFormat {
  const format = FORMATS.find(name => extname(file).toLowerCase() === `.${name}`)
  if (format) return format
  const names = FORMATS.map(name => `.${name}`).join(', ')
  throw new ConfigError(`export: file is ${inspect(file)}, expected a name that ends in one of ${names}`, {
    hint: `--format ${FORMATS.join('|')}`,
  })
}

/** `target` is a run directory or a checkpoint. Overwrites `file`. */
export async function exportWeights(
  target: string,
  file: string,
  format: ExportFormat = formatOf(file),
): Promise<Exported> {
  const predictor = await Predictor.open(target)
  const { classNames, widths, source } = predictor
  const parameters = source.planned.layout.parameters.map(({ parameter: { name, dims } }): NamedWeights => {
    return { name, shape: dims, data: predictor.parameter(name).data }
  })
  try {
    await write(file, format, parameters, {
      ...{ widths, classNames, parameters, producerVersion: gradloomVersion() },
      ...{ activation: source.experiment.model.activation, norm: source.planned.plan.norm },
    })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause
    throw new ConfigError(`export: ${file} cannot be written: ${(cause as Error).message}`, { cause })
  }
  return { format, file, parameters: parameters.map(({ name, shape }) => ({ name, shape })) }
}

async function write(
  file: string,
  format: ExportFormat,
  parameters: readonly NamedWeights[],
  model: Parameters<typeof import('./onnx.js').encodeOnnx>[0],
): Promise<void> {
  if (format === 'safetensors') {
    const tensors = parameters.map(({ name, shape, data }) => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      return { name, shape, dtype: 'F32' as const, data: () => [bytes] }
    })
    await writeTensorFile(file, tensors, { classes: JSON.stringify(model.classNames) })
    return
  }
  const bytes =
    format === 'npz' ? (await import('./npz.js')).encodeNpz(parameters) : (await import('./onnx.js')).encodeOnnx(model)
  await writeAtomically(file, handle => handle.writeFile(bytes))
}
