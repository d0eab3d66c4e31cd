/**
 * Initial weights: a pure function of seed, parameter and position, the same bits in every engine. Runs in workers.
 *
 * he: He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers" (arXiv 1502.01852): variance 2 / inputs.
 * glorot: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks":
 * 2 / (inputs + outputs). lecun: LeCun, Bottou, Orr, Müller 1998, "Efficient backprop": 1 / inputs.
 */
import type { Experiment } from '../config/schema.js'
import { cosineSine, logarithm } from '../tensor/exact-math.js'
import { keyOf, Purpose, philox } from '../tensor/random.js'

const VALUES_PER_COUNTER = 4

export type Initialisation = Experiment['model']['init']
/** Schemes whose weights are drawn one by one; for the other, see orthogonal.ts. */
export type Independent = Exclude<Initialisation, 'orthogonal'>

/** Variance of weights by the scheme, with a normal or a uniform distribution. */
function varianceOf(init: Independent, inputs: number, outputs: number): number {
  if (init.startsWith('he-')) return 2 / inputs
  return init.startsWith('glorot-') ? 2 / (inputs + outputs) : 1 / inputs
}

/**
 * Returns a function that overwrites `out` with the weights of input i. Weight (i, o) is value i·out.length + o of the parameter, normal,
 * or uniform from the same words. `inputs` and `outputs` decide the variance: of a convolution, those under all places of its window.
 */
export function initialRows(
  init: Independent,
  seed: number,
  layer: number,
  inputs: number,
  outputs: number,
): (out: Float32Array, i: number) => void {
  const normal = init.endsWith('-normal')
  // A uniform number from -1 to 1 has the variance 1/3.
  const factor = Math.sqrt(varianceOf(init, inputs, outputs) * (normal ? 1 : 3))
  const [k0, k1] = keyOf(seed, Purpose.init)
  const words = new Uint32Array(4)
  const values = new Float64Array(VALUES_PER_COUNTER)
  return (out, i) => {
    const first = i * out.length
    let counter = -1
    for (let o = 0; o < out.length; o++) {
      const wanted = Math.floor((first + o) / VALUES_PER_COUNTER)
      if (wanted !== counter) {
        counter = wanted
        philox(words, counter % 2 ** 32, Math.floor(counter / 2 ** 32), layer, 0, k0, k1)
        if (normal) {
          boxMuller(values, 0, words[0], words[1])
          boxMuller(values, 2, words[2], words[3])
        } else for (let n = 0; n < VALUES_PER_COUNTER; n++) values[n] = (words[n] + 0.5) / 2 ** 31 - 1
      }
      out[o] = factor * values[(first + o) % VALUES_PER_COUNTER]
    }
  }
}

/** Two normal numbers from two 32-bit words. Box and Muller 1958. */
export function boxMuller(out: Float64Array, at: number, word0: number, word1: number): void {
  const radius = Math.sqrt(-2 * logarithm((word0 + 0.5) / 2 ** 32))
  const [cosine, sine] = cosineSine(word1)
  out[at] = radius * cosine
  out[at + 1] = radius * sine
}
