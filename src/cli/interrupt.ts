/** Ctrl-C and SIGTERM: the first signal asks to stop, the second ends the process. Main thread. */

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const
type StopSignal = keyof typeof EXIT_CODES

/** Time within which two signals are one key press: npm and npx forward a terminal's Ctrl-C to a process that already got it. */
const SAME_PRESS_MS = 250

export interface Interrupt {
  /** Exit code of a run that a signal stopped; undefined before any signal. */
  exitCode(): number | undefined
  /**
   * Restores the previous handling of signals, unless one has come: the same key press may arrive again through npx, and must
   * not end by its default action a process that is about to exit with its code.
   */
  dispose(): void
}

/** Watches for signals. `onFirst` must return soon; `onSecond` tidies the terminal, and then the process ends. `now`: ms. */
export function watchInterrupts(
  onFirst: (signal: StopSignal) => void,
  onSecond: () => void,
  now: () => number = () => performance.now(),
): Interrupt {
  let first: { readonly signal: StopSignal; readonly atMs: number } | undefined
  const onSignal = (signal: StopSignal) => {
    if (first === undefined) {
      first = { signal, atMs: now() }
      onFirst(signal)
    } else if (now() - first.atMs > SAME_PRESS_MS) {
      onSecond()
      process.exit(EXIT_CODES[signal])
    }
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return {
    exitCode: () => first && EXIT_CODES[first.signal],
    dispose() {
      if (first === undefined) process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    },
  }
}
