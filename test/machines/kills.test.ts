/** Bar "nothing hangs", the short form: scripts/machine-kills.mjs with a few ends of ranks, and one cut between two hosts. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { hasMpi } from '../helpers/mpi.js'

/** More than a decision takes on a busy machine, less than any wait that nobody ends. */
const MOST_SECONDS = 40

t.test('ranks end at random moments, a link is cut, resumed: the same bits, no unreadable checkpoint', async t => {
  if (!hasMpi(t, 'openmpi') || !hasMpi(t, 'mpich')) return
  // Root is needed for hosts.
  const cuts = spawnSync('ip', ['netns', 'list']).status === 0 && process.getuid?.() === 0 ? 1 : 0
  const options = ['--kills', '4', '--cuts', String(cuts), '--seed', '2', '--most-seconds', String(MOST_SECONDS)]
  const { FORCE_COLOR: _, NODE_OPTIONS: __, ...env } = process.env
  const child = spawn(process.execPath, ['scripts/machine-kills.mjs', ...options], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  child.stdout.on('data', data => (text += data))
  child.stderr.on('data', data => (text += data))
  const [code] = await once(child, 'close')
  t.equal(code, 0, text)
  t.match(text, new RegExp(`${4 + cuts} ends, 0 differences, 0 unreadable, 0 late`))
})
