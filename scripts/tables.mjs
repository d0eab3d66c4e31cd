/**
 * Trains configs/table.json on tables that are split into NAME.train.csv and NAME.test.csv, and prints the test scores: the
 * mean over seeds, and seconds of training.
 *
 *   node scripts/tables.mjs FOLDER [--seeds 1,2,3] [--set path=value …] [NAME …]
 */
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { loadExperiment } from '../dist/src/config/load.js'
import { train } from '../dist/src/coordinator/new-run.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seeds: { type: 'string', default: '1,2,3' }, set: { type: 'string', multiple: true, default: [] } },
})
const [folder, ...asked] = positionals
if (folder === undefined) throw new Error('usage: node scripts/tables.mjs FOLDER [--seeds 1,2,3] [NAME ...]')
const names = asked.length > 0 ? asked : tablesIn(folder)
const mean = numbers => numbers.reduce((sum, number) => sum + number, 0) / numbers.length

console.log('| table | score | mean | of each seed | seconds |')
console.log('|---|---|---|---|---|')
for (const name of names) {
  const file = part => JSON.stringify(resolve(join(folder, `${name}.${part}.csv`)))
  const paths = [`data.path=${file('train')}`, `data.testPath=${file('test')}`]
  const runs = []
  for (const seed of values.seeds.split(',')) {
    const loaded = await loadExperiment('configs/table.json', [...paths, `seed=${seed}`, ...values.set])
    runs.push(await train(loaded, { runDir: null }))
  }
  const scores = runs.map(({ test }) => test.accuracy ?? test.r2)
  const kind = runs[0].test.accuracy === undefined ? 'R²' : 'accuracy'
  const each = scores.map(score => score.toFixed(4)).join(', ')
  const seconds = mean(runs.map(run => run.seconds)).toFixed(2)
  console.log(`| ${name} | ${kind} | ${mean(scores).toFixed(4)} | ${each} | ${seconds} |`)
}

function tablesIn(dir) {
  return readdirSync(dir).flatMap(file => (file.endsWith('.train.csv') ? [file.slice(0, -'.train.csv'.length)] : []))
}
