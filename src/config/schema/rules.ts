/** Rules between sections of the experiment, each with its message. Types and data only; any thread. */
import * as z from 'zod'
import { metricOf, SCORES, scoreNamesOf, scoreOfMetric } from '../scores.js'
import { factsOfTask, LOSSES, lossOfTask, type Task } from '../tasks.js'
import { taskOf } from './data.js'

/** Requires a validation split for settings that use its scores. */
export function validationIsThere() {
  return z.superRefine<{
    data: { dataset: string; validation: number; split: { column: string | null } }
    train: { evaluateEverySteps: number | null }
    checkpoint: { bestMetric: string }
  }>(({ data, train, checkpoint }, context) => {
    // Samples in memory and a split column may bring a validation split of their own: see prepareSession.
    if (data.validation !== 0 || data.dataset === 'memory' || data.split.column !== null) return
    const report = (path: string[], message: string, input: unknown) =>
      context.addIssue({ code: 'custom', path, message: `${message}, because data.validation is 0`, input })
    const { evaluateEverySteps: every } = train
    if (every !== null && every > 0) report(['train', 'evaluateEverySteps'], 'null', every)
    const { bestMetric } = checkpoint
    if (bestMetric.startsWith('validation-')) report(['checkpoint', 'bestMetric'], '"auto" or "train-loss"', bestMetric)
  })
}

/** Advice for tasks without classes, where a setting is for classes alone. */
const NO_CLASSES: Readonly<Record<Exclude<Task, 'classification'>, string>> = {
  'multi-label': ', in which a row has no single class; data.weight names a column of weights of the rows',
  regression: '',
}

/** Restricts each task to its losses, and what only classes have to classification; regression has no accuracy. */
export function taskFits() {
  return z.superRefine<{
    data: { dataset: string; task: string }
    augment: { perClass: unknown }
    train: { loss: string | null; classWeights: unknown }
    checkpoint: { bestMetric: string }
  }>(({ data, augment, train, checkpoint }, context) => {
    const task = taskOf(data)
    const facts = factsOfTask(task)
    if (facts === undefined) return // the data decide: see task.ts
    const report = (path: string[], message: string, input: unknown, advice = '') =>
      context.addIssue({ code: 'custom', path, message: `${message}, because data.task is "${task}"${advice}`, input })
    const losses: readonly string[] = facts.losses
    // A name that is no loss at all is reported where losses are listed.
    if (LOSSES.some(loss => loss === train.loss) && !losses.includes(train.loss!)) {
      report(['train', 'loss'], `${losses.map(loss => JSON.stringify(loss)).join(', ')} or null`, train.loss)
    }
    if (task === 'classification') return
    const advice = NO_CLASSES[task as keyof typeof NO_CLASSES]
    if (train.classWeights !== null) report(['train', 'classWeights'], 'null', train.classWeights, advice)
    if (augment.perClass !== null) report(['augment', 'perClass'], 'null', augment.perClass)
    const { bestMetric } = checkpoint
    if (task === 'regression' && bestMetric === 'validation-accuracy') {
      report(['checkpoint', 'bestMetric'], '"auto", "validation-loss" or "train-loss"', bestMetric)
    }
  })
}

/** Restricts the score that epochs are compared by to those that the task has. */
export function bestMetricFits() {
  return z.superRefine<{ data: { dataset: string; task: string }; checkpoint: { bestMetric: string } }>(
    ({ data, checkpoint: { bestMetric } }, context) => {
      const task = taskOf(data)
      const score = scoreOfMetric(bestMetric)
      // With "auto", the data decide: see coordinator/check-settings.ts.
      if (score === null || task === 'auto' || (SCORES[score].tasks as readonly string[]).includes(task)) return
      const names = scoreNamesOf(task as Task).map(name => JSON.stringify(metricOf(name)))
      context.addIssue({
        code: 'custom',
        path: ['checkpoint', 'bestMetric'],
        message: `"auto", "validation-loss" or one of ${names.join(', ')}, because data.task is "${task}"`,
        input: bestMetric,
      })
    },
  )
}

/** Restricts label smoothing to cross-entropy. */
export function smoothingFits() {
  return z.superRefine<{
    data: { task: string }
    train: { loss: string | null; labelSmoothing: number }
  }>(({ data, train }, context) => {
    const loss = train.loss ?? lossOfTask(data.task)
    if (loss === 'cross-entropy' || train.labelSmoothing === 0) return
    const evidence = train.loss === null ? `data.task is "${data.task}"` : `train.loss is "${loss}"`
    context.addIssue({
      code: 'custom',
      path: ['train', 'labelSmoothing'],
      message: `0, because ${evidence}`,
      input: train.labelSmoothing,
    })
  })
}

