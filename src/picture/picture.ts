/**
 * Picture files from anywhere: PNG and JPEG, by content and not by name, to RGBA. Main thread.
 *
 * Such a file may lie, or be made to harm: sizes are read from the header and checked before anything is allocated for
 * them, and what is damaged is an error, never a guess.
 */
import { open } from 'node:fs/promises'
import { inspect } from 'node:util'
import { GradloomError } from '../errors.js'

/** 8 bits a channel, row by row from the top left; alpha is not multiplied into the colours. */
export interface Picture {
  readonly format: 'PNG' | 'JPEG'
  readonly width: number
  readonly height: number
  readonly rgba: Uint8Array // (height, width, 4)
}

/** A picture cannot be read: it is damaged, too large, or of a kind that is not known here. */
export class PictureError extends GradloomError {
  constructor(message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super('PictureError', message, options)
  }
}

/** Of a file; photographs of 64 megapixels stay below it. */
const MAX_FILE_BYTES = 128 * 2 ** 20
/** 256 MiB as RGBA. */
export const MAX_PIXELS = 64e6
/** jpeg-js keeps every block of coefficients as an object of its own, about 40 bytes a pixel in all. */
export const MAX_JPEG_PIXELS = 32e6

export async function readPicture(file: string): Promise<Picture> {
  return decodePicture(file, await readBytes(file))
}

/** `where` begins messages: the file's name. `mostPixels` lowers the limits below. */
export async function decodePicture(where: string, bytes: Uint8Array, mostPixels = MAX_PIXELS): Promise<Picture> {
  if (startsWith(bytes, [0x89, 0x50, 0x4e, 0x47])) return (await import('./png.js')).decodePng(where, bytes, mostPixels)
  if (startsWith(bytes, [0xff, 0xd8])) return (await import('./jpeg.js')).decodeJpeg(where, bytes, mostPixels)
  const first = bytes.length === 0 ? 'nothing: it is empty' : Buffer.from(bytes.subarray(0, 8)).toString('hex')
  throw new PictureError(`${where}: begins with ${first}, expected a PNG (89504e47…) or JPEG (ffd8…) picture`, {
    hint: 'save it as PNG',
  })
}

/** Throws where a header asks for more pixels than we would allocate. */
export function checkSize(where: string, width: number, height: number, most: number): void {
  if (width > 0 && height > 0 && width * height <= most) return
  const limit = `1 x 1 to ${most / 1e6} megapixels`
  throw new PictureError(`${where}: size is ${width} x ${height} pixels, expected ${limit}`, {
    hint: width * height > most ? 'make it smaller first: what is recognised has a few hundred pixels' : undefined,
  })
}

/** The words of a decoder's error, or of whatever it threw. */
export const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : inspect(cause))

const startsWith = (bytes: Uint8Array, start: readonly number[]): boolean => start.every((byte, i) => bytes[i] === byte)

export async function readBytes(file: string): Promise<Uint8Array> {
  try {
    const handle = await open(file, 'r')
    try {
      const status = await handle.stat()
      if (!status.isFile()) throw new PictureError(`${file}: is not a regular file, expected a PNG or JPEG picture`)
      if (status.size > MAX_FILE_BYTES) {
        throw new PictureError(`${file}: is ${status.size} bytes long, expected at most ${MAX_FILE_BYTES}`)
      }
      return await handle.readFile()
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (cause instanceof GradloomError) throw cause
    throw new PictureError(`${file}: cannot be read: ${reasonOf(cause)}; expected a PNG or JPEG picture`, { cause })
  }
}
