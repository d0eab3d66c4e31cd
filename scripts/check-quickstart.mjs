/**
 * Checks that the newest run under runs/ keeps what the README promises of `npm start`: completed, with a test accuracy of 95.5 % or
 * more; with `--seconds N` also that N, the total time, is below a minute. For .ci/run.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const LEAST_ACCURACY = 0.955
const MOST_SECONDS = 60

const { seconds } = parseArgs({ options: { seconds: { type: 'string' } } }).values

const runs = readdirSync('runs')
  .filter(name => name.startsWith('quickstart-'))
  .map(name => join('runs', name, 'summary.json'))
  .sort((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs)
const file = runs.at(-1)
if (file === undefined) fail('runs/quickstart-*/summary.json: there is none, expected one from npm start')

const { status, test, weightsSha256 } = JSON.parse(readFileSync(file, 'utf8'))
if (status !== 'completed') fail(`${file}: status is ${status}, expected completed`)
if (!(test.accuracy >= LEAST_ACCURACY)) {
  fail(`${file}: test accuracy is ${test.accuracy}, expected at least ${LEAST_ACCURACY}`)
}
if (seconds !== undefined && !(Number(seconds) <= MOST_SECONDS)) {
  fail(`npm start took ${seconds} s, expected at most ${MOST_SECONDS} s`)
}
process.stdout.write(
  `quickstart: test accuracy ${test.accuracy.toFixed(4)}${seconds === undefined ? '' : `, ${seconds} s`}, ` +
    `weights ${weightsSha256}\n`,
)

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
