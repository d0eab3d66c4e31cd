/** Output that cannot be written is a line that says so and exit code 1, never a stack. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'

const skip = existsSync('/dev/full') ? false : 'no /dev/full here'
const MAIN = resolve('dist/src/cli/main.js')

t.test('stdout on a full disk', { skip }, async t => {
  for (const args of ['config show configs/smoke.json', 'config check configs/smoke.json --json', 'data list --json']) {
    const command = `"${process.execPath}" "${MAIN}" ${args} > /dev/full`
    const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' })
    t.equal(status, 1, args)
    t.match(stderr, /^stdout: cannot be written: ENOSPC: .*\nhint: free some space on the disk that stdout goes to/)
    t.notMatch(stderr, /\n {4}at /, `${args}: no stack`)
  }
})
