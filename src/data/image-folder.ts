/**
 * A folder of pictures in a folder for each class: `train/<class>/*.png` and `test/<class>/*.png`, or `<class>/*.png`.
 * PNG and JPEG, by content. Pictures become grey, 8 bits; their background stays as it is. Main thread.
 */
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../errors.js'
import { decodePicture, type Picture, readBytes } from '../picture/picture.js'
import { prepare } from '../picture/prepare.js'
import { fileError } from './content.js'
import type { DataConfig, DatasetSource } from './source.js'
import { type NamedRows, sortedClasses, tableSource } from './table.js'

const PICTURE = /\.(png|jpe?g)$/i

interface Size {
  readonly height: number
  readonly width: number
}

/** `path` and `testPath` are absolute. */
export async function openImageFolder(
  path: string,
  testPath: string | null,
  config: DataConfig,
): Promise<DatasetSource> {
  const folders = await foldersIn(path)
  const divided = folders.includes('train') && folders.includes('test') && testPath === null
  const wanted = config.imageSize ? { height: config.imageSize[0], width: config.imageSize[1] } : null
  const { size, rows } = await readPart(divided ? join(path, 'train') : path, wanted)
  const testFolder = divided ? join(path, 'test') : testPath
  const test = testFolder === null ? null : (await readPart(testFolder, wanted ?? size)).rows
  return tableSource({ name: 'images', where: path, ...size, dtype: 'uint8' }, rows, test, config)
}

/** `size`: what pictures are brought to; null: that of the first, which all others must have. */
async function readPart(folder: string, size: Size | null): Promise<{ size: Size; rows: NamedRows }> {
  const classNames: string[] = []
  const images: Uint8Array[] = []
  const md5 = createHash('md5')
  let bytes = 0
  let first: { readonly file: string; readonly size: Size } | null = null
  for (const className of sortedClasses(await foldersIn(folder))) {
    const names = (await readdir(join(folder, className))).filter(name => PICTURE.test(name)).sort()
    for (const name of names) {
      const file = join(folder, className, name)
      const content = await readBytes(file)
      md5.update(`${className}/${name}\n`).update(content)
      bytes += content.length
      const picture = await decodePicture(file, content)
      first ??= { file, size: { height: picture.height, width: picture.width } }
      if (size === null) expectSize(file, picture, first)
      images.push(prepare(file, picture, 'whole', size ?? first.size).pixels)
      classNames.push(className)
    }
  }
  if (first === null) {
    throw new DataError(`${folder}: has no pictures, expected PNG or JPEG files in a folder for each class`)
  }
  const file = { path: folder, bytes, md5: md5.digest('hex'), official: null }
  const { height, width } = size ?? first.size
  const features = new Uint8Array(images.length * height * width)
  images.forEach((image, row) => {
    features.set(image, row * height * width)
  })
  return { size: { height, width }, rows: { features, classNames, targets: null, files: [file] } }
}

function expectSize(
  file: string,
  { height, width }: Picture,
  first: { readonly file: string; readonly size: Size },
): void {
  if (height === first.size.height && width === first.size.width) return
  throw new DataError(
    `${file}: picture is ${width} x ${height}, expected ${first.size.width} x ${first.size.height} as ${first.file}`,
    { hint: `--set data.imageSize=[${first.size.height},${first.size.width}] brings all pictures to one size` },
  )
}

async function foldersIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.filter(entry => entry.isDirectory()).map(({ name }) => name)
  } catch (cause) {
    throw fileError(folder, 'cannot be read', cause)
  }
}
