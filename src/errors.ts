/**
 * The errors users see. Runs on any thread; comlink keeps only `name`, `message` and `stack`, so the kind is in `name`.
 *
 * Message form: `where: thing is <got>, expected <want>; <evidence>`; a command that helps goes into `hint`.
 */

/** Any failure with a message meant for the user. The CLI prints `message` and `hint`, and exits with `exitCode`. */
export class GradloomError extends Error {
  /** Command or action that helps the user. */
  readonly hint: string | undefined
  /** 1 for a failure, 2 for wrong usage or a wrong experiment. */
  readonly exitCode: number

  constructor(
    name: string,
    message: string,
    options: { hint?: string | undefined; cause?: unknown; exitCode?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = name
    this.hint = options.hint
    this.exitCode = options.exitCode ?? 1
  }
}

type Options = { hint?: string | undefined; cause?: unknown }

/** The experiment, an option or an argument is wrong: exit code 2. */
export class ConfigError extends GradloomError {
  constructor(message: string, options: Options = {}) {
    super('ConfigError', message, { ...options, exitCode: 2 })
  }
}

/** A data set is missing or its files are damaged. */
export class DataError extends GradloomError {
  constructor(message: string, options: Options = {}) {
    super('DataError', message, options)
  }
}

/** Training cannot continue: a dead worker, or values that are not finite. */
export class RunError extends GradloomError {
  constructor(message: string, options: Options = {}) {
    super('RunError', message, options)
  }
}

/** A worker died or failed in a call: the state of the run may be half changed, and the worker may be replaced. */
export class WorkerError extends RunError {}

/** A tensor has another shape than its operation needs. A defect of gradloom or of its caller, never of an experiment. */
export class ShapeError extends GradloomError {
  constructor(message: string, options: Options = {}) {
    super('ShapeError', message, options)
  }
}
