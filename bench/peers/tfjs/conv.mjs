/**
 * The TensorFlow.js peer of `npm run bench -- conv`: a training step of a convolutional network (3 x 3, ReLU, max pooling, one dense layer,
 * softmax cross-entropy, Adam), on the backend `wasm` or `cpu`. One process, started and timed by bench/conv.ts.
 *
 *     npm ci --prefix bench/peers/tfjs
 *     node bench/peers/tfjs/conv.mjs --backend wasm --convolutions 32,64p --hidden 128 --batch 128
 *     node bench/peers/tfjs/conv.mjs --selftest
 *
 * The wasm backend of 4.22 has no kernel Conv2DBackpropFilter: without help it cannot train a convolution ("Kernel 'Conv2DBackpropFilter'
 * not registered for backend 'wasm'"). Here it gets one that is made of kernels that it has: for each tap a slice of the padded inputs,
 * transposed, times the deltas. `--selftest` compares it with the cpu backend's.
 *
 * Protocol: that of step.mjs.
 */
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

const { values: args } = parseArgs({
  options: {
    backend: { type: 'string', default: 'wasm' },
    convolutions: { type: 'string', default: '32,64p' },
    hidden: { type: 'string', default: '128' },
    batch: { type: 'string', default: '128' },
    warmup: { type: 'string', default: '1' },
    selftest: { type: 'boolean', default: false },
  },
})
const PEER = `tfjs-conv-${args.backend}`
const [SIZE, CLASSES] = [28, 10]

/** @param {object} message */
const say = message => process.stdout.write(`${JSON.stringify(message)}\n`)

async function load() {
  try {
    const tf = await import('@tensorflow/tfjs-core')
    const wasm = await import('@tensorflow/tfjs-backend-wasm')
    const cpu = await import('@tensorflow/tfjs-backend-cpu')
    await import('@tensorflow/tfjs-layers') // for its side effect: it registers the gradients, which core alone lacks
    return { tf, wasm, cpu }
  } catch (error) {
    say({ ready: false, peer: PEER, error: String(error), hint: 'npm ci --prefix bench/peers/tfjs' })
    return process.exit(1)
  }
}
const { tf, wasm, cpu } = await load()

/** Gradient of the filters of a convolution with stride 1 and padding `same`. */
function filterGradient({ inputs, attrs }) {
  const { filterShape } = attrs
  const [size, , channels, filters] = filterShape
  const before = Math.floor((size - 1) / 2)
  const [rows, height, width] = inputs.x.shape
  return tf.tidy(() => {
    const pad = [before, size - 1 - before]
    const padded = tf.pad(inputs.x, [[0, 0], pad, pad, [0, 0]])
    const deltas = tf.reshape(inputs.dy, [rows * height * width, filters])
    const taps = []
    for (let ky = 0; ky < size; ky++) {
      for (let kx = 0; kx < size; kx++) {
        const patch = tf.reshape(tf.slice(padded, [0, ky, kx, 0], [rows, height, width, channels]), [-1, channels])
        taps.push(tf.matMul(tf.transpose(patch), deltas))
      }
    }
    return tf.reshape(tf.stack(taps), filterShape)
  })
}

/** Filters and units, with the weights that training begins with. */
function makeNetwork() {
  const random = (shape, inputs) => tf.variable(tf.tidy(() => tf.randomNormal(shape, 0, Math.sqrt(2 / inputs))))
  const zeros = units => tf.variable(tf.zeros([units]))
  let [channels, side] = [1, SIZE]
  const convolutions = args.convolutions.split(',').map(text => {
    const pooled = text.endsWith('p')
    const filters = Number.parseInt(text, 10)
    const layer = { w: random([3, 3, channels, filters], 9 * channels), b: zeros(filters), pooled }
    channels = filters
    if (pooled) side = Math.floor(side / 2)
    return layer
  })
  const widths = [channels * side * side, Number(args.hidden), CLASSES]
  const dense = widths.slice(1).map((units, i) => ({ w: random([widths[i], units], widths[i]), b: zeros(units) }))
  return { convolutions, dense }
}

