/** Output that cannot be written is a line that says so and exit code 1, never a stack. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'

const skip = existsSync('/dev/full') ? false : 'no /dev/full here'
const MAIN = resolve('dist/src/cli/main.js')
const root = t.testdir({})
const run = join(root, 'run')
const COMMANDS = [
  `train configs/smoke.json --backend wasm --run-dir ${run} --json`,
  ...['evaluate', 'compare', 'predict --index 1', 'checkpoint verify', 'list'].map(command => `${command} ${run}`),
  'config show configs/smoke.json',
  'config check configs/smoke.json --json',
  'data list --json',
  'completion bash',
  '--help',
]

t.test('a full disk under stdout is an error without a stack', { skip }, async t => {
  for (const args of COMMANDS) {
    const command = `"${process.execPath}" "${MAIN}" ${args} > /dev/full`
    const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' })
    t.equal(status, 1, args)
    t.match(stderr, /^stdout: cannot be written: ENOSPC: .*\nhint: free some space on the disk that stdout goes to/m)
    t.notMatch(stderr, /\n {4}at /, `${args}: no stack`)
  }
})
