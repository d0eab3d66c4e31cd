/** `train --dry-run`: plans a training run without starting it. Main thread; starts no thread, writes no run. */

import type { LoadedExperiment } from '../config/load.js'
import { factsOfTask, type Loss, TASK_FACTS } from '../config/tasks.js'
import { autoCompute } from '../coordinator/auto-compute.js'
import { prepareSession } from '../coordinator/prepare.js'
import { formatBytes, formatCount, formatCounted } from '../format.js'
import { convolutionText } from '../model/convolution.js'
import type { EmbeddingShape } from '../model/embedding.js'
import { type Parameter, parameterCount, parametersOf } from '../model/parameters.js'
import { inputSize } from '../tensor/input-shape.js'
import { splitsText } from './train-lines.js'

export interface DryRun {
  readonly experiment: LoadedExperiment['experiment']
  readonly rows: { readonly train: number; readonly validation: number; readonly test: number }
  readonly features: number
  readonly outputs: readonly string[]
  readonly layers: readonly PlannedLayer[]
  readonly embeddings: readonly EmbeddingShape[]
  readonly parameters: number
  readonly stepsPerEpoch: number
  readonly memoryBytes: number
  readonly backend: string
  readonly backendReason: string
  readonly backendAdvice: string | null
  readonly precision: string
  readonly workers: number
  /** Notes and warnings on the data that `train` shows at its start. */
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
}

export interface PlannedLayer {
  readonly inputs: number
  readonly outputs: number
  readonly parameters: number
  /** Sizes of a convolution, and its normalisation; else absent. */
  readonly convolution?: string
  readonly norm?: 'none' | 'batch'
}

/** Throws what `train` would throw before its first thread starts. */
export async function planDryRun({ experiment: asked, baseDir }: LoadedExperiment): Promise<DryRun> {
  const prepared = await prepareSession(asked, baseDir, {
    purpose: 'train',
    splits: ['train', 'validation', 'test'],
  })
  const { run, decide } = await autoCompute(prepared)
  const { experiment, plan, layout, data, backendAdvice } = run
  const backendReason = decide === null ? run.backendReason : `${run.backendReason}; train decides by a trial`
  const train = data.validationFrom ?? data.train.rows - Math.round(data.train.rows * experiment.data.validation)
  const validation = data.train.rows - train
  const table = parametersOf(plan)
  const layers = plan.widths.slice(1).map((outputs, i) => {
    const own = table.filter(({ layer, kind }: Parameter) => kind !== 'embedding' && layer === i)
    const convolution = plan.convolutions[i]
    return {
      ...{ inputs: plan.widths[i], outputs, parameters: parameterCount(own) },
      ...(convolution && { convolution: convolutionText(convolution), norm: convolution.norm }),
    }
  })
  const { embeddings } = plan
  return {
    experiment,
    rows: { train, validation, test: data.test.rows },
    ...{
      features: inputSize(data),
      outputs: data.classNames,
      layers,
      embeddings,
      parameters: parameterCount(table),
    },
    stepsPerEpoch: Math.ceil(Math.ceil(train / plan.batchSize) / plan.accumulateSteps),
    memoryBytes: layout.bytes,
    ...{ notes: data.notes ?? [], warnings: data.warnings ?? [] },
    ...{ backend: plan.backend, backendReason, backendAdvice, precision: plan.precision, workers: plan.workers },
  }
}

/** Outputs of the last layer, by the loss. */
const OUTPUTS: Readonly<Record<Loss, string>> = {
  'cross-entropy': 'softmax',
  'binary-cross-entropy': 'sigmoid',
  'mean-squared-error': 'outputs',
}

/** Exported for tests. */
export function dryRunLines(run: DryRun): string[] {
  const { experiment, rows, features, outputs, layers, backendAdvice: advice } = run
  const { model, data, train } = experiment
  const convolved = model.convolutions.length
  const dropout = (i: number) => {
    if (i < convolved) return model.convolutions[i].dropout
    return typeof model.dropout === 'number' ? model.dropout : model.dropout[i - convolved]
  }
  const normOf = (i: number) => layers[i].norm ?? model.norm
  const after = (i: number) =>
    i === layers.length - 1
      ? [data.task === 'regression' ? 'targets' : OUTPUTS[train.loss]]
      : [
          ...(normOf(i) === 'none' ? [] : [`${normOf(i)} norm`]),
          model.activation,
          ...(dropout(i) > 0 ? [`dropout ${dropout(i)}`] : []),
        ]
  const row = (label: string, text: string) => `${label.padEnd(8)} ${text}`
  return [
    row('data', `${data.dataset}: ${splitsText(rows)}`),
    row(
      '',
      `${formatCounted(features, 'feature')}, ${formatCounted(outputs.length, ...(factsOfTask(data.task) ?? TASK_FACTS.classification).outputs)}`,
    ),
    ...run.notes.map(note => row('', note)),
    ...run.embeddings.map(({ rows: categories, size }, i) =>
      row(
        '',
        `embedding ${i}, ${formatCount(categories)} rows of ${size}: ${formatCounted(categories * size, 'parameter')}`,
      ),
    ),
    ...layers.map(({ inputs, outputs: units, parameters, convolution }, i) =>
      row(
        `layer ${i}`,
        `${convolution ?? `${formatCount(inputs)} -> ${formatCount(units)}`}, ${after(i).join(', ')}: ${formatCounted(parameters, 'parameter')}`,
      ),
    ),
    row('model', formatCounted(run.parameters, 'parameter')),
    row(
      'training',
      `${formatCounted(train.epochs, 'epoch')} of ${formatCounted(run.stepsPerEpoch, 'step')}, mini-batches of ${formatCounted(train.batchSize, 'sample')}`,
    ),
    row('memory', `${formatBytes(run.memoryBytes)}, shared by all workers`),
    row(
      'compute',
      `${run.backend} ${run.precision} (${advice === null ? run.backendReason : `${run.backendReason}; ${advice}`}), ${formatCounted(run.workers, 'worker')}`,
    ),
    '',
    'The experiment with every default:',
    JSON.stringify(experiment, null, 2),
  ]
}
