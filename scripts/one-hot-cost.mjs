/**
 * Cost of categories in a training step: the same table with k one-hot features, with k numbers in their place, and with
 * neither; and columns of many categories as embeddings and as hashed features. All of them train in this process in turns, so that
 * what else the machine does meets all alike. Prints the lower quartile of the time of a step, as what else
 * the machine does can only add to it, and its ratio to the table without them.
 *
 *   node scripts/one-hot-cost.mjs [--turns 30] [--workers 1] [--backends wasm,blas,onednn] [--hidden 128,64] [--sizes 10,100,1000]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { resolveExperiment } from '../dist/src/config/load.js'
import { prepareSession } from '../dist/src/coordinator/prepare.js'
import { Session } from '../dist/src/coordinator/session.js'

const { values } = parseArgs({
  options: {
    turns: { type: 'string', default: '30' },
    workers: { type: 'string', default: '1' },
    backends: { type: 'string', default: 'wasm,blas,onednn' },
    hidden: { type: 'string', default: '128,64' },
    sizes: { type: 'string', default: '10,100,1000' },
    many: { type: 'string', default: '10000' },
  },
})
const numbers = list => list.split(',').map(Number)
const [hidden, sizes, many] = [numbers(values.hidden), numbers(values.sizes), Number(values.many)]
const BATCH = 256
/** Number columns that every table has. */
const PLAIN = 10
const ROWS = 6144
const STEPS = 10
const folder = mkdtempSync(join(tmpdir(), 'gradloom-one-hot-'))
const randoms = seed => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return seed / 2 ** 32
}

/** Writes a table: PLAIN numbers, `dense` more, and columns of categories. */
function table(name, rows, dense, categories) {
  const random = randoms(1)
  const columns = [
    ...Array.from({ length: PLAIN + dense }, (_, i) => `n${i}`),
    ...categories.map((_, i) => `c${i}`),
    'target',
  ]
  const lines = Array.from({ length: rows }, () => {
    const fields = Array.from({ length: PLAIN + dense }, () => random().toFixed(3))
    return [
      ...fields,
      ...categories.map(count => `v${Math.floor(random() * count)}`),
      random() < 0.5 ? 'a' : 'b',
    ].join()
  })
  const file = join(folder, `${name}.csv`)
  writeFileSync(file, `${columns.join()}\n${lines.join('\n')}\n`)
  return file
}

const plain = { title: `${PLAIN} numbers`, data: { path: table('plain', ROWS, 0, []) } }
const cases = [
  plain,
  ...sizes.flatMap(k => [
    {
      title: `and ${k} one-hot features`,
      data: { path: table(`one-hot-${k}`, ROWS, 0, [k]), categories: { max: k } },
    },
    { title: `and ${k} numbers`, data: { path: table(`dense-${k}`, ROWS, k, []) } },
  ]),
  ...['hash', 'embed'].map(above => ({
    title: `and 2 columns of ${many} categories, ${above}`,
    data: { path: table(above, 10 * many, 0, [many, many]), categories: { above } },
  })),
]

for (const backend of values.backends.split(',')) {
  const opened = []
  for (const { title, data } of cases) opened.push({ title, ...(await open(data, backend)), ms: [] })
  for (let turn = 0; turn < Number(values.turns); turn++) for (const each of opened) each.ms.push(...(await each.run()))
  const quartile = list => list.toSorted((a, b) => a - b)[Math.floor(list.length / 4)]
  const base = quartile(opened[0].ms)
  console.log(`\n${backend}, ${values.workers} worker(s), hidden ${hidden.join('-')}, batch ${BATCH}`)
  console.log('| table | inputs | step, ms | ratio |')
  console.log('|---|---|---|---|')
  for (const { title, widths, ms, session } of opened) {
    const step = quartile(ms)
    console.log(`| ${title} | ${widths[0]} | ${step.toFixed(3)} | ${(step / base).toFixed(2)} |`)
    await session.close()
  }
}
rmSync(folder, { recursive: true })

async function open(data, backend) {
  const { experiment, baseDir } = resolveExperiment({
    data: { dataset: 'table', target: 'target', ...data },
    model: { hidden, dropout: 0 },
    train: { batchSize: BATCH },
    compute: { backend, workers: Number(values.workers) },
  })
  const prepared = await prepareSession(experiment, baseDir, { purpose: 'train', splits: ['train'] })
  const session = await Session.start(prepared, experiment)
  await session.pool.all('initialise', worker => worker.initialise())
  const perEpoch = Math.ceil(session.plan.rows.train / BATCH)
  let step = 0
  return {
    session,
    widths: session.plan.widths,
    async run() {
      if ((step % perEpoch) + STEPS >= perEpoch) step = Math.ceil(step / perEpoch) * perEpoch
      const reports = await session.pool.all('cost', worker => worker.run(step, step + STEPS, { trace: true }))
      step += STEPS
      const times = Array.from(reports[0].steps.totalMs, (_, i) =>
        Math.max(...reports.map(each => each.steps.totalMs[i])),
      )
      // The first steps of a turn find the caches as others left them.
      return times.slice(3)
    },
  }
}
