/**
 * Initial weights: a pure function of seed, parameter and position. Runs in workers. Uses only operations that IEEE 754
 * and ECMAScript round exactly (+ - * / and the square root), never Math.log or Math.cos, so that every engine draws
 * the same bits.
 *
 * He-normal: He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers" (arXiv 1502.01852): N(0, 2 / inputs).
 */
import { keyOf, Purpose, philox } from '../tensor/random.js'

const NORMALS_PER_COUNTER = 4

/**
 * Returns a function that overwrites `out` with the weights of input i, `out.length` = outputs. Weight (i, o) is normal
 * number i·outputs + o of the parameter.
 */
export function heNormalRows(seed: number, layer: number, inputs: number): (out: Float32Array, i: number) => void {
  const deviation = Math.sqrt(2 / inputs)
  const [k0, k1] = keyOf(seed, Purpose.init)
  const words = new Uint32Array(4)
  const normals = new Float64Array(NORMALS_PER_COUNTER)
  return (out, i) => {
    const first = i * out.length
    let counter = -1
    for (let o = 0; o < out.length; o++) {
      const wanted = Math.floor((first + o) / NORMALS_PER_COUNTER)
      if (wanted !== counter) {
        counter = wanted
        philox(words, counter % 2 ** 32, Math.floor(counter / 2 ** 32), layer, 0, k0, k1)
        boxMuller(normals, 0, words[0], words[1])
        boxMuller(normals, 2, words[2], words[3])
      }
      out[o] = deviation * normals[(first + o) % NORMALS_PER_COUNTER]
    }
  }
}

/** Two normal numbers from two 32-bit words. Box and Muller 1958. */
function boxMuller(out: Float64Array, at: number, word0: number, word1: number): void {
  const radius = Math.sqrt(-2 * logarithm((word0 + 0.5) / 2 ** 32))
  const [cosine, sine] = cosineSine(word1)
  out[at] = radius * cosine
  out[at + 1] = radius * sine
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

/** Cosine and sine of 2π·(word + ½)/2^32: the octant's polynomial, Taylor to degree 17. Error < 1e-15. */
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
