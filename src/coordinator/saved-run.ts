/** A run as its directory tells it, for whatever trains it further or again. Main thread; reads, never writes. */
import { join } from 'node:path'
import { type LoadedExperiment, resolveExperiment } from '../config/load.js'
import type { Experiment } from '../config/schema.js'
import { ConfigError, DataError } from '../errors.js'
import { FILES, type Manifest } from '../run/directory.js'
import type { RunSummary } from '../run/events.js'
import { readRunJson } from '../run/open.js'
import type { TrainingState } from '../run/training-state.js'
import type { Session } from './session.js'

export interface SavedRun {
  /** Absolute. */
  readonly path: string
  readonly loaded: LoadedExperiment
  /** Undefined where the run was killed before it was written. As it stands in the file, so anything may be missing. */
  readonly manifest: Partial<Manifest> | undefined
  /** Undefined where the run has not ended. */
  readonly summary: RunSummary | undefined
}

/** `path` is absolute. Throws ConfigError where it is no run. */
export async function readSavedRun(path: string): Promise<SavedRun> {
  const file = join(path, FILES.resolved)
  const found = await readRunJson(file)
  if (found === undefined) {
    throw new ConfigError(`${path}: has no ${FILES.resolved}, expected the directory of a run`, {
      hint: 'give the directory that `gradloom train` named; a run that was killed as it started has to be started again',
    })
  }
  return {
    path,
    loaded: { ...resolveExperiment(found, { where: file }), path: file },
    manifest: (await readRunJson(join(path, FILES.manifest))) as Partial<Manifest> | undefined,
    summary: (await readRunJson(join(path, FILES.summary))) as RunSummary | undefined,
  }
}

/** `auto` must not choose another backend than the one that trained so far. */
export function withBackendOf(
  experiment: Experiment,
  { backend, shardRows }: Pick<TrainingState['bits'], 'backend' | 'shardRows'>,
): Experiment {
  const { compute } = experiment
  return {
    ...experiment,
    compute: {
      ...compute,
      backend: compute.backend === 'auto' ? (backend as typeof compute.backend) : compute.backend,
      shardRows: compute.shardRows === 'auto' ? shardRows : compute.shardRows,
    },
  }
}

/** Throws DataError where a file of the session is not the one that the run was trained on. */
export function refuseOtherData({ manifest }: SavedRun, { files }: Session): void {
  files.forEach(({ path, md5 }, i) => {
    const before = manifest?.data?.files?.[i]
    if (before && before.md5 !== md5) {
      throw new DataError(`${path}: MD5 is ${md5}, expected ${before.md5}; the run was trained on other data`)
    }
  })
}
