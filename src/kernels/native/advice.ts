/** The command that installs a library for a native backend on the current system. Main thread. */
import { readFileSync } from 'node:fs'

/** Command, or null if none is known. `osRelease` is the text of /etc/os-release. */
export function installAdvice(
  backend: string,
  platform: NodeJS.Platform = process.platform,
  osRelease: string = readOsRelease(),
): string | null {
  if (platform !== 'linux' || (backend !== 'blas' && backend !== 'onednn')) return null
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)`, 'm').exec(osRelease)?.[1] ?? ''
  const families = [field('ID'), ...field('ID_LIKE').split(' ')]
  // Debian 12 has oneDNN 2; later ones have 3, whose API is another.
  if (backend === 'onednn')
    return field('ID') === 'debian' && field('VERSION_ID') === '12' ? 'apt-get install libdnnl2' : null
  if (families.includes('debian')) return 'apt-get install libopenblas0-pthread'
  if (families.includes('fedora')) return 'dnf install openblas'
  if (families.includes('arch')) return 'pacman -S openblas'
  if (families.includes('alpine')) return 'apk add openblas'
  return null
}

function readOsRelease(): string {
  try {
    return readFileSync('/etc/os-release', 'utf8')
  } catch {
    return ''
  }
}
