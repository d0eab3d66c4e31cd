/**
 * koffi, through which native libraries are called: an optional dependency, so it is loaded when it is needed and may be
 * missing. Any thread.
 *
 * koffi 3 ends the whole process ("Error::ThrowAsJavaScriptException napi_throw") when a thread is terminated, or the process
 * exits, while the thread loads a library, declares a function, or decodes or views memory: its addon cannot throw into a
 * thread that is ending. Measured on Node 20 and 26, 40 threads each; plain calls, output parameters, buffers and `address`
 * are safe. So everything else is done when a thread opens its plan, never in a step, and nobody ends a thread while it opens one.
 */
export type Koffi = typeof import('koffi')
export type LibraryHandle = import('koffi').LibraryHandle

let loading: Promise<Koffi> | undefined

/** Loads koffi. Rejects with a KoffiMissing whose message has the remedy. */
export function loadKoffi(): Promise<Koffi> {
  loading ??= import('koffi').then(
    koffi => koffi.default as unknown as Koffi,
    (cause: Error) => {
      throw new KoffiMissing(cause)
    },
  )
  return loading
}

export class KoffiMissing extends Error {
  constructor(cause: Error) {
    const [why] = cause.message.split('\n')
    super(`koffi, an optional dependency, cannot be loaded: ${why}`, { cause })
    this.name = 'KoffiMissing'
  }
}

/** A function of the library, or null if it has none of that name. `declaration` is C, as koffi reads it. */
export function optional<F extends (...args: never[]) => unknown>(
  library: LibraryHandle,
  declaration: string,
): F | null {
  try {
    return library.func(declaration) as unknown as F
  } catch (error) {
    if (/Cannot find function/i.test((error as Error).message)) return null
    throw error
  }
}
