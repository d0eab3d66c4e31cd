/**
 * Reads a list of picture files into pixels of one size: several at a time, on the threads of libuv and libvips, in the order of the
 * list. Pixels that an earlier run decoded come from the cache. Main thread; holds all pixels, and a few decoded pictures.
 *
 * Letters: `N` pictures, `H` height, `W` width.
 */
import { createHash } from 'node:crypto'
import { DataError } from '../errors.js'
import { readBytes } from '../picture/picture.js'
import type { Size } from '../picture/raster.js'
import { Budget, inOrder } from './in-order.js'
import { contentDigest, type PictureCache } from './picture-cache.js'
import { decodePixels, hasPixels, type PictureForm, type PicturePixels, writePixels } from './picture-pixels.js'

/** Pictures that are read at the same time: libuv has four threads, and none of them should wait. */
const AT_ONCE = 8
/** Pixels of the files that are decoded at the same time, at most 0.5 GiB; a larger picture is decoded alone. */
const PIXELS_AT_ONCE = 128e6

export interface ListedPicture {
  readonly className: string
  readonly name: string
  readonly file: string
}

export interface ReadPictures {
  readonly size: Size
  readonly channels: 1 | 3
  readonly features: Uint8Array // (N, H · W · channels)
  /** Pictures that have a colour. */
  readonly coloured: number
  /** Pictures that were decoded; the others come from the cache. */
  readonly decoded: number
  /** Length and digest of all files with their names. */
  readonly bytes: number
  readonly md5: string
}

/** `expected`: a size that pictures must have already, and who has it. null: that of the first one, where none is resized. */
export async function readPictures(
  pictures: readonly ListedPicture[],
  form: PictureForm,
  cache: PictureCache,
  expected: { readonly file: string; readonly size: Size } | null,
): Promise<ReadPictures> {
  const md5 = createHash('md5')
  const budget = new Budget(PIXELS_AT_ONCE)
  const all: PicturePixels[] = []
  let [bytes, coloured, decoded] = [0, 0, 0]
  let first = expected
  const read = async ({ file }: ListedPicture) => {
    const content = await readBytes(file)
    const digest = contentDigest(content)
    // Once a picture has a colour, the set has three channels, and grey pixels are of no use.
    const channels = form.channels === 'auto' && coloured > 0 ? 3 : form.channels
    const known = cache.get(digest)
    if (known && hasPixels(known, channels)) return { content, pixels: known, isNew: false }
    const pixels = await decodePixels(file, content, { ...form, channels }, budget)
    cache.add(digest, pixels)
    return { content, pixels, isNew: true }
  }
  await inOrder(pictures, AT_ONCE, read, ({ content, pixels, isNew }, index) => {
    const { className, name, file } = pictures[index]
    md5.update(`${className}/${name}\n`).update(content)
    bytes += content.length
    const { height, width } = pixels
    first ??= { file, size: { height, width } }
    if (form.size === null) expectSize(file, pixels, first)
    all.push(pixels)
    if (pixels.isColoured) coloured++
    if (isNew) decoded++
  })
  await cache.save()
  const size = form.size ?? first!.size
  const channels = form.channels === 'auto' ? (coloured > 0 ? 3 : 1) : form.channels
  const features = new Uint8Array(all.length * size.height * size.width * channels)
  for (const [row, pixels] of all.entries()) {
    writePixels(pixels, channels, features, row * size.height * size.width * channels)
  }
  return { size, channels, features, coloured, decoded, bytes, md5: md5.digest('hex') }
}

function expectSize(
  file: string,
  { height, width }: Size,
  first: { readonly file: string; readonly size: Size },
): void {
  if (height === first.size.height && width === first.size.width) return
  throw new DataError(
    `${file}: picture is ${width} x ${height}, expected ${first.size.width} x ${first.size.height} as ${first.file}`,
    { hint: `--set data.imageSize=[${first.size.height},${first.size.width}] resizes all pictures to one size` },
  )
}
