/** Threads are terminated where they wait, not in the middle of a task. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

t.test('a worker fails while another is in a long task: threads are terminated when it has come back', async t => {
  const log = join(t.testdir(), 'log')
  const child = spawn(
    process.execPath,
    [
      ...['--import', new URL('../fixtures/busy-worker.js', import.meta.url).href, 'dist/src/cli/main.js'],
      ...['train', 'configs/smoke.json', '--epochs', '1000', '--workers', '2', '--backend', 'wasm'],
      ...['--run-dir', join(t.testdirName, 'run'), '--set', 'compute.maxRestarts=0'],
    ],
    { env: { ...process.env, LOG: log }, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  const [code] = await once(child, 'close')
  t.equal(code, 1)
  t.match(stderr, /worker \d: run steps .*a fault for the test/)
  const lines = readFileSync(log, 'utf8').trim().split('\n')
  t.strictSame(lines.slice(0, 3), ['busy', 'returned', 'terminated'])
})
