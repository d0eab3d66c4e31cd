/** The shortest decimal text of an f32 number: read again and rounded to f32, it is the same number. Pure; any thread. */

/** Decimal digits that identify most numbers of 24 bits, and digits that identify all. */
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
const POWERS = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`))
const [ZERO, POINT, MINUS, EXPONENT] = [48, 46, 45, 101]
/** Smallest fraction that is printed with zeros after the point, and the smallest whose digits these powers of ten give. */
const [LEAST_PLAIN, LEAST] = [0.000001, 1e-13]

/**
 * Writes an f32 number from 1e-13 to 1, or 0, as `f32Text` prints it, without a string, and returns the end of it; `at` for other
 * numbers. Most probabilities are of these. At most 16 bytes.
 */
export function putFraction(value: number, into: Uint8Array, at: number): number {
  if (value === 0 || value === 1) {
    into[at] = ZERO + value
    return at + 1
  }
  if (!(value >= LEAST && value < 1)) return at
  let zeros = 0
  while (value * POWERS[zeros + 1] < 1) zeros++
  // Digits as an integer, which 31 bits hold.
  let count = FEW_DIGITS
  let digits = Math.round(value * POWERS[count + zeros])
  while (count < ALL_DIGITS && Math.fround(digits / POWERS[count + zeros]) !== value) {
    count++
    digits = Math.round(value * POWERS[count + zeros])
  }
  digits |= 0
  for (let rest = (digits / 10) | 0; rest * 10 === digits; rest = (digits / 10) | 0) {
    digits = rest
    count--
  }
  const decimals = count + zeros
  // A number just below the least is rounded up to it.
  const isPlain = value >= LEAST_PLAIN || (digits === 1 && decimals === 6)
  return isPlain ? putPlain(digits, decimals, into, at) : putExponent(digits, decimals, into, at)
}

/** Writes digits · 10^-decimals as 0.00…digits. */
function putPlain(digits: number, decimals: number, into: Uint8Array, at: number): number {
  into[at] = ZERO
  into[at + 1] = POINT
  let left = digits
  for (let i = at + 1 + decimals; i > at + 1; i--) {
    const rest = (left / 10) | 0
    into[i] = ZERO + left - 10 * rest
    left = rest
  }
  return at + 2 + decimals
}

/** Writes digits · 10^-decimals as d.ddde-x. */
function putExponent(digits: number, decimals: number, into: Uint8Array, at: number): number {
  let count = 1
  while (POWERS[count] <= digits) count++
  let left = digits
  for (let i = at + count; i > at + 1; i--) {
    const rest = (left / 10) | 0
    into[i] = ZERO + left - 10 * rest
    left = rest
  }
  into[at] = ZERO + left
  if (count > 1) into[at + 1] = POINT
  let end = count > 1 ? at + 1 + count : at + 1
  into[end++] = EXPONENT
  into[end++] = MINUS
  const exponent = decimals - count + 1
  if (exponent > 9) into[end++] = ZERO + ((exponent / 10) | 0)
  into[end++] = ZERO + (exponent % 10)
  return end
}
