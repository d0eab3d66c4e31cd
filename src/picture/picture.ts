/**
 * Picture files from anywhere to RGBA, upright, decoded by sharp (libvips). Any thread; decodes on libuv's threads.
 *
 * Such a file may lie, or be made to harm: its size is read from the header and checked before it is decoded, and what
 * is damaged is an error, never a guess. Pixels are the file's numbers: colour profiles and gamma are ignored, 16 bits
 * become 8, CMYK becomes RGB without a profile, animations show their first frame.
 */
import { open, stat } from 'node:fs/promises'
import { endianness } from 'node:os'
import { GradloomError } from '../errors.js'
import { kindOf, READ_FORMATS } from './kinds.js'
import { checkSize, MAX_PIXELS, type Picture, PictureError, reasonOf, type Size } from './raster.js'
import { loadSharp } from './sharp.js'

/** Largest file; photographs of 64 megapixels stay below it. */
const MAX_FILE_BYTES = 128 * 2 ** 20
/** Colour spaces, as libvips names them, whose numbers have one meaning. */
const SPACES: readonly string[] = ['b-w', 'grey16', 'srgb', 'rgb16', 'cmyk']
const LITTLE_ENDIAN = endianness() === 'LE'
const DEPTHS: readonly string[] = ['uchar', 'ushort']

export interface DecodeOptions {
  /** Limit of the file's pixels; at most MAX_PIXELS. */
  readonly mostPixels?: number
  /** Size to bring the picture to, where neither side becomes longer; proportions are not kept. */
  readonly size?: Size | null
  /** Room for pixels that are decoded at the same time: waits for as many as the file has. */
  readonly budget?: { acquire(pixels: number): Promise<() => void> }
  /** Longest side: a larger picture is made smaller, with its proportions. */
  readonly mostSide?: number
}

export async function readPicture(file: string, options: DecodeOptions = {}): Promise<Picture> {
  return decodePicture(file, await readBytes(file), options)
}

/** `where` begins messages: the file's name. Throws PictureError. */
export async function decodePicture(where: string, bytes: Uint8Array, options: DecodeOptions = {}): Promise<Picture> {
  const kind = kindOf(bytes)
  if (!kind?.isRead) throw unknownKind(where, bytes)
  const sharp = await loadSharp(where)
  const cannot = (cause: unknown) =>
    new PictureError(`${where}: the ${kind.name} picture cannot be decoded: ${firstLine(cause)}`, {
      hint: 'the file may be cut short or damaged: open it with another program, or copy it again',
      cause,
    })
  const limitInputPixels = MAX_PIXELS
  const header = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch(cause => Promise.reject(cannot(cause)))
  // One frame of an animation; libvips stacks frames only where it is asked to.
  const stored = { width: header.width, height: header.pageHeight ?? header.height }
  checkSize(where, stored, Math.min(options.mostPixels ?? MAX_PIXELS, MAX_PIXELS))
  if (!SPACES.includes(header.space) || !DEPTHS.includes(header.depth)) {
    throw new PictureError(
      `${where}: the ${kind.name} picture has ${header.depth} samples in colour space ${header.space}, expected grey, RGB or CMYK of 8 or 16 bits`,
      { hint: 'save it as PNG' },
    )
  }
  const original = upright(stored, header.orientation)
  const size = targetOf(original, options)
  // `failOn`: truncated data are an error, though libvips could fill in what is missing.
  let pipeline = sharp(bytes, {
    limitInputPixels,
    ignoreIcc: true,
    failOn: 'warning',
    sequentialRead: true,
  }).autoOrient()
  if (size)
    pipeline = pipeline.resize(size.width, size.height, { fit: 'fill', kernel: 'linear', fastShrinkOnLoad: false })
  const isCmyk = header.space === 'cmyk'
  pipeline = isCmyk ? pipeline.pipelineColourspace('cmyk').toColourspace('cmyk') : pipeline.toColourspace('srgb')
  // The way to RGB brings 16 bits to 8, but CMYK is taken as it is stored.
  const isWide = isCmyk && header.depth === 'ushort'
  const release = await options.budget?.acquire(stored.width * stored.height)
  const { data, info } = await pipeline
    .raw({ depth: isWide ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch(cause => Promise.reject(cannot(cause)))
    .finally(release)
  const { width, height, channels } = info
  const rgba = isCmyk ? rgbaOfCmyk(isWide ? highBytes(data) : data, channels) : rgbaOf(data, channels)
  return { format: kind.name, width, height, rgba, original }
}

function unknownKind(where: string, bytes: Uint8Array): PictureError {
  const name = kindOf(bytes)?.name
  const got =
    bytes.length === 0
      ? 'is empty'
      : name
        ? `is a ${name} file`
        : `begins with ${Buffer.from(bytes.subarray(0, 8)).toString('hex')}`
  return new PictureError(`${where}: ${got}, expected a picture: ${READ_FORMATS}`, { hint: 'save it as PNG' })
}

/** EXIF's orientations 5 to 8 lie on their side. */
const upright = ({ width, height }: Size, orientation = 1): Size =>
  orientation > 4 && orientation <= 8 ? { width: height, height: width } : { width, height }

function targetOf({ width, height }: Size, { size, mostSide }: DecodeOptions): Size | null {
  if (size) {
    const isSmaller = size.width <= width && size.height <= height
    return isSmaller && (size.width < width || size.height < height) ? size : null
  }
  const scale = (mostSide ?? Number.POSITIVE_INFINITY) / Math.max(width, height)
  if (scale >= 1) return null
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) }
}

