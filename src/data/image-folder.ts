/**
 * Pictures in one folder per class: `train/<class>/*.png` and `test/<class>/*.png`, or `<class>/*.png`.
 * Pictures become grey, 8 bits; their background is kept. Main thread; holds a few decoded pictures at a time.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { DataError } from '../errors.js'
import { formatCounted, formatList } from '../format.js'
import { READ_FORMATS } from '../picture/kinds.js'
import { decodePicture, readBytes } from '../picture/picture.js'
import { prepare } from '../picture/prepare.js'
import type { Picture, Size } from '../picture/raster.js'
import { pictureVersions } from '../picture/sharp.js'
import { inMemorySource, type NamedRows, sortedClasses } from './in-memory.js'
import { contentOfFolder, isPictureFile, LeftOut } from './picture-files.js'
import type { DataConfig, DatasetSource } from './source.js'

/** Pictures that are decoded at the same time: libuv has four threads. */
const AT_ONCE = 8

interface Part {
  readonly size: Size
  readonly rows: NamedRows
  /** Files that were not read. */
  readonly leftOut: string | null
}

/** `path` and `testPath` are absolute. */
export async function openImageFolder(
  path: string,
  testPath: string | null,
  config: DataConfig,
): Promise<DatasetSource> {
  const { folders } = await contentOfFolder(path)
  const divided = folders.includes('train') && folders.includes('test') && testPath === null
  const wanted = config.imageSize ? { height: config.imageSize[0], width: config.imageSize[1] } : null
  const train = await readPart(divided ? join(path, 'train') : path, wanted)
  const testFolder = divided ? join(path, 'test') : testPath
  const test = testFolder === null ? null : await readPart(testFolder, wanted ?? train.size, wanted === null)
  const shape = { name: 'images', where: path, ...train.size, channels: 1, dtype: 'uint8' } as const
  const warnings = [train.leftOut, test?.leftOut ?? null].filter(text => text !== null)
  const source = inMemorySource(shape, train.rows, test?.rows ?? null, config)
  const libraries = await pictureVersions()
  return { ...source, ...(libraries && { libraries }), warnings, notes: classNotes(source.classNames, train) }
}

/** Classes named in a line. */
const MOST_SHOWN = 12

/** Note on the classes, in one line. */
function classNotes(classNames: readonly string[], { size, rows }: Part): string[] {
  const counts = new Map<string, number>()
  for (const name of rows.classNames) counts.set(name, (counts.get(name) ?? 0) + 1)
  const shown = classNames.map(name => `${name} (${counts.get(name) ?? 0})`)
  const classes = formatCounted(classNames.length, 'class', 'classes')
  return [`grey pictures, ${size.width} x ${size.height}, of ${classes}: ${formatList(shown, MOST_SHOWN)}`]
}

/**
 * Reads all pictures of one split. `size`: size to resize pictures to; null: that of the first, which all others must have.
 * With `mustFit` pictures must have the size already.
 */
async function readPart(folder: string, size: Size | null, mustFit = size === null): Promise<Part> {
  const files = await listPictures(folder)
  const features: Uint8Array[] = []
  const md5 = createHash('md5')
  let bytes = 0
  let first = mustFit && size ? { file: 'the training pictures', size } : null
  const target = mustFit ? null : size
  for (let at = 0; at < files.pictures.length; at += AT_ONCE) {
    const some = files.pictures.slice(at, at + AT_ONCE)
    // Wait for all, then look at them in order: the damaged file that is reported must not depend on timing.
    const read = await Promise.allSettled(some.map(({ file }) => readOne(file, target)))
    for (const [i, result] of read.entries()) {
      if (result.status === 'rejected') throw result.reason
      const { content, picture, pixels } = result.value
      const { className, name, file } = some[i]
      md5.update(`${className}/${name}\n`).update(content)
      bytes += content.length
      first ??= { file, size: { height: picture.height, width: picture.width } }
      if (target === null) expectSize(file, picture, first)
      features.push(pixels)
    }
  }
  const digest = { path: folder, bytes, md5: md5.digest('hex'), official: null }
  const { height, width } = target ?? first!.size
  const all = new Uint8Array(features.length * height * width)
  features.forEach((image, row) => {
    all.set(image, row * height * width)
  })
  const classNames = files.pictures.map(({ className }) => className)
  return {
    size: { height, width },
    rows: { features: all, classNames, targets: null, files: [digest] },
    leftOut: files.leftOut && `${folder}: ignored files that are not pictures gradloom reads: ${files.leftOut}`,
  }
}

async function readOne(file: string, size: Size | null) {
  const content = await readBytes(file)
  const picture = await decodePicture(file, content, { size })
  return { content, picture, pixels: prepare(file, picture, 'plain', size ?? picture).pixels }
}

interface ListedPicture {
  readonly className: string
  readonly name: string
  readonly file: string
}

/** The pictures of every class, in the order of classes and names. Throws DataError for a class without any. */
async function listPictures(
  folder: string,
): Promise<{ readonly pictures: readonly ListedPicture[]; readonly leftOut: string | null }> {
  const { folders, files } = await contentOfFolder(folder)
  const leftOut = new LeftOut()
  for (const name of files) leftOut.add('', name)
  const pictures: ListedPicture[] = []
  for (const className of sortedClasses(folders)) {
    const inside = await contentOfFolder(join(folder, className))
    const before = pictures.length
    for (const name of inside.folders) leftOut.add(className, name, 'nested in a class folder')
    for (const name of inside.files) {
      const file = join(folder, className, name)
      if (await isPictureFile(file)) pictures.push({ className, name, file })
      else leftOut.add(className, name)
    }
    if (pictures.length === before)
      throw noPictures(join(folder, className), inside.files.length, inside.folders.length)
  }
  if (pictures.length === 0) {
    throw new DataError(`${folder}: has no pictures, expected ${READ_FORMATS} files in one folder per class`)
  }
  return { pictures, leftOut: leftOut.text }
}

function noPictures(folder: string, files: number, folders: number): DataError {
  const got = [
    files > 0 ? formatCounted(files, 'other file') : null,
    folders > 0 ? formatCounted(folders, 'folder') : null,
  ]
  const content = got.filter(text => text !== null).join(' and ') || 'nothing'
  return new DataError(
    `${folder}: the class has no picture that can be read, expected ${READ_FORMATS} files in it; it has ${content}`,
    { hint: 'convert its pictures, as to PNG, or move the folder elsewhere' },
  )
}

function expectSize(
  file: string,
  { height, width }: Picture,
  first: { readonly file: string; readonly size: Size },
): void {
  if (height === first.size.height && width === first.size.width) return
  throw new DataError(
    `${file}: picture is ${width} x ${height}, expected ${first.size.width} x ${first.size.height} as ${first.file}`,
    { hint: `--set data.imageSize=[${first.size.height},${first.size.width}] resizes all pictures to one size` },
  )
}
