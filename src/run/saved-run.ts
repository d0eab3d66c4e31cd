/** A saved run as read from its directory, to continue, repeat or show it. Main thread; reads, never writes. */
import { join } from 'node:path'
import { type LoadedExperiment, resolveExperiment } from '../config/load.js'
import type { Experiment } from '../config/schema.js'
import type { LoadedFile } from '../data/dataset.js'
import { ConfigError, DataError, RunError } from '../errors.js'
import type { Precision } from '../kernels/backend.js'
import { refuseEdited } from './edits.js'
import type { RunSummary } from './events.js'
import { FILES, type Manifest } from './manifest.js'
import { readRunJson } from './open.js'

export interface SavedRun {
  /** Absolute. */
  readonly path: string
  readonly loaded: LoadedExperiment
  /** Undefined if there is none. As in the file, so anything may be missing. */
  readonly manifest: Partial<Manifest> | undefined
  /** Undefined if the run has not ended. */
  readonly summary: RunSummary | undefined
}

/**
 * Reads a run directory; `path` is absolute. Throws ConfigError if it is not a run, RunError if one of its files is
 * damaged or has been edited.
 */
export async function readSavedRun(path: string): Promise<SavedRun> {
  const file = join(path, FILES.resolved)
  const found = await readRunJson(file)
  if (found === undefined) {
    throw new ConfigError(`${path}: has no ${FILES.resolved}, expected the directory of a run`, {
      hint: 'give the directory that `gradloom train` named; a run that was killed as it started has to be started again',
    })
  }
  const manifest = await readManifest(path)
  await refuseEdited(path, manifest, found)
  return {
    path,
    loaded: { ...resolveExperiment(found, { where: file }), path: file },
    manifest,
    summary: (await readRunJson(join(path, FILES.summary))) as RunSummary | undefined,
  }
}

/** Undefined if there is none. Throws RunError for one that is damaged. */
export async function readManifest(path: string): Promise<Partial<Manifest> | undefined> {
  const file = join(path, FILES.manifest)
  const manifest = await readRunJson(file)
  if (manifest === undefined || (manifest instanceof Object && !Array.isArray(manifest))) return manifest
  throw new RunError(`${file}: is ${JSON.stringify(manifest)}, expected an object; the file is damaged`)
}

/** Backend, precision and shards that a run has computed in. */
export interface Computed {
  readonly backend: string
  /** undefined: not recorded. */
  readonly precision?: Precision | undefined
  readonly shardRows?: number | undefined
}

/** The experiment with the backend, precision and shards that trained so far, so that `auto` does not choose others. */
export function withBackendOf(experiment: Experiment, { backend, precision, shardRows }: Computed): Experiment {
  const { compute } = experiment
  return {
    ...experiment,
    compute: {
      ...compute,
      backend: compute.backend === 'auto' ? (backend as typeof compute.backend) : compute.backend,
      precision: compute.precision === 'auto' ? (precision ?? 'auto') : compute.precision,
      shardRows: compute.shardRows === 'auto' ? (shardRows ?? 'auto') : compute.shardRows,
    },
  }
}

/** Error for data of a session that are not those that a run was trained on. */
export class OtherRunDataError extends DataError {}

/** Throws OtherRunDataError if a file is not the one that was trained on, whatever its path. */
export function refuseOtherData(before: readonly LoadedFile[] | undefined, files: readonly LoadedFile[]): void {
  files.forEach(({ path, md5 }, i) => {
    const known = before?.[i]
    if (known === undefined || known.md5 === md5) return
    throw new OtherRunDataError(`${path}: MD5 is ${md5}, expected ${known.md5}; the run was trained on other data`, {
      hint: '--data PATH is where the data of the run are now, --test-data PATH where its test data are',
    })
  })
}
