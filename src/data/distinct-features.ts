/**
 * Detects features whose different values become equal in f32, such as times in seconds since 1970 and large identifiers:
 * the difference between the rows would be silently lost. Pure; any thread.
 *
 * Letters: `F` features.
 */
import { DataError } from '../errors.js'

/** Maximum rows of a sample. */
const MOST_ROWS = 2000
/** Fraction of the different values that must stay different in f32: where rounding matters, and in any case. */
const MOSTLY = 0.9
const HALF = 0.5
/** Rounding error that matters: root mean square, as a fraction of a column's standard deviation. */
const MOST_ROUNDING = 1e-3
/** Digits beyond which f64 numbers differ by how they were computed. */
const EXACT_DIGITS = 12

/** Rows chosen by a hash of their index, which does not align with any period in the data; the same ones for the same data. */
export class RowSample {
  #rows: { readonly hash: number; readonly numbers: readonly number[] }[] = []
  #below = 2 ** 32
  #seen = 0
  #hash = 0

  /** True if the next row should be added. */
  wantsNext(): boolean {
    this.#hash = hashOf(this.#seen++)
    return this.#hash < this.#below
  }

  /** Adds a row; `numbers` (F) as the file has them. */
  add(numbers: readonly number[]): void {
    this.#rows.push({ hash: this.#hash, numbers })
    if (this.#rows.length <= MOST_ROWS) return
    this.#below /= 2
    this.#rows = this.#rows.filter(({ hash }) => hash < this.#below)
  }

  get width(): number {
    return this.#rows[0]?.numbers.length ?? 0
  }

  column(column: number): number[] {
    return this.#rows.map(({ numbers }) => numbers[column])
  }
}

/**
 * Throws DataError for a column whose different values become the same in f32. Measurements may lose their last digits:
 * a column is refused where less than half of its values stay different, or where the rounding is a noticeable part of
 * the column's standard deviation.
 */
export function expectDistinctFeatures(where: string, sample: RowSample, nameOf: (column: number) => string): void {
  for (let column = 0; column < sample.width; column++) {
    const values = sample.column(column)
    if (values.every(value => Math.fround(value) === value)) continue
    const kept = new Set(values.map(Math.fround)).size
    if (kept >= MOSTLY * new Set(values).size) continue
    const different = new Set(values.map(value => Number(value.toPrecision(EXACT_DIGITS)))).size
    const { mean, deviation, rounding } = spreadOf(values)
    const matters = rounding > MOST_ROUNDING * deviation
    if (different < 2 || kept >= (matters ? MOSTLY : HALF) * different) continue
    throw new DataError(
      `${where}: ${nameOf(column)} has ${different} different values in a sample of ${values.length} rows, of which f32 keeps ` +
        `${kept} apart, expected numbers of about seven digits; its mean is ${mean.toPrecision(12)}, its standard deviation ` +
        `${deviation.toPrecision(3)}, and rounding changes it by ${rounding.toPrecision(3)}`,
      { hint: `subtract a common offset such as ${Math.round(mean)}, or leave the feature out` },
    )
  }
}

/** Root mean squares: deviation from the mean, and rounding error. */
function spreadOf(values: readonly number[]) {
  const [first] = values
  const shift = values.reduce((sum, value) => sum + (value - first) / values.length, 0)
  const squares = values.reduce((sum, value) => sum + (value - first - shift) ** 2, 0)
  const changes = values.reduce((sum, value) => sum + (Math.fround(value) - value) ** 2, 0)
  return {
    mean: first + shift,
    deviation: Math.sqrt(squares / values.length),
    rounding: Math.sqrt(changes / values.length),
  }
}

/** The finaliser of MurmurHash3. */
function hashOf(place: number): number {
  let bits = place
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
