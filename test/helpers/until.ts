/** Waits for a condition of which there is no event. */
import { setTimeout as delay } from 'node:timers/promises'

/** Longest wait of a test: only something that hangs takes as long, on a busy machine too. */
export const CEILING_MS = 300_000

/** Resolves once `condition` holds; rejects where it does not within the ceiling. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; !(await condition()); waitedMs += 5) {
    if (waitedMs > CEILING_MS) throw new Error(`${what}: not so after ${CEILING_MS / 1000} s`)
    await delay(5)
  }
}
