/**
 * Elementary functions with the same bits in every engine: only operations that IEEE 754 and ECMAScript round exactly
 * are used (+ - * / and the square root). Math.log, Math.cos and Math.pow are the engine's, whose last bit may change
 * from version to version, and what is computed here is in every weight of a run. Runs on any thread.
 */

/** base^n for a whole n >= 0, by squaring. */
export function power(base: number, n: number): number {
  let result = 1
  for (let square = base, rest = n; rest > 0; rest = Math.floor(rest / 2), square *= square) {
    if (rest % 2 === 1) result *= square
  }
  return result
}

/** base^x for 0 < base <= 1 and x >= 0: its whole part by squaring, the rest by the exponential. Error < 1e-14. */
export function fractionalPower(base: number, x: number): number {
  const whole = Math.floor(x)
  return power(base, whole) * (x === whole ? 1 : exponential((x - whole) * logarithm(base)))
}

/** e^x for x <= 0: Taylor to degree 20 of a part that is small enough, then squared. Relative error < 1e-13 for x > -20. */
export function exponential(x: number): number {
  let part = x
  let squarings = 0
  while (part < -0.5) {
    part /= 2
    squarings++
  }
  let sum = 1
  for (let n = 20; n >= 1; n--) sum = 1 + (sum * part) / n
  for (; squarings > 0; squarings--) sum *= sum
  return sum
}

/** ln x for 0 < x < 1: x = m·2^e with m in [√½, √2), then the series of 2·atanh((m-1)/(m+1)). Error < 1e-15. */
export function logarithm(x: number): number {
  let exponent = 0
  let m = x
  while (m < Math.SQRT1_2) {
    m *= 2
    exponent--
  }
  const s = (m - 1) / (m + 1) // |s| < 0.1716
  const z = s * s
  let sum = 0
  for (let n = 21; n >= 1; n -= 2) sum = sum * z + 1 / n
  return exponent * Math.LN2 + 2 * s * sum
}

const QUARTER_TURN = 2 ** 30

/** Cosine and sine of 2π·(word + ½)/2^32: the octant's polynomial, Taylor to degree 18. Error < 1e-15. */
export function cosineSine(word: number): readonly [cosine: number, sine: number] {
  // Nearest quarter turn, and the rest in [-1/8, 1/8] turns.
  const quarter = Math.floor(word / QUARTER_TURN + 0.5)
  const angle = (word + 0.5 - quarter * QUARTER_TURN) * (Math.PI / 2 ** 31)
  const z = angle * angle
  let cosine = 1
  for (let n = 18; n >= 2; n -= 2) cosine = 1 - (cosine * z) / (n * (n - 1))
  let sine = 1
  for (let n = 17; n >= 3; n -= 2) sine = 1 - (sine * z) / (n * (n - 1))
  sine *= angle
  switch (quarter % 4) {
    case 0:
      return [cosine, sine]
    case 1:
      return [-sine, cosine]
    case 2:
      return [-cosine, -sine]
    default:
      return [sine, -cosine]
  }
}

/** (1 + cos(π·x)) / 2 for x from 0 to 1, by the cosine's Taylor series to degree 26. Error < 1e-15. */
export function falling(x: number): number {
  const angle = (x > 0.5 ? 1 - x : x) * Math.PI
  const z = angle * angle
  let cosine = 1
  for (let n = 26; n >= 2; n -= 2) cosine = 1 - (cosine * z) / (n * (n - 1))
  return x > 0.5 ? (1 - cosine) / 2 : (1 + cosine) / 2
}
