/** Ctrl-C and SIGTERM: the first asks to stop, the second stops. Main thread. */

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const
type StopSignal = keyof typeof EXIT_CODES

/** npm and npx pass a terminal's Ctrl-C on to a process that has already got it: one press, two signals. */
const SAME_PRESS_MS = 250

export interface Interrupt {
  /** The exit code that a stopped run owes to the signal; undefined while none has come. */
  exitCode(): number | undefined
  /** Signals do again what they did before. */
  dispose(): void
}

/** `onFirst` must return soon; `onSecond` tidies the terminal, then the process ends. */
export function watchInterrupts(onFirst: (signal: StopSignal) => void, onSecond: () => void): Interrupt {
  let first: { readonly signal: StopSignal; readonly atMs: number } | undefined
  const onSignal = (signal: StopSignal) => {
    if (first === undefined) {
      first = { signal, atMs: performance.now() }
      onFirst(signal)
    } else if (performance.now() - first.atMs > SAME_PRESS_MS) {
      onSecond()
      process.exit(EXIT_CODES[signal])
    }
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return {
    exitCode: () => first && EXIT_CODES[first.signal],
    dispose: () => process.off('SIGINT', onSignal).off('SIGTERM', onSignal),
  }
}
