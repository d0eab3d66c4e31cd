/**
 * Trains configs/table.json on tables that are split into NAME.train.csv and NAME.test.csv, and prints the test scores: the
 * mean over seeds, and seconds of training. With --peer, scikit-learn's MLP with its defaults is fitted on the same tables in
 * turns, with one thread and with two; the faster of these stands in the table.
 *
 *   node scripts/tables.mjs FOLDER [--seeds 1,2,3] [--set path=value …] [--peer python3] [NAME …]
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { loadExperiment } from '../dist/src/config/load.js'
import { train } from '../dist/src/coordinator/new-run.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '1,2,3' },
    set: { type: 'string', multiple: true, default: [] },
    peer: { type: 'string' },
  },
})
const [folder, ...asked] = positionals
if (folder === undefined)
  throw new Error('usage: node scripts/tables.mjs FOLDER [--seeds 1,2,3] [--peer python3] [NAME ...]')
const names = asked.length > 0 ? asked : tablesIn(folder)
const mean = numbers => numbers.reduce((sum, number) => sum + number, 0) / numbers.length
const median = numbers => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]

console.log(
  `| table | score | mean | of each seed | seconds |${values.peer ? " scikit-learn's MLP | its seconds | ratio |" : ''}`,
)
console.log(`|---|---|---|---|---|${values.peer ? '---|---|---|' : ''}`)
for (const name of names) {
  const file = part => resolve(join(folder, `${name}.${part}.csv`))
  const paths = [`data.path=${JSON.stringify(file('train'))}`, `data.testPath=${JSON.stringify(file('test'))}`]
  const peers = values.peer ? [1, 2].map(threads => openPeer(values.peer, threads, file('train'), file('test'))) : []
  for (const peer of peers) await peer.next() // the table is read and prepared
  const runs = []
  const fits = []
  for (const seed of values.seeds.split(',')) {
    const loaded = await loadExperiment('configs/table.json', [...paths, `seed=${seed}`, ...values.set])
    runs.push(await train(loaded, { runDir: null }))
    for (const [index, peer] of peers.entries()) {
      fits[index] ??= []
      fits[index].push(await peer.fit(Number(seed) - 1))
    }
  }
  for (const peer of peers) peer.close()
  const scores = runs.map(({ test }) => test.accuracy ?? test.r2)
  const kind = runs[0].test.accuracy === undefined ? 'R²' : 'accuracy'
  const each = scores.map(score => score.toFixed(4)).join(', ')
  const seconds = median(runs.map(run => run.seconds))
  const [fastest] = fits.toSorted((a, b) => median(a.map(fit => fit.seconds)) - median(b.map(fit => fit.seconds)))
  console.log(
    `| ${name} | ${kind} | ${mean(scores).toFixed(4)} | ${each} | ${seconds.toFixed(2)} |${besides(fastest, seconds)}`,
  )
}

/** Columns of the peer's fits: mean score, median seconds, and ours as a part of them. Empty without a peer. */
function besides(fits, ours) {
  if (fits === undefined) return ''
  const seconds = median(fits.map(fit => fit.seconds))
  return ` ${mean(fits.map(fit => fit.score)).toFixed(4)} | ${seconds.toFixed(2)} | ${(ours / seconds).toFixed(2)} |`
}

/** Starts bench/peers/mlp_table.py, which fits a model for each seed that it is given. */
function openPeer(python, threads, ...files) {
  const { OPENBLAS_CORETYPE: _, ...env } = process.env // set by an administrator, it would slow the peer
  const child = spawn(python, ['bench/peers/mlp_table.py', ...files], {
    env: { ...env, OPENBLAS_NUM_THREADS: String(threads), OMP_NUM_THREADS: String(threads) },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error(`${python}: ended early, expected a line of JSON; is scikit-learn installed for it?`)
    return JSON.parse(value)
  }
  const fit = seed => {
    child.stdin.write(`${seed}\n`)
    return next()
  }
  return { next, fit, close: () => child.stdin.end() }
}

function tablesIn(dir) {
  return readdirSync(dir).flatMap(file => (file.endsWith('.train.csv') ? [file.slice(0, -'.train.csv'.length)] : []))
}
