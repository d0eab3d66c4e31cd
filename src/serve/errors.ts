/** Errors of a server, and the HTTP status that each kind of error means. Any thread. */
import { GradloomError } from '../errors.js'

/** More is asked at once than is kept waiting. */
export class TooBusyError extends GradloomError {
  constructor(message: string) {
    super('TooBusyError', message, { hint: 'ask again in a moment' })
  }
}

/** A request asks for what is not there. */
export class NotFoundError extends GradloomError {
  constructor(message: string, hint?: string) {
    super('NotFoundError', message, { hint })
  }
}

/** A request is wrong in itself. */
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
  /** A data set is not where the run found it. */
  DataError: 404,
  /** No checkpoint yet, or one that cannot be used: the run's state is in the way. */
  RunError: 409,
  TooBusyError: 429,
}

export const statusOfError = ({ name }: GradloomError): number => STATUS[name] ?? 500
