/** A data set made of four IDX files: the known sets and the user's own. Main thread. */
import { basename } from 'node:path'
import { ConfigError, DataError } from '../errors.js'
import {
  elementsOf,
  type IdxHeader,
  type IdxLabels,
  isBytePictures,
  labelForm,
  readIdxElements,
  readIdxHeader,
  readIdxLabels,
  readIdxNumbers,
} from './idx.js'
import { KNOWN, type KnownDataset, type Role } from './known.js'
import { checkViews, type DatasetSource, type Features, type LoadedFile, type LoadedSplit } from './source.js'

/** One split, opened: its image header, and its labels whole, as they are small. */
interface OpenSplit {
  readonly imagesRole: Role
  readonly imagesFile: string
  readonly labelsRole: Role
  readonly labelsFile: string
  readonly header: IdxHeader
  readonly labels: IdxLabels
  readonly labelForm: string | null
}

/** Opens four IDX files. `known` is null for files of the user's own: any number of classes. */
export async function openIdxFiles(
  name: string,
  where: string,
  files: Readonly<Record<Role, string>>,
  known: KnownDataset | null,
  transpose = false,
): Promise<DatasetSource> {
  const train = await openSplit(files, 'trainImages', 'trainLabels', known)
  const test = await openSplit(files, 'testImages', 'testLabels', known)
  assertSameSize(train, test)
  const [rowsOfImage, columnsOfImage] = sizeOf(train.header)
  if (transpose && train.header.dims.length === 2) {
    throw new ConfigError(
      `data.transpose is true, expected false, because ${train.imagesFile} has ${elementsOf(train.header)}, and no images`,
    )
  }
  const [height, width] = transpose ? [columnsOfImage, rowsOfImage] : [rowsOfImage, columnsOfImage]
  const classes = known?.classNames.length ?? Math.max(train.labels.max, test.labels.max) + 1
  return {
    name,
    where,
    height,
    width,
    channels: 1,
    dtype: isBytePictures(train.header) ? 'uint8' : 'float32',
    task: 'classification',
    classes,
    classNames: known?.classNames ?? Array.from({ length: classes }, (_, label) => String(label)),
    train: { rows: train.header.dims[0] },
    test: { rows: test.header.dims[0] },
    ...(known === null && { notes: notesOf(train) }),
    warnings: emptyClasses(train.labels.labels, classes, labelsFileOf(files)),
    async load(split, images, labels) {
      const loaded = await loadSplit(name, split, split === 'test' ? test : train, known, images, labels)
      if (transpose) transposeImages(images, rowsOfImage, columnsOfImage)
      return loaded
    },
  }
}

/** Height and width of an image; a row of numbers is 1 high. */
const sizeOf = ({ dims }: IdxHeader): [height: number, width: number] =>
  dims.length === 2 ? [1, dims[1]] : [dims[1], dims[2]]

/** Notes on the data, in short lines. */
const notesOf = ({ header, imagesFile, labelsFile, labelForm }: OpenSplit): string[] => [
  `${basename(imagesFile)}: ${elementsOf(header)}, ${isBytePictures(header) ? 'images of bytes' : 'numbers'}`,
  ...(labelForm === null ? [] : [`${basename(labelsFile)}: ${labelForm}`]),
]

const labelsFileOf = (files: Readonly<Record<Role, string>>): string => files.trainLabels

/** Classes without a sample. Classes are numbered from 0, so labels that begin at 1 leave an output that is never trained. */
function emptyClasses(labels: Int32Array, classes: number, file: string): string[] {
  const seen = new Set(labels)
  const empty = Array.from({ length: classes }, (_, label) => label).filter(label => !seen.has(label))
  if (empty.length === 0) return []
  const shown = empty.slice(0, 20).join(', ') + (empty.length > 20 ? ', …' : '')
  return [
    `${file}: no training sample has the class ${shown}; the network has an output for each class from 0 to ${classes - 1}`,
  ]
}

/** Transposes every image (height x width). */
function transposeImages(images: Features, height: number, width: number): void {
  const size = height * width
  for (let at = 0; at < images.length; at += size) {
    const image = images.slice(at, at + size)
    for (let i = 0; i < size; i++) images[at + (i % width) * height + Math.floor(i / width)] = image[i]
  }
}

async function openSplit(
  files: Readonly<Record<Role, string>>,
  imagesRole: Role,
  labelsRole: Role,
  known: KnownDataset | null,
): Promise<OpenSplit> {
  const [imagesFile, labelsFile] = [files[imagesRole], files[labelsRole]]
  const form = known === null ? 'any' : 'published'
  const header = await readIdxHeader(imagesFile, 'images', form)
  const labelHeader = await readIdxHeader(labelsFile, 'labels', form)
  if (header.dims[0] !== labelHeader.dims[0]) {
    throw new DataError(
      `${labelsFile}: number of labels at offset 4 is ${labelHeader.dims[0]}, expected ${header.dims[0]}, ` +
        `one for each image in ${imagesFile}`,
    )
  }
  const labels = await readIdxLabels(labelsFile, labelHeader, known?.classNames.length ?? null)
  if (known !== null) assertNotAnotherSet(labelsFile, labelsRole, labels.digest.md5, known)
  return { imagesRole, imagesFile, labelsRole, labelsFile, header, labels, labelForm: labelForm(labelHeader) }
}

/** Refuses the files of another known set: all have the same names and sizes, so a wrong folder would go unnoticed. */
function assertNotAnotherSet(file: string, role: Role, md5: string, known: KnownDataset): void {
  for (const other of Object.values(KNOWN)) {
    if (other.name === known.name || other.files[role].md5 !== md5) continue
    throw new DataError(`${file}: is from ${other.name}, expected ${known.name}; its MD5 is ${md5}`, {
      hint: `--set data.dataset=${other.name}, or name another folder`,
    })
  }
}

function assertSameSize(train: OpenSplit, test: OpenSplit): void {
  const sizes = [train, test].map(({ header }) => header.dims.slice(1).join(' x '))
  if (sizes[0] !== sizes[1]) {
    throw new DataError(
      `${test.imagesFile}: images at offset 8 are ${sizes[1]}, expected ${sizes[0]} as in ${train.imagesFile}`,
    )
  }
  if (isBytePictures(train.header) === isBytePictures(test.header)) return
  throw new DataError(
    `${test.imagesFile}: has ${elementsOf(test.header)}, expected the same type of elements as ${train.imagesFile}, which has ${elementsOf(train.header)}`,
  )
}

async function loadSplit(
  name: string,
  splitName: 'train' | 'test',
  split: OpenSplit,
  known: KnownDataset | null,
  images: Features, // (rows, features)  overwritten
  labels: Int32Array, // (rows)            overwritten
): Promise<LoadedSplit> {
  const [rows] = split.header.dims
  const [height, width] = sizeOf(split.header)
  checkViews(name, splitName, rows, height * width, images, labels)
  const digest =
    images instanceof Float32Array
      ? await readIdxNumbers(split.imagesFile, split.header, images)
      : await readIdxElements(split.imagesFile, 'images', split.header, (chunk, at) => images.set(chunk, at))
  labels.set(split.labels.labels)
  const loaded = (path: string, role: Role, { bytes, md5 }: { bytes: number; md5: string }): LoadedFile => ({
    path,
    bytes,
    md5,
    official: known === null ? null : known.files[role].md5 === md5,
  })
  return {
    files: [
      loaded(split.imagesFile, split.imagesRole, digest),
      loaded(split.labelsFile, split.labelsRole, split.labels.digest),
    ],
  }
}
