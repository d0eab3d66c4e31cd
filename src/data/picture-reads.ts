/**
 * Reads a list of picture files into pixels of one size: several at a time, on the threads of libuv and libvips, in the order of the
 * list. Pixels that an earlier run decoded come from the cache. Main thread; holds all pixels, and a few decoded pictures.
 *
 * Letters: `N` pictures, `H` height, `W` width.
 */
import { createHash } from 'node:crypto'
import { DataError } from '../errors.js'
import { formatBytes, formatCounted } from '../format.js'
import { readBytes } from '../picture/picture.js'
import type { Size } from '../picture/raster.js'
import { MAX_ARENA_BYTES } from '../tensor/arena.js'
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
  const size = form.size ?? expected?.size
  if (size) expectRoom(pictures, size, form)
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
    if (first === null) {
      first = { file, size: { height, width } }
      expectRoom(pictures, first.size, form)
    }
    if (form.size === null) expectSize(file, pixels, first)
    all.push(pixels)
    if (pixels.isColoured) coloured++
    if (isNew) decoded++
  })
  await cache.save()
  const { height, width } = size ?? first!.size
  const channels = form.channels === 'auto' ? (coloured > 0 ? 3 : 1) : form.channels
  const features = new Uint8Array(all.length * height * width * channels)
  for (const [row, pixels] of all.entries()) {
    writePixels(pixels, channels, features, row * height * width * channels)
  }
  return { size: { height, width }, channels, features, coloured, decoded, bytes, md5: md5.digest('hex') }
}

/** Throws DataError where the pixels of all pictures cannot be in the memory of a run. */
function expectRoom(pictures: readonly ListedPicture[], { height, width }: Size, { channels }: PictureForm): void {
  // Channels are at least one where the pictures decide whether they are one or three.
  const bytes = pictures.length * height * width * (channels === 3 ? 3 : 1)
  if (bytes <= MAX_ARENA_BYTES) return
  throw new DataError(
    `${pictures[0].file}: ${formatCounted(pictures.length, 'picture')} of ${width} x ${height} as this one ` +
      `would need ${formatBytes(bytes)}, expected at most ${formatBytes(MAX_ARENA_BYTES)}`,
    { hint: settingOf({ height: 64, width: 64 }) },
  )
}

const settingOf = ({ height, width }: Size): string =>
  `"imageSize": [${height}, ${width}] in the experiment's data, or --set data.imageSize=[${height},${width}], resizes all pictures to one size`

/** Pictures have several sizes, and none is set. */
export class PictureSizesError extends DataError {
  /** Size of the first one. */
  readonly first: Size

  constructor(message: string, first: Size) {
    super(message, { hint: settingOf(first) })
    this.first = first
  }
}

function expectSize(
  file: string,
  { height, width }: Size,
  first: { readonly file: string; readonly size: Size },
): void {
  if (height === first.size.height && width === first.size.width) return
  throw new PictureSizesError(
    `${file}: picture is ${width} x ${height}, expected ${first.size.width} x ${first.size.height} as ${first.file}`,
    first.size,
  )
}
