/**
 * Compares the speed of training steps of two built trees on one machine: both run in this process, in turns of a few
 * steps, so that what else the machine does meets both alike. Prints the median of the ratios of neighbouring turns.
 *
 *   node scripts/speed-against.mjs --against ../before [--turns 60] [--workers 1,2] [--only small,reference] [--backends wasm,onednn]
 *
 * Both use the library that the first one has loaded: where OpenBLAS does not know the CPU, name its kernel in OPENBLAS_CORETYPE.
 *
 * A ratio above 1: this tree is slower. The interval is that of the median, 95 %, by the binomial distribution.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const NETWORKS = {
  small: { hidden: [128], batchSize: 128, dropout: 0, l2: 0, steps: 62, warmup: 20 },
  reference: {
    hidden: [3000, 2500, 2000, 1500, 1000, 500],
    batchSize: 256,
    dropout: 0.3,
    l2: 0.05,
    steps: 2,
    warmup: 3,
  },
}
const COMPUTES = { wasm: ['wasm', 'f32'], blas: ['blas', 'f32'], onednn: ['onednn', 'f32'], bf16: ['onednn', 'bf16'] }

const { values } = parseArgs({
  options: {
    against: { type: 'string' },
    turns: { type: 'string', default: '60' },
    workers: { type: 'string', default: '1,2' },
    only: { type: 'string', default: Object.keys(NETWORKS).join() },
    backends: { type: 'string', default: Object.keys(COMPUTES).join() },
  },
})
if (!values.against) {
  process.stderr.write('speed-against: --against is missing, expected the path of another tree that is built\n')
  process.exit(2)
}
const trees = [values.against, '.']
const labs = await Promise.all(trees.map(async tree => import(pathToFileURL(resolve(tree, 'dist/bench/lab.js')).href)))
const turns = Number(values.turns)
const median = sorted => sorted[Math.floor(sorted.length / 2)]

for (const name of values.only.split(',')) {
  const { steps, warmup, ...network } = NETWORKS[name]
  for (const compute of values.backends.split(',')) {
    const [backend, precision] = COMPUTES[compute]
    for (const workers of values.workers.split(',').map(Number)) {
      const opened = []
      for (const { openLab } of labs) opened.push(await openLab({ ...network, workers, backend, precision }))
      const seconds = opened.map(() => [])
      for (const lab of opened) await lab.run(warmup, steps)
      for (let turn = 0; turn < turns; turn++) {
        // The tree that begins changes from turn to turn.
        for (const i of turn % 2 === 0 ? [0, 1] : [1, 0]) {
          await opened[i].run(1, steps)
          const [span] = await opened[i].run(1, steps, true)
          seconds[i].push(median(labs[i].stepSeconds(span).sort((a, b) => a - b)))
        }
      }
      for (const lab of opened) await lab.close()
      const ratios = seconds[0].map((before, turn) => seconds[1][turn] / before).sort((a, b) => a - b)
      const [before, after] = seconds.map(list => 1e3 * median([...list].sort((a, b) => a - b)))
      const reach = Math.ceil(0.98 * Math.sqrt(turns))
      const middle = Math.floor(turns / 2)
      const [low, high] = [ratios[Math.max(0, middle - reach)], ratios[Math.min(turns - 1, middle + reach)]]
      process.stdout.write(
        `${name.padEnd(10)} ${compute.padEnd(7)} ${workers} workers  ${before.toFixed(3)} -> ${after.toFixed(3)} ms a step  ` +
          `ratio ${median(ratios).toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})\n`,
      )
    }
  }
}
