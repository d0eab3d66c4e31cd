/**
 * The TensorFlow.js peer of `npm run bench`: the reference network's training step (ReLU, inverted dropout, softmax
 * cross-entropy, L2, Adam) written the way TensorFlow.js is meant to be used, on its WASM backend with SIMD. One
 * process, started and timed by bench/main.ts; everything runs on its main thread, because the backend turns its own
 * threads off under Node (`threads` in the first line is what the backend itself says).
 *
 *     npm ci --prefix bench/peers/tfjs
 *     node bench/peers/tfjs/step.mjs --widths 784,3000,2500,2000,1500,1000,500,10 --batch 256 --threads 2
 *     node bench/peers/tfjs/step.mjs --selftest
 *
 * Protocol, one JSON object a line:
 *     stdout, once warm         {"ready": true, "peer": "tfjs-wasm", "version", "threads", "simd", "blas"}
 *     stdin                     {"steps": N}
 *     stdout                    {"seconds": [t1, ..., tN], "loss": cross-entropy of the last step, "tensors"}
 * End of input ends the program. When it cannot start, the first line is {"ready": false, "peer", "error", "hint"}.
 */
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

const PEER = 'tfjs-wasm'
const LEARNING_RATE = 0.001
// Result of the toy problem of `--selftest`, here and in numpy-step.py: the two check each other.
const TOY_LOSS = 0.018275801584
const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8]

/** @param {object} message */
const say = message => process.stdout.write(`${JSON.stringify(message)}\n`)

/** The packages are installed for the bench alone, so their absence is an answer, not a crash. */
async function load() {
  try {
    const tf = await import('@tensorflow/tfjs-core')
    const wasm = await import('@tensorflow/tfjs-backend-wasm')
    await import('@tensorflow/tfjs-layers') // for its side effect: it registers the gradients, which core alone lacks
    return { tf, wasm }
  } catch (error) {
    say({ ready: false, peer: PEER, error: String(error), hint: 'npm ci --prefix bench/peers/tfjs' })
    return process.exit(1)
  }
}

const { tf, wasm } = await load()

/** @typedef {{ w: import('@tensorflow/tfjs-core').Variable, b: import('@tensorflow/tfjs-core').Variable }} Layer */

/**
 * Dense layers, He-normal weights and zero biases.
 * @param {number[]} widths
 * @returns {Layer[]}
 */
function makeLayers(widths) {
  return widths.slice(1).map((units, i) => {
    const w = tf.tidy(() => tf.randomNormal([widths[i], units], 0, Math.sqrt(2 / widths[i])))
    return { w: tf.variable(w), b: tf.variable(tf.zeros([units])) }
  })
}

/**
 * One training step; answers the batch's mean cross-entropy, read back, so the step is over when it returns.
 * @param {Layer[]} layers
 * @param {import('@tensorflow/tfjs-core').AdamOptimizer} adam
 * @param {{ images: import('@tensorflow/tfjs-core').Tensor2D, labels: import('@tensorflow/tfjs-core').Tensor2D }} batch
 *   images (rows, inputs) bytes as int32, labels (rows, classes) one-hot
 * @param {{ dropout: number, l2: number }} options
 */
function step(layers, adam, { images, labels }, { dropout, l2 }) {
  return tf.tidy(() => {
    const { value, grads } = adam.computeGradients(() => {
      let x = tf.mul(tf.cast(images, 'float32'), 1 / 255)
      layers.forEach(({ w, b }, i) => {
        x = tf.add(tf.matMul(x, w), b)
        if (i < layers.length - 1) x = tf.relu(x)
        if (i < layers.length - 1 && dropout > 0) x = tf.dropout(x, dropout)
      })
      return tf.losses.softmaxCrossEntropy(labels, x)
    })
    // The penalty's gradient is added by hand: cheaper than differentiating λ/(2m)·Σw², and the same number.
    const decay = l2 / images.shape[0]
    for (const { w } of layers) grads[w.name] = tf.add(grads[w.name], tf.mul(w, decay))
    adam.applyGradients(grads)
    return value.dataSync()[0]
  })
}

