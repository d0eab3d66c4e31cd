/** Trains the experiment that a model was made of again, and compares the bits of both. Main thread. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { resolveExperiment } from '../config/load.js'
import { train } from '../coordinator/new-run.js'
import type { ReproduceOptions, Reproduction } from '../coordinator/reproduce.js'
import { ConfigError } from '../errors.js'
import { TensorFile } from '../formats/tensor-file.js'
import { type ModelDtype, readCheckpoint } from '../run/checkpoint-file.js'
import { dataOverrides } from '../run/locate-data.js'
import { openRun } from '../run/open.js'
import { exportWeights } from './export.js'

/** Reproduces an exported safetensors file, as `reproduce` does a run: compares its last step, trained and exported. */
export async function reproduceModel(target: string, options: ReproduceOptions = {}): Promise<Reproduction> {
  const { checkpoint, experiment } = await openRun(target)
  const model = await readCheckpoint(checkpoint)
  if (model.trainedSha256 === null) {
    throw new ConfigError(`${target}: is a checkpoint of a run, expected its run directory, or an exported model`, {
      hint: `npx gradloom reproduce ${dirname(dirname(checkpoint))}`,
    })
  }
  const { overrides = [], fromPath, ...rest } = options
  if (fromPath !== undefined) {
    throw new ConfigError(
      `--from is ${JSON.stringify(fromPath)}, expected none: ${target} is an exported model, not a run`,
    )
  }
  const resolved = resolveExperiment(experiment, {
    where: checkpoint,
    overrides: [...overrides, ...dataOverrides(options)],
  })
  const folder = await mkdtemp(join(tmpdir(), 'gradloom-reproduce-'))
  try {
    const runDir = join(folder, 'run')
    const summary = await train(resolved, { ...rest, runDir })
    const step = { step: model.step, recorded: 1 }
    const ended = summary.status === 'completed'
    const trained = {
      what: 'weightsSha256 of the run',
      recorded: model.trainedSha256,
      got: summary.weightsSha256 ?? '',
    }
    if (!ended || trained.got !== trained.recorded) return outcome(step, ended ? trained : null, ended)
    const again = join(folder, 'model.safetensors')
    await exportWeights(runDir, again, { format: 'safetensors', dtype: await dtypeOf(checkpoint) })
    const { weightsSha256: got } = await readCheckpoint(again)
    return outcome(step, { what: 'weightsSha256 of the model', recorded: model.weightsSha256, got }, true)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function dtypeOf(file: string): Promise<ModelDtype> {
  const tensors = await TensorFile.open(file)
  await tensors.close()
  return [...tensors.header.tensors.values()].some(({ dtype }) => dtype === 'BF16') ? 'BF16' : 'F32'
}

function outcome(
  { step, recorded }: { readonly step: number; readonly recorded: number },
  last: { readonly what: string; readonly recorded: string; readonly got: string } | null,
  ended: boolean,
): Reproduction {
  const identical = last !== null && last.recorded === last.got
  return {
    ...{ identical, recorded, compared: ended ? 1 : 0, environment: [] },
    identicalUpTo: identical ? step : null,
    difference: identical || last === null ? null : { step, ...last },
  }
}
