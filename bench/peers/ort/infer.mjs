/**
 * The onnxruntime peer of `npm run bench -- inference`: a network as an ONNX file, on mini-batches of the same samples as ours. One
 * process, started and timed by bench/inference.ts.
 *
 *     node bench/peers/ort/infer.mjs --model model.onnx --samples samples.f32 --features 784 --batch 64 --threads 1
 *
 * Protocol, one JSON object a line:
 *     stdout, once warm         {"ready": true, "version", "threads", "blas"}
 *     stdin                     {"steps": N}
 *     stdout                    {"seconds": [t1, ..., tN]}
 * End of input ends the program. When it cannot start, the first line is {"ready": false, "error", "hint"}.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

/** @param {object} message */
const say = message => process.stdout.write(`${JSON.stringify(message)}\n`)
const WARM_UP = 5

const require = createRequire(import.meta.url)
let ort
try {
  ort = require('onnxruntime-node')
} catch (error) {
  say({ ready: false, error: String(error), hint: 'npm i --ignore-scripts --prefix bench/peers/ort' })
  process.exit(1)
}

const text = { type: /** @type {const} */ ('string') }
const { values } = parseArgs({
  options: { model: text, samples: text, features: text, batch: text, threads: text },
})
const [features, batch, threads] = [values.features, values.batch, values.threads].map(Number)
const bytes = readFileSync(String(values.samples))
const samples = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
const batches = Math.floor(samples.length / (features * batch))
const session = await ort.InferenceSession.create(String(values.model), {
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
})
const [input] = session.inputNames
let next = 0

/** Seconds of one mini-batch. */
async function step() {
  const first = (next++ % batches) * batch * features
  const part = samples.subarray(first, first + batch * features)
  const started = performance.now()
  await session.run({ [input]: new ort.Tensor('float32', part, [batch, features]) })
  return (performance.now() - started) / 1000
}

for (let i = 0; i < WARM_UP; i++) await step()
say({ ready: true, version: require('onnxruntime-node/package.json').version, threads, blas: 'MLAS' })
for await (const line of createInterface({ input: process.stdin })) {
  const seconds = []
  for (let i = JSON.parse(line).steps; i > 0; i--) seconds.push(await step())
  say({ seconds })
}
process.exit(0)
