/**
 * Weights as NumPy's .npz: a zip archive of one .npy file for each parameter, which `numpy.load` reads by name.
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Pure; any thread.
 */
import { zipSync } from 'fflate'
import { ConfigError } from '../errors.js'
import { FACTS } from '../formats/npz-facts.js'
import type { NamedWeights } from '../run/checkpoint-file.js'

/** Maximum size of an archive without the 64-bit extensions of zip. */
const MOST_BYTES = 2 ** 32 - 2 ** 20
/** Equal weights make equal files; zip knows no earlier year. */
const TIME = new Date(1980, 0, 1)
const ALIGN = 64

/** `facts`: a description of the model in JSON, kept as one text; null: none. Throws ConfigError for more than 4 GiB. */
export function encodeNpz(parameters: readonly NamedWeights[], facts: object | null = null): Uint8Array {
  const size = parameters.reduce((sum, { data }) => sum + data.byteLength, 0)
  if (size > MOST_BYTES) {
    throw new ConfigError(`weights are ${size} bytes, expected at most ${MOST_BYTES} in npz`, {
      hint: '--format safetensors',
    })
  }
  const files = Object.fromEntries(
    parameters.map(({ name, shape, data }): [string, Uint8Array] => {
      return [`${name}.npy`, encodeNpy('<f4', shape, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))]
    }),
  )
  if (facts !== null) {
    const text = Buffer.from(JSON.stringify(facts))
    files[`${FACTS}.npy`] = encodeNpy(`|S${text.length}`, [], text)
  }
  return zipSync(files, { level: 0, mtime: TIME }) // weights are noise to a compressor
}

function encodeNpy(type: string, shape: readonly number[], data: Uint8Array): Uint8Array {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const header = `{'descr': '${type}', 'fortran_order': False, 'shape': (${dims}), }`
  const prefix = 10 // magic, version, length of the header
  const length = Math.ceil((prefix + header.length + 1) / ALIGN) * ALIGN - prefix
  const start = Buffer.alloc(prefix + length, ' ')
  start.write('\x93NUMPY\x01\x00', 'latin1')
  start.writeUInt16LE(length, 8)
  start.write(header, prefix, 'latin1')
  start[start.length - 1] = 0x0a
  return new Uint8Array(Buffer.concat([start, data]))
}
