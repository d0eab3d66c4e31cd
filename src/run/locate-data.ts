/**
 * Finds the data of a saved run if folders have moved since: at the recorded place, or at the place relative to the
 * run directory. The digests of the data then prove that they are the same. Main thread; reads, never writes.
 */
import { stat } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import type { Experiment } from '../config/schema.js'
import { digestContent } from '../data/content.js'
import { DataError } from '../errors.js'
import { type DataPaths, FILES, type Manifest } from './manifest.js'
import { readRunJson } from './open.js'

const OPTIONS = { path: '--data', testPath: '--test-data' } as const
type PathKey = keyof typeof OPTIONS

/** Part of a run that is needed to find its data. */
export interface Located {
  /** Absolute path of the run directory. */
  readonly path: string
  readonly manifest: Pick<Partial<Manifest>, 'data'> | undefined
}

/** Overrides that point to other data paths, as `--set` takes them. Undefined paths are not changed. */
export function dataOverrides({ dataPath, testDataPath }: MovedData): string[] {
  return [
    ...(dataPath === undefined ? [] : [`data.path=${JSON.stringify(resolve(dataPath))}`]),
    ...(testDataPath === undefined ? [] : [`data.testPath=${JSON.stringify(resolve(testDataPath))}`]),
  ]
}

/** Paths of the data relative to the run directory, for its manifest. */
export function dataFromRun(runDir: string, { path, testPath }: DataPaths): DataPaths {
  const from = (target: string | null) => target && relative(runDir, resolve(runDir, target)).replaceAll('\\', '/')
  return { path: from(path), testPath: from(testPath) }
}

/**
 * The experiment with paths at which its data exist. Those in `given` were named by the user and are kept.
 * Throws DataError, with the searched places, if there are no data.
 */
export async function withLocatedData(
  experiment: Experiment,
  run: Located,
  given: Partial<DataPaths> = {},
): Promise<Experiment> {
  const { data } = experiment
  const path = given.path === undefined ? await located('path', data, run) : data.path
  const testPath = given.testPath === undefined ? await located('testPath', data, run) : data.testPath
  return path === data.path && testPath === data.testPath
    ? experiment
    : { ...experiment, data: { ...data, path, testPath } }
}

/** Current location of a run's data, as the user gives it: relative to the current folder. */
export interface MovedData {
  readonly dataPath?: string | undefined
  readonly testDataPath?: string | undefined
}

/** Locates data given a run directory or a checkpoint file in one; `moved` are the places that the user names. */
export async function locateDataOf(
  recorded: Experiment,
  { runDir, checkpoint }: { readonly runDir: string | null; readonly checkpoint: string },
  { dataPath, testDataPath }: MovedData = {},
): Promise<Experiment> {
  const given = {
    ...(dataPath !== undefined && { path: resolve(dataPath) }),
    ...(testDataPath !== undefined && { testPath: resolve(testDataPath) }),
  }
  const experiment = { ...recorded, data: { ...recorded.data, ...given } }
  const path = runDir ?? dirname(dirname(checkpoint))
  const manifest = await readRunJson(resolve(path, FILES.manifest)).catch(() => undefined)
  return withLocatedData(experiment, { path, manifest: (manifest ?? undefined) as Located['manifest'] }, given)
}

async function located(key: PathKey, data: Experiment['data'], { path: runDir, manifest }: Located) {
  const recorded = data[key]
  if (recorded === null) return null
  const fromRun = manifest?.data?.fromRun?.[key]
  const places = [recorded, ...(typeof fromRun === 'string' ? [fromRun] : [])].map(place => resolve(runDir, place))
  const found: string[] = []
  for (const place of new Set(places)) if (await exists(place)) found.push(place)
  if (found.length > 1) return (await ofTheRun(found, places[0], manifest)) ?? found[0]
  if (found.length === 1) return found[0]
  throw new DataError(
    `${places[0]}: data of the run are not there, expected ${expected(data)}${places[1] && places[1] !== places[0] ? `; nor are they at ${places[1]}` : ''}`,
    { hint: `${OPTIONS[key]} PATH is where they are now; their digests prove whether they are the same` },
  )
}

const expected = ({ dataset }: Experiment['data']): string =>
  dataset === 'table'
    ? 'the table that it was trained on'
    : dataset === 'npz'
      ? 'the npz file that it was trained on'
      : 'the folder it was trained on'

/** The place whose file has the recorded digest; undefined for folders, whose files the data set itself compares. */
async function ofTheRun(places: readonly string[], recorded: string, manifest: Located['manifest']) {
  const known = manifest?.data?.files?.find(({ path }) => resolve(path) === recorded)
  if (known === undefined) return undefined
  for (const place of places) {
    const digest = await digestContent(place, Number.POSITIVE_INFINITY).catch(() => undefined)
    if (digest?.md5 === known.md5) return place
  }
  return undefined
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
