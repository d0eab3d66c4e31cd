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
