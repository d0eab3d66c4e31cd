/** Numbers and lists as people read them. Pure; any thread, and the browser: nothing of Node.js can be imported here. */

const UNKNOWN = '?'

/** `535,818` */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return UNKNOWN
  return Math.round(value)
    .toFixed(0)
    .replace(/\B(?=(\d{3})+$)/g, ',')
}

/** Count with its noun: 1 checkpoint, 1,200 checkpoints. `plural` where adding an s is wrong. */
export function formatCounted(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`
}

/** Comma-separated list, of a long one its first `most`: `a, b, c and 17 more`. */
export function formatList(items: readonly string[], most: number): string {
  const more = items.length - most
  return items.slice(0, most).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/** Names in quotes, as a message lists them: `'a', 'b' and 17 more`. */
export const formatNames = (names: readonly string[], most = 20): string => formatList(names.map(quoted), most)

/** As `util.inspect` quotes a text: in single quotes, unless it has one and no double quote. */
function quoted(name: string): string {
  const text = JSON.stringify(name)
  if (name.includes("'") && !name.includes('"')) return text
  return `'${text.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`
}

/** Text of at most `most` characters, on one line. */
export function formatShort(text: string, most: number): string {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  const characters = [...line.slice(0, 2 * most + 2)]
  return characters.length <= most ? line : `${characters.slice(0, most - 1).join('')}…`
}

/** Fraction as a percentage: `96.12 %` */
export function formatPercent(fraction: number, digits = 2): string {
  return Number.isFinite(fraction) ? `${(100 * fraction).toFixed(digits)} %` : UNKNOWN
}

/** `0.1234`, and `1.2e-7` where four decimals would show nothing. NaN and infinities by name: they must be seen. */
export function formatLoss(loss: number): string {
  const small = loss !== 0 && Math.abs(loss) < 0.001
  return small || Math.abs(loss) >= 1e6 ? loss.toPrecision(2) : loss.toFixed(4)
}

/** Number of any size and unit, to five digits: `21,467`, `0.0031`, `1.2e-9` */
export function formatNumber(value: number): string {
  const size = Math.abs(value)
  if (size >= 10_000 && size < 1e15) return `${value < 0 ? '-' : ''}${formatCount(size)}`
  return String(Number(value.toPrecision(5)))
}

/** `0.42 s`, `12.3 s`, `3 min 05 s`, `2 h 05 min`, `3 d 04 h` */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return UNKNOWN
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`
  return formatLong(seconds)
}

/** Duration in whole seconds, for an estimated remaining time: `12 s`, `3 min 05 s` */
export function formatEta(seconds: number): string {
  if (!Number.isFinite(seconds)) return UNKNOWN
  return seconds < 59.5 ? `${Math.round(seconds)} s` : formatLong(seconds)
}

function formatLong(seconds: number): string {
  const whole = Math.round(seconds)
  const [days, hours, minutes] = [
    Math.floor(whole / 86_400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60,
  ]
  const two = (value: number) => String(value).padStart(2, '0')
  if (days > 0) return `${days} d ${two(hours)} h`
  if (hours > 0) return `${hours} h ${two(minutes)} min`
  return `${minutes} min ${two(whole % 60)} s`
}

/** Decimal units, as disks and most tools count: `238 MB`, `25.3 GB` */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return UNKNOWN
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${value.toFixed(unit > 0 && value < 99.95 ? 1 : 0)} ${units[unit]}`
}

/** Word that can be pasted into a shell: quoted where it must be. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
