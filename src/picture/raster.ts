/** A decoded picture, its limits, and the error for one that cannot be read. Pure; any thread. */
import { inspect } from 'node:util'
import { GradloomError } from '../errors.js'

/** 8 bits a channel, row by row from the top left; alpha is not multiplied into the colours. */
export interface Picture {
  /** Name of the file's format, such as `PNG`. */
  readonly format: string
  readonly width: number
  readonly height: number
  readonly rgba: Uint8Array // (height, width, 4)
  /** Pixels of the file, upright, where the picture was made smaller or larger on reading. */
  readonly original?: Size
}

export interface Size {
  readonly height: number
  readonly width: number
}

/** A picture cannot be read: it is damaged, too large, or of a kind that is not known here. */
export class PictureError extends GradloomError {
  constructor(message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super('PictureError', message, options)
  }
}

/** Largest picture: 256 MiB as RGBA. */
export const MAX_PIXELS = 64e6

/** Throws where a header asks for more pixels than we would decode. */
export function checkSize(where: string, { width, height }: Size, most: number): void {
  if (width > 0 && height > 0 && width * height <= most) return
  const limit = `1 x 1 to ${most / 1e6} megapixels`
  throw new PictureError(`${where}: size is ${width} x ${height} pixels, expected ${limit}`, {
    hint: width * height > most ? 'make it smaller first: what is recognised has a few hundred pixels' : undefined,
  })
}

/** The words of a decoder's error, or of whatever it threw. */
export const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : inspect(cause))