/** Restricts mixup to the cross-entropy of classes, whose rows count the same. */
export function mixupFits() {
  return z.superRefine<{
    data: { task: string; weight: unknown }
    augment: { mixup: number }
    train: { loss: string | null; classWeights: unknown }
  }>(({ data, augment, train }, context) => {
    if (augment.mixup === 0) return
    const loss = train.loss ?? lossOfTask(data.task)
    const evidence =
      loss !== 'cross-entropy'
        ? train.loss === null
          ? `data.task is "${data.task}"`
          : `train.loss is "${loss}"`
        : train.classWeights !== null
          ? 'train.classWeights is set, and a mixed image has two classes'
          : data.weight !== null
            ? 'data.weight is set, and a mixed image has two weights'
            : null
    if (evidence === null) return
    context.addIssue({
      code: 'custom',
      path: ['augment', 'mixup'],
      message: `0, because ${evidence}`,
      input: augment.mixup,
    })
  })
}

/** Requires scheduled checkpoints for rollbacks: where a run returns to must follow from the experiment, not from the clock. */
export function rollbackIsOnSchedule() {
  return z.superRefine<{
    train: { onNonFinite: string }
    checkpoint: { everySteps: number | null; everyEpochs: number | null }
  }>(({ train, checkpoint }, context) => {
    if (train.onNonFinite !== 'rollback' || checkpoint.everySteps !== null || checkpoint.everyEpochs !== null) return
    context.addIssue({
      code: 'custom',
      path: ['checkpoint', 'everyEpochs'],
      message: 'a number here or in checkpoint.everySteps, because train.onNonFinite is "rollback"',
      input: checkpoint.everyEpochs,
    })
  })
}

/** Rejects settings that `buffers` cannot serve: a stage between two parts of a pass, or the whole gradient before the update. */
export function buffersFit() {
  return z.superRefine<{
    model: { norm: string; convolutions: readonly unknown[] }
    train: { clipNorm: number | null }
    compute: { allReduce: string; gradientGroups: number | null }
  }>(({ model, train, compute }, context) => {
    if (compute.allReduce !== 'buffers') return
    const reasons = [
      model.norm !== 'none' && `model.norm is "${model.norm}"`,
      model.convolutions.length > 0 && 'model.convolutions has layers',
      train.clipNorm !== null && `train.clipNorm is ${train.clipNorm}`,
      (compute.gradientGroups ?? 1) > 1 && `compute.gradientGroups is ${compute.gradientGroups}`,
    ]
    const reason = reasons.find(text => text !== false)
    if (reason === undefined) return
    context.addIssue({
      code: 'custom',
      path: ['compute', 'allReduce'],
      message: `"fused", because ${reason}`,
      input: compute.allReduce,
    })
  })
}

/** Rejects statistics over a single value: normalised by them, every value becomes 0. */
export function normHasStatistics() {
  return z.superRefine<{
    model: { norm: string; hidden: readonly number[]; convolutions: readonly { readonly norm: string | null }[] }
    train: { batchSize: number }
  }>(({ model, train }, context) => {
    // Statistics of a feature map are over all positions as well: one sample has some.
    if (model.norm === 'batch' && model.hidden.length > 0 && train.batchSize === 1) {
      context.addIssue({
        code: 'custom',
        path: ['train', 'batchSize'],
        message:
          '2 or more, because model.norm is "batch", which makes every value 0 in a mini-batch of one sample ' +
          '(each mini-batch of train.accumulateSteps is normalised by itself); model.norm "layer" takes single samples',
        input: train.batchSize,
      })
    }
    const narrow = model.hidden.indexOf(1)
    if (model.norm === 'layer' && narrow >= 0) {
      context.addIssue({
        code: 'custom',
        path: ['model', 'hidden', narrow],
        message: '2 or more, because model.norm is "layer", which makes every value 0 in a layer of one unit',
        input: 1,
      })
    }
  })
}

/** Requires a normalisation of feature maps that there is. */
export function convolutionNormFits() {
  return z.superRefine<{ model: { norm: string; convolutions: readonly { readonly norm: string | null }[] } }>(
    ({ model }, context) => {
      const index = model.norm === 'layer' ? model.convolutions.findIndex(({ norm }) => norm === null) : -1
      if (index < 0) return
      context.addIssue({
        code: 'custom',
        path: ['model', 'norm'],
        message: `"none" or "batch", because model.convolutions.${index}.norm is null, which takes it over, and feature maps have no layer norm`,
        input: model.norm,
      })
    },
  )
}