function logits({ convolutions, dense }, images) {
  let x = tf.mul(tf.cast(images, 'float32'), 1 / 255)
  for (const { w, b, pooled } of convolutions) {
    x = tf.relu(tf.add(tf.conv2d(x, w, 1, 'same'), b))
    if (pooled) x = tf.maxPool(x, 2, 2, 'valid')
  }
  x = tf.reshape(x, [images.shape[0], -1])
  dense.forEach(({ w, b }, i) => {
    x = tf.add(tf.matMul(x, w), b)
    if (i < dense.length - 1) x = tf.relu(x)
  })
  return x
}

/** One training step; answers the batch's mean cross-entropy, read back, so the step is over when it returns. */
function step(network, adam, { images, labels }) {
  return tf.tidy(() => {
    const { value, grads } = adam.computeGradients(() => tf.losses.softmaxCrossEntropy(labels, logits(network, images)))
    adam.applyGradients(grads)
    return value.dataSync()[0]
  })
}

const makeBatch = rows =>
  tf.tidy(() => ({
    images: tf.randomUniform([rows, SIZE, SIZE, 1], 0, 256, 'int32'),
    labels: tf.cast(tf.oneHot(tf.randomUniform([rows], 0, CLASSES, 'int32'), CLASSES), 'float32'),
  }))

/** The gradient above beside that of the cpu backend. */
async function selftest() {
  const values = (count, by) => Float32Array.from({ length: count }, (_, i) => Math.sin(by * i))
  const gradientOn = async backend => {
    await tf.setBackend(backend)
    const x = tf.tensor4d(values(2 * 5 * 7 * 3, 0.7), [2, 5, 7, 3])
    const w = tf.tensor4d(values(9 * 3 * 4, 1.3), [3, 3, 3, 4])
    const weigh = tf.tensor4d(values(2 * 5 * 7 * 4, 0.3), [2, 5, 7, 4])
    return tf
      .grad(filters => tf.sum(tf.mul(tf.conv2d(x, filters, 1, 'same'), weigh)))(w)
      .data()
  }
  const [ours, theirs] = [await gradientOn('wasm'), await gradientOn('cpu')]
  const difference = Math.max(...ours.map((value, i) => Math.abs(value - theirs[i])))
  const good = difference < 1e-4
  say({ selftest: good, difference })
  return good ? 0 : 1
}

async function main() {
  if (!tf.getKernel('Conv2DBackpropFilter', 'wasm')) {
    tf.registerKernel({ kernelName: 'Conv2DBackpropFilter', backendName: 'wasm', kernelFunc: filterGradient })
  }
  if (!(await tf.setBackend(args.backend))) {
    say({
      ready: false,
      peer: PEER,
      error: `the ${args.backend} backend did not start`,
      hint: 'see its message on stderr',
    })
    return 1
  }
  if (args.selftest) return selftest()
  const batch = makeBatch(Number(args.batch))
  const network = makeNetwork()
  const adam = tf.train.adam(0.001)
  for (let i = 0; i < Number(args.warmup); i++) step(network, adam, batch)
  const [version, blas] = args.backend === 'wasm' ? [wasm.version_wasm, 'XNNPACK'] : [cpu.version_cpu, 'JavaScript']
  say({ ready: true, peer: PEER, version, threads: 1, blas })
  for await (const line of createInterface({ input: process.stdin })) {
    const seconds = []
    let loss = null
    for (let left = JSON.parse(line).steps; left > 0; left--) {
      const start = performance.now()
      loss = step(network, adam, batch)
      seconds.push((performance.now() - start) / 1000)
    }
    say({ seconds, loss, tensors: tf.memory().numTensors })
  }
  return 0
}

process.exitCode = await main()
