/**
 * Memory that a thread gives back when its work is done, and that the process would keep otherwise. Any thread; nothing
 * is called where a thread is killed.
 */
const releases: (() => void)[] = []

export const atThreadEnd = (release: () => void): void => void releases.push(release)

export function endThread(): void {
  for (const release of releases.splice(0)) release()
}