/** The toy problem that numpy-step.py trains too: same data, same starting weights, so the losses can be compared. */
function selftest() {
  const rows = [...Array(30).keys()]
  const pixels = rows.map(i => [0, 1, 2, 3].map(j => (j === i % 3 ? 200 : 0) + ((i * 7 + j * 13) % 11) * 5))
  const classes = rows.map(i => [0, 1, 2].map(j => Number(j === i % 3)))
  const batch = { images: tf.tensor2d(pixels, [30, 4], 'int32'), labels: tf.tensor2d(classes, [30, 3]) }
  const layers = makeLayers([4, 16, 3])
  layers.forEach(({ w }, layer) => {
    const scale = Math.sqrt(2 / w.shape[0])
    const values = Array.from({ length: w.size }, (_, i) => scale * Math.sin(1 + 12.9898 * i + 78.233 * layer))
    w.assign(tf.tensor(values, w.shape))
  })
  const adam = tf.train.adam(0.02, BETA1, BETA2, EPSILON)
  const losses = []
  let tensors = 0
  for (let i = 0; i < 40; i++) {
    losses.push(step(layers, adam, batch, { dropout: 0, l2: 0.05 }))
    if (i === 0) tensors = tf.memory().numTensors
  }
  const leaked = tf.memory().numTensors - tensors
  const good = leaked === 0 && Math.abs(losses[39] / TOY_LOSS - 1) < 1e-4
  say({ selftest: good, leaked, losses: losses.filter((_, i) => i % 3 === 0) })
  return good ? 0 : 1
}

async function main() {
  const { values: args } = parseArgs({
    options: {
      widths: { type: 'string', default: '784,3000,2500,2000,1500,1000,500,10' },
      batch: { type: 'string', default: '256' },
      threads: { type: 'string', default: '2' },
      dropout: { type: 'string', default: '0.3' },
      l2: { type: 'string', default: '0.05' },
      warmup: { type: 'string', default: '1' },
      selftest: { type: 'boolean', default: false },
    },
  })
  wasm.setThreadsCount(Number(args.threads))
  if (!(await tf.setBackend('wasm'))) {
    say({ ready: false, peer: PEER, error: 'the wasm backend did not start', hint: 'see its message on stderr' })
    return 1
  }
  if (args.selftest) return selftest()

  const widths = args.widths.split(',').map(Number)
  const rows = Number(args.batch)
  const classes = widths[widths.length - 1]
  const batch = tf.tidy(() => ({
    images: tf.randomUniform([rows, widths[0]], 0, 256, 'int32'),
    labels: tf.cast(tf.oneHot(tf.randomUniform([rows], 0, classes, 'int32'), classes), 'float32'),
  }))
  const options = { dropout: Number(args.dropout), l2: Number(args.l2) }
  const layers = makeLayers(widths)
  const adam = tf.train.adam(LEARNING_RATE, BETA1, BETA2, EPSILON)
  for (let i = 0; i < Number(args.warmup); i++) step(layers, adam, batch, options)

  // The backend multiplies with XNNPACK: reported where the other peer names its BLAS.
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')
  const version = wasm.version_wasm
  say({ ready: true, peer: PEER, version, threads: wasm.getThreadsCount(), simd, blas: 'XNNPACK' })
  for await (const line of createInterface({ input: process.stdin })) {
    const seconds = []
    let loss = null
    for (let left = JSON.parse(line).steps; left > 0; left--) {
      const start = performance.now()
      loss = step(layers, adam, batch, options)
      seconds.push((performance.now() - start) / 1000)
    }
    say({ seconds, loss, tensors: tf.memory().numTensors })
  }
  return 0
}

process.exitCode = await main()
