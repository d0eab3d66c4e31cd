/** Tasks of a network: the losses that each can be trained by, and the words for its outputs. Data only; any thread. */

export const LOSSES = ['cross-entropy', 'binary-cross-entropy', 'mean-squared-error'] as const
export type Loss = (typeof LOSSES)[number]

/** `multi-label`: independent yes/no columns, one sigmoid output each. */
export const TASKS = ['classification', 'multi-label', 'regression'] as const
export type Task = (typeof TASKS)[number]

export interface TaskFacts {
  /** Losses that fit; the first is the default. */
  readonly losses: readonly [Loss, ...Loss[]]
  /** Word for an output, and for several. */
  readonly outputs: readonly [one: string, several: string]
}

export const TASK_FACTS: Readonly<Record<Task, TaskFacts>> = {
  classification: { losses: ['cross-entropy', 'mean-squared-error'], outputs: ['class', 'classes'] },
  'multi-label': { losses: ['binary-cross-entropy'], outputs: ['label', 'labels'] },
  regression: { losses: ['mean-squared-error'], outputs: ['target', 'targets'] },
}

/** Facts of a task by its name; undefined for "auto", and for what is none. */
export const factsOfTask = (task: string): TaskFacts | undefined =>
  Object.hasOwn(TASK_FACTS, task) ? TASK_FACTS[task as Task] : undefined

/** Default loss of a task. With "auto" it is that of classes, until the data decide. */
export const lossOfTask = (task: string): Loss => (factsOfTask(task) ?? TASK_FACTS.classification).losses[0]
