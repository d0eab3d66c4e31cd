/** Results of threads: error classes do not cross threads, so errors for users cross as data. */
import { GradloomError } from '../errors.js'

export type Outcome<T> = { readonly value: T } | { readonly refused: Refused }

export interface Refused {
  readonly name: string
  readonly message: string
  readonly hint: string | undefined
  readonly exitCode: number
}

/** Wraps a result in the thread; an error that is not a GradloomError is a defect, and rejects. */
export async function outcomeOf<T>(act: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await act() }
  } catch (error) {
    if (!(error instanceof GradloomError)) throw error
    const { name, message, hint, exitCode } = error
    return { refused: { name, message, hint, exitCode } }
  }
}

/** Unwraps a result in the calling thread. */
export function answerOf<T>(outcome: Outcome<T>): T {
  if ('value' in outcome) return outcome.value
  const { name, message, hint, exitCode } = outcome.refused
  throw new GradloomError(name, message, { hint, exitCode })
}