/** Grey or RGB, with or without alpha. */
function rgbaOf(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 4) return data
  const rgba = new Uint8Array((data.length / channels) * 4)
  const colours = channels > 2 ? 3 : 1
  for (let from = 0, to = 0; from < data.length; from += channels, to += 4) {
    for (let c = 0; c < 3; c++) rgba[to + c] = data[from + (c % colours)]
    rgba[to + 3] = channels === 2 ? data[from + 1] : 255
  }
  return rgba
}

/** Each ink takes away its part of the light. A fifth channel is alpha. */
function rgbaOfCmyk(data: Uint8Array, channels: number): Uint8Array {
  const rgba = new Uint8Array((data.length / channels) * 4)
  for (let from = 0, to = 0; from < data.length; from += channels, to += 4) {
    for (let c = 0; c < 3; c++) rgba[to + c] = Math.round(((255 - data[from + c]) * (255 - data[from + 3])) / 255)
    rgba[to + 3] = channels > 4 ? data[from + 4] : 255
  }
  return rgba
}

/** The more significant bytes of 16-bit samples. */
const highBytes = (data: Buffer): Uint8Array =>
  Uint8Array.from({ length: data.length / 2 }, (_, i) => data[2 * i + (LITTLE_ENDIAN ? 1 : 0)])

const firstLine = (cause: unknown): string =>
  reasonOf(cause)
    .trim()
    .split('\n')[0]
    .replace(/[:\s]+$/, '')

export async function readBytes(file: string): Promise<Uint8Array> {
  try {
    // Asked first: opening a pipe would wait for its writer.
    const status = await stat(file)
    if (!status.isFile()) throw new PictureError(`${file}: is not a regular file, expected a picture: ${READ_FORMATS}`)
    const handle = await open(file, 'r')
    try {
      if (status.size > MAX_FILE_BYTES) {
        throw new PictureError(`${file}: is ${status.size} bytes long, expected at most ${MAX_FILE_BYTES}`)
      }
      return await handle.readFile()
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (cause instanceof GradloomError) throw cause
    throw new PictureError(`${file}: cannot be read: ${reasonOf(cause)}; expected a picture: ${READ_FORMATS}`, {
      cause,
    })
  }
}
