/**
 * Training, from an experiment to a finished run directory. Main thread.
 */
import { resolve } from 'node:path'
import type { LoadedExperiment } from '../config/load.js'
import type { Experiment } from '../config/schema.js'
import { withTask } from '../config/task.js'
import type { LoadedFile } from '../data/dataset.js'
import { bitsDependOn } from '../kernels/choose.js'
import { libraryPath } from '../kernels/native/discover.js'
import { RunDirectory } from '../run/directory.js'
import type { RunSummary } from '../run/events.js'
import { dataFromRun } from '../run/locate-data.js'
import type { ManifestDetails } from '../run/manifest.js'
import { refuseOtherData } from '../run/saved-run.js'
import { allWorkers } from '../worker/plan/tiles.js'
import { type AutoOptions, autoCompute, type DecidedRun } from './auto-compute.js'
import { expectSameForward, inputOfStart, knownScaling, NO_INPUT } from './model-input.js'
import { prepareSession } from './prepare.js'
import {
  compareRanks,
  expectRanks,
  plannedRanks,
  ranksText,
  recordOf,
  relationOf,
  type Told,
  warnOfBinding,
} from './ranks.js'
import { Session } from './session.js'
import { sharedSource } from './shared-data.js'
import { recordedStart, startFrom, startingPoint } from './start.js'
import { Trainer, type TrainOptions } from './training-loop.js'

export type { TrainOptions } from './training-loop.js'

export interface NewRunOptions extends TrainOptions {
  /** Files that the data must be, by digest; others are refused before anything is trained. */
  readonly expectedFiles?: readonly LoadedFile[] | undefined
  /** Stands in for the clock of the trial that decides what `auto` is. */
  readonly measure?: AutoOptions['measure']
}

/**
 * Trains an experiment. Resolves when it is completed or interrupted. Rejects with ConfigError or DataError before any
 * thread starts; with RunError if training fails, after the failure is in `summary.json`.
 */
export async function train(loaded: LoadedExperiment, options: NewRunOptions = {}): Promise<RunSummary> {
  const { ranks } = options
  const asked = withAbsolutePaths(loaded)
  expectRanks(asked, ranks)
  const fromInput = options.fromInput ?? 'kept'
  const model = options.from === undefined || fromInput === 'new' ? NO_INPUT : await inputOfStart(options.from)
  // Task and loss that the experiment leaves to its data are the model's.
  expectSameForward(options.from ?? '', model, model.spec === null ? asked : withTask(asked, model.spec.task))
  const relation = ranks && (await relationOf(ranks, asked))
  const planned = await prepareSession(
    asked,
    loaded.baseDir,
    {
      ...{ purpose: 'train', splits: ['train', 'validation', 'test'] },
      ...(ranks && { ranks: plannedRanks(ranks, asked, relation!) }),
    },
    options.data,
    model.spec,
  )
  // A trial would decide for one rank alone.
  const { run, decide } = ranks ? { run: { ...planned, ranks }, decide: null } : await autoCompute(planned, options)
  let prepared: DecidedRun = run
  const { experiment } = prepared
  for (const text of prepared.data.warnings ?? []) options.onWarning?.(text)
  const known = knownScaling(model, prepared.data, experiment.data)
  const from =
    options.from === undefined
      ? null
      : await startingPoint(
          {
            target: options.from,
            layout: options.fromLayout ?? null,
            order: options.fromOrder ?? null,
            input: fromInput,
          },
          prepared.layout.parameters.map(({ parameter }) => parameter),
          options.onWarning ?? (() => {}),
        )
  const startedAt = new Date().toISOString()
  ranks?.tell({
    ...{ call: 'open', experiment: asked, baseDir: loaded.baseDir, workers: allWorkers(prepared.plan) },
    ...{ ...relation!, shareMemory: prepared.plan.host !== null },
    ...{ model: model.spec, known, source: sharedSource(asked, prepared.data) },
  } satisfies Told)
  const directory =
    options.runDir === null
      ? null
      : await RunDirectory.create({
          name: experiment.name,
          dir: options.runDir,
          tensorboard: experiment.log.tensorboard,
          ...(options.onWarning && { onWarning: options.onWarning }),
        })
  try {
    const session = await Session.start(
      prepared,
      experiment,
      known,
      directory?.path,
      decide === null ? undefined : async (...of) => (prepared = await decide(...of)),
    )
    try {
      if (ranks) {
        await compareRanks(ranks, session)
        warnOfBinding(ranks, asked, options.onWarning ?? (() => {}))
      }
      refuseOtherData(options.expectedFiles, session.files)
      for (const text of session.warnings) options.onWarning?.(text)
      await directory?.writeStart(
        {
          startedAt,
          backend: backendDetails(prepared),
          workers: session.plan.workers,
          ...(ranks && { ranks: recordOf(ranks, session.plan) }),
          data: {
            dataset: experiment.data.dataset,
            rows: session.plan.rows,
            classNames: session.input.classNames,
            files: session.files,
            ...(prepared.data.libraries && { libraries: prepared.data.libraries }),
            fromRun: dataFromRun(directory.path, experiment.data),
          },
          from: from && recordedStart(from, directory.path),
        },
        loaded.source,
        experiment,
      )
      const { backendReason, backendAdvice } = prepared
      const trainer = new Trainer({
        ...{ session, experiment, options, directory, backendReason, backendAdvice },
        notes: [...(prepared.data.notes ?? []), ...(ranks ? [ranksText(ranks, session.plan)] : [])],
        ...(from !== null && { initialise: session => startFrom(session, from) }),
      })
      return await trainer.train()
    } finally {
      await session.close()
    }
  } finally {
    await directory?.close()
  }
}

function backendDetails({ plan, backendReason: reason, trial }: DecidedRun): ManifestDetails['backend'] {
  const { backend: name, library, precision, allReduce } = plan
  return { name, reason, library, precision, bitsDependOn: bitsDependOn(name, allReduce), ...(trial && { trial }) }
}

/** Makes paths absolute: run directory and checkpoint must find data and library again, wherever they are read from. */
function withAbsolutePaths({ experiment, baseDir }: LoadedExperiment): Experiment {
  const { data, compute } = experiment
  return {
    ...experiment,
    data: {
      ...data,
      path: data.path && resolve(baseDir, data.path),
      testPath: data.testPath && resolve(baseDir, data.testPath),
    },
    compute: { ...compute, library: compute.library && libraryPath(compute.library, baseDir) },
  }
}
