/** The shortest decimal text of an f32 number: read again and rounded to f32, it is the same number. Pure; any thread. */

/** Digits with which most numbers of 24 bits come back, and with which all do. */
const [FEW_DIGITS, ALL_DIGITS] = [7, 9]

/** `value` must be an f32 number; NaN and infinities are printed as JavaScript does. */
export function f32Text(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 24) return String(value)
  for (let digits = FEW_DIGITS; digits < ALL_DIGITS; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return String(short)
  }
  return String(Number(value.toPrecision(ALL_DIGITS)))
}

/** Powers of ten by exponent, exact in f64. */
const POWERS = Array.from({ length: 16 }, (_, exponent) => 10 ** exponent)
const [ZERO, POINT] = [48, 46]

/**
 * Writes an f32 number from 0.000001 to 1, or 0, as `f32Text` prints it, without a string, and returns the end of it; `at` for other numbers.
 * Most probabilities are of these.
 */
export function putFraction(value: number, into: Uint8Array, at: number): number {
  if (value === 0 || value === 1) {
    into[at] = ZERO + value
    return at + 1
  }
  if (!(value >= 0.000001 && value < 1)) return at
  let zeros = 0
  while (value * POWERS[zeros + 1] < 1) zeros++
  for (let digits = FEW_DIGITS; digits <= ALL_DIGITS; digits++) {
    const decimals = digits + zeros
    let shifted = Math.round(value * POWERS[decimals])
    if (digits < ALL_DIGITS && Math.fround(shifted / POWERS[decimals]) !== value) continue
    let length = decimals
    while (shifted % 10 === 0) {
      shifted /= 10
      length--
    }
    into[at] = ZERO
    into[at + 1] = POINT
    for (let i = at + 1 + length; i > at + 1; i--) {
      const rest = Math.floor(shifted / 10)
      into[i] = ZERO + shifted - 10 * rest
      shifted = rest
    }
    return at + 2 + length
  }
  return at
}
