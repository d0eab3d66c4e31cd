/** Errors of a server, and the HTTP status of each kind. Any thread. */
import { GradloomError } from '../errors.js'

/** Error for requests beyond the waiting limit. */
export class TooBusyError extends GradloomError {
  constructor(message: string) {
    super('TooBusyError', message, { hint: 'ask again in a moment' })
  }
}

/** Error for a request of something that does not exist. */
export class NotFoundError extends GradloomError {
  constructor(message: string, hint?: string) {
    super('NotFoundError', message, { hint })
  }
}

/** Error for a malformed request. */
export class RequestError extends GradloomError {
  constructor(message: string, hint?: string) {
    super('RequestError', message, { hint })
  }
}

const STATUS: Readonly<Record<string, number>> = {
  RequestError: 400,
  PictureError: 400,
  ConfigError: 400,
  NotFoundError: 404,
  /** A data set is not at the run's path. */
  DataError: 404,
  /** The run has no usable checkpoint yet. */
  RunError: 409,
  TooBusyError: 429,
}

export const statusOfError = ({ name }: GradloomError): number => STATUS[name] ?? 500
