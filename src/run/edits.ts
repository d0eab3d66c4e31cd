/**
 * Refuses runs whose own files have been edited, and reports what the edit changed. Called by saved-run.ts and open.ts before
 * anything else of a run is used. Main thread; reads, never writes.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { differencesBetween } from '../config/diff.js'
import { resolveExperiment } from '../config/load.js'
import { RunError } from '../errors.js'
import { readCheckpoint } from './checkpoint-file.js'
import { checkpointName, checkpointSteps } from './checkpoints.js'
import { FILES, type Manifest } from './manifest.js'
import { editedFiles } from './seal.js'

/** Throws RunError if a file of the run is not as gradloom wrote it. `resolved`: content of its `resolved.json`. */
export async function refuseEdited(
  path: string,
  manifest: Partial<Manifest> | undefined,
  resolved: unknown,
): Promise<void> {
  if (manifest === undefined) return
  const experiment = await readFile(join(path, FILES.experiment), 'utf8').catch(() => undefined)
  const edited = editedFiles(manifest, { experiment, resolved })
  if (edited.length === 0) return
  const changes = edited.includes(FILES.resolved) ? await changesOf(path, resolved) : ''
  throw new RunError(
    `${edited.map(name => join(path, name)).join(', ')}: content was edited after gradloom wrote it, expected it unchanged${changes}`,
    {
      hint: 'undo the edit; settings of a run are changed with gradloom resume --set, another experiment is a run of its own: gradloom train',
    },
  )
}

/** Changes that an edit made, by the newest checkpoint that can be read. */
async function changesOf(path: string, resolved: unknown): Promise<string> {
  const folder = join(path, FILES.checkpoints)
  for (const step of await checkpointSteps(folder)) {
    try {
      const { experiment } = await readCheckpoint(join(folder, checkpointName(step)))
      const [before, now] = [experiment, resolved].map(value => resolveExperiment(value).experiment)
      const changes = differencesBetween(before, now).map(({ text }) => text)
      return changes.length === 0 ? '' : `; ${changes.join('; ')}`
    } catch {
      // Only the explanation is lost.
    }
  }
  return ''
}
