/**
 * Pictures in one folder per class: `train/<class>/*.png` and `test/<class>/*.png`, or `<class>/*.png`, in grey or in colour, of 8
 * bits; their background is kept. Main thread.
 */
import { join } from 'node:path'
import { DataError } from '../errors.js'
import { formatCount, formatCounted, formatList } from '../format.js'
import { READ_FORMATS } from '../picture/kinds.js'
import type { Size } from '../picture/raster.js'
import { pictureVersions } from '../picture/sharp.js'
import { inMemorySource, type NamedRows, sortedClasses } from './in-memory.js'
import { colourOf, type SavedInput } from './input.js'
import { PictureCache } from './picture-cache.js'
import { contentOfFolder, isPictureFile, LeftOut } from './picture-files.js'
import type { PictureForm } from './picture-pixels.js'
import { type ListedPicture, type ReadPictures, readPictures } from './picture-reads.js'
import type { DataConfig, DatasetSource } from './source.js'

interface Part extends Pick<ReadPictures, 'size' | 'channels' | 'coloured'> {
  readonly rows: NamedRows
  /** Files that were not read. */
  readonly leftOut: string | null
}

/** `path` and `testPath` are absolute. `model`: whose number of channels the pictures get, where the settings leave it open. */
export async function openImageFolder(
  path: string,
  testPath: string | null,
  config: DataConfig,
  model: Pick<SavedInput, 'channels'> | null = null,
): Promise<DatasetSource> {
  const { folders } = await contentOfFolder(path)
  const divided = folders.includes('train') && folders.includes('test') && testPath === null
  const size = config.imageSize ? { height: config.imageSize[0], width: config.imageSize[1] } : null
  const channels = config.channels === 'auto' && model !== null ? (model.channels === 3 ? 3 : 1) : config.channels
  const background = colourOf(config.background)
  const train = await readPart(divided ? join(path, 'train') : path, { size, channels, background }, null)
  const testFolder = divided ? join(path, 'test') : testPath
  const testForm = { size, channels: train.channels, background }
  const expected = { file: 'the training pictures', size: train.size }
  const test = testFolder === null ? null : await readPart(testFolder, testForm, expected)
  const shape = { name: 'images', where: path, ...train.size, channels: train.channels, dtype: 'uint8' } as const
  const beside = divided ? folders.filter(name => name !== 'train' && name !== 'test') : []
  const unread =
    beside.length === 0
      ? null
      : `${path}: ignored beside train and test: ${formatList(beside, MOST_SHOWN)}; the validation split is a part of train, data.validation says how much`
  const warnings = [unread, train.leftOut, test?.leftOut ?? null].filter(text => text !== null)
  const source = inMemorySource(shape, train.rows, test?.rows ?? null, config)
  const libraries = await pictureVersions()
  return { ...source, ...(libraries && { libraries }), warnings, notes: classNotes(source.classNames, train) }
}

/** Classes named in a line. */
const MOST_SHOWN = 12

/** Note on the classes, in one line. */
function classNotes(classNames: readonly string[], { size, rows, channels, coloured }: Part): string[] {
  const counts = new Map<string, number>()
  for (const name of rows.classNames) counts.set(name, (counts.get(name) ?? 0) + 1)
  const shown = classNames.map(name => `${name} (${counts.get(name) ?? 0})`)
  const classes = formatCounted(classNames.length, 'class', 'classes')
  const kind = kindOf(channels, coloured, rows.classNames.length)
  return [`${kind}, ${size.width} x ${size.height}, of ${classes}: ${formatList(shown, MOST_SHOWN)}`]
}

/** The pictures' colours in words. */
function kindOf(channels: 1 | 3, coloured: number, all: number): string {
  const grey = all - coloured
  if (channels === 1)
    return coloured === 0 ? 'grey pictures' : `grey pictures (${formatCount(coloured)} of them had colours)`
  return grey === 0 ? 'pictures in colour' : `pictures in colour (${formatCount(grey)} of them are grey)`
}

async function readPart(
  folder: string,
  form: PictureForm,
  expected: { file: string; size: Size } | null,
): Promise<Part> {
  const { pictures, leftOut } = await listPictures(folder)
  const cache = await PictureCache.open(folder, pictures.length, form)
  const { features, bytes, md5, size, channels, coloured } = await readPictures(pictures, form, cache, expected)
  const digest = { path: folder, bytes, md5, official: null }
  const classNames = pictures.map(({ className }) => className)
  return {
    ...{ size, channels, coloured },
    rows: { features, classNames, targets: null, files: [digest] },
    leftOut: leftOut && `${folder}: ignored files that are not pictures gradloom reads: ${leftOut}`,
  }
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
    if (pictures.length === before) {
      throw noPictures(join(folder, className), inside.files.length, inside.folders.length, SPLIT.test(className))
    }
  }
  if (pictures.length === 0) {
    throw new DataError(`${folder}: has no pictures, expected ${READ_FORMATS} files in one folder per class`)
  }
  return { pictures, leftOut: leftOut.text }
}

/** Usual names of folders of a split, which are read as splits only if they are called `train` and `test`. */
const SPLIT = /^(train|training|test|testing|val|valid|validation)$/i

function noPictures(folder: string, files: number, folders: number, isSplit: boolean): DataError {
  const got = [
    files > 0 ? formatCounted(files, 'other file') : null,
    folders > 0 ? formatCounted(folders, 'folder') : null,
  ]
  const content = got.filter(text => text !== null).join(' and ') || 'nothing'
  return new DataError(
    `${folder}: the class has no picture that can be read, expected ${READ_FORMATS} files in it; it has ${content}`,
    {
      hint:
        isSplit && folders > 0
          ? 'splits are two folders called train and test; data.path can also be the training folder, data.testPath the other one'
          : 'convert its pictures, as to PNG, or move the folder elsewhere',
    },
  )
}
