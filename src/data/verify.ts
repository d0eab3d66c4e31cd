/** `data list` and `data verify`: which known sets are installed, and whether their files are right. Main thread; reads only. */

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { GradloomError } from '../errors.js'
import { inputSize } from '../tensor/input-shape.js'
import { openDigits } from './digits.js'
import { readIdxElements, readIdxHeader, readIdxLabels } from './idx.js'
import { KNOWN, type KnownDataset, ROLES, type Role } from './known.js'
import { type FoundFiles, findFiles, notFound, usualPlaces } from './places.js'
import type { DatasetSource } from './source.js'

export type ListedName = 'digits' | keyof typeof KNOWN
export const LISTED_NAMES: readonly ListedName[] = ['digits', 'mnist', 'fashion-mnist']

export interface ListedDataset {
  readonly name: ListedName
  readonly trainRows: number
  readonly testRows: number
  readonly height: number
  readonly width: number
  readonly classes: number
  /** Folder and size of the files as they are on disk; null if the set was not found. */
  readonly where: string | null
  readonly bytesOnDisk: number | null
  /** Bytes of the images in memory. */
  readonly imageBytes: number
}

export interface CheckedFile {
  readonly path: string
  readonly ok: boolean
  /** Problem, with what was expected; null if ok. */
  readonly problem: string | null
}

export interface Verification {
  readonly name: ListedName
  readonly where: string
  readonly ok: boolean
  readonly files: readonly CheckedFile[]
}

export async function listDatasets(env: NodeJS.ProcessEnv = process.env): Promise<ListedDataset[]> {
  const listed: ListedDataset[] = []
  for (const name of LISTED_NAMES) {
    if (name === 'digits') {
      listed.push(listDigits())
      continue
    }
    const known = KNOWN[name]
    const { found } = await findFiles(usualPlaces(name, env))
    listed.push({
      name,
      trainRows: known.trainRows,
      testRows: known.testRows,
      height: known.height,
      width: known.width,
      classes: known.classNames.length,
      where: found?.place.dir ?? null,
      bytesOnDisk: found === null ? null : await totalSize(Object.values(found.files)),
      imageBytes: (known.trainRows + known.testRows) * known.height * known.width,
    })
  }
  return listed
}

function listDigits(): ListedDataset {
  const { train, test, height, width, classes, where } = openDigits()
  return {
    name: 'digits',
    trainRows: train.rows,
    testRows: test.rows,
    height,
    width,
    classes,
    where,
    bytesOnDisk: null,
    imageBytes: (train.rows + test.rows) * height * width,
  }
}

async function totalSize(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(async file => (await stat(file)).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** Checks the set that training would use, or the one in `path`. A missing set is an error. */
export async function verifyDataset(
  name: ListedName,
  options: { readonly path?: string | undefined; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Verification> {
  if (name === 'digits') return verifyDigits(openDigits())
  const { path, env } = options
  const places = path === undefined ? usualPlaces(name, env) : [{ dir: resolve(path), origin: '--path' }]
  const { found, misses } = await findFiles(places)
  if (found === null) throw notFound(name, misses)
  return verifyFiles(KNOWN[name], name, found)
}

async function verifyFiles(known: KnownDataset, name: ListedName, found: FoundFiles): Promise<Verification> {
  const files: CheckedFile[] = []
  for (const role of ROLES) {
    const path = found.files[role]
    const problem = await problemOf(path, role, known)
    files.push({ path, ok: problem === null, problem })
  }
  return { name, where: found.place.dir, ok: files.every(file => file.ok), files }
}

/** Checks format, counts and labels first: they explain more than a digest does. */
async function problemOf(path: string, role: Role, known: KnownDataset): Promise<string | null> {
  const images = role === 'trainImages' || role === 'testImages'
  const rows = role === 'trainImages' || role === 'trainLabels' ? known.trainRows : known.testRows
  const wanted = images ? [rows, known.height, known.width] : [rows]
  try {
    const header = await readIdxHeader(path, images ? 'images' : 'labels')
    if (header.dims.join() !== wanted.join()) {
      return `dimensions at offset 4 are ${header.dims.join(' x ')}, expected ${wanted.join(' x ')}`
    }
    const { md5 } = images
      ? await readIdxElements(path, 'images', header, () => undefined)
      : (await readIdxLabels(path, header, known.classNames.length)).digest
    return md5 === known.files[role].md5 ? null : `MD5 of the content is ${md5}, expected ${known.files[role].md5}`
  } catch (error) {
    if (error instanceof GradloomError) return error.message.replace(`${path}: `, '')
    throw error
  }
}

async function verifyDigits(source: DatasetSource): Promise<Verification> {
  const files = new Map<string, CheckedFile>()
  for (const split of ['train', 'test'] as const) {
    const { rows } = source[split]
    const images = new Uint8Array(rows * inputSize(source))
    const loaded = await source.load(split, images, new Int32Array(rows)) // throws at the first wrong file
    for (const { path } of loaded.files) files.set(path, { path, ok: true, problem: null })
  }
  return { name: 'digits', where: source.where, ok: true, files: [...files.values()] }
}
