/** The peers check themselves: gradients, and a toy problem whose loss all of them must reach. Where they are installed. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { pythonCommand } from '../../bench/peer.js'

for (const [script, module] of [
  ['numpy-step.py', 'numpy'],
  ['torch-step.py', 'torch'],
] as const) {
  t.test(`${script} --selftest: its loss after 40 steps is that of the other peers to 1e-4`, async t => {
    const { file, args } = pythonCommand(script, ['--selftest', '--threads', '1'])
    const run = promisify(execFile)
    const answer = await run(file, args).then(
      ({ stdout }) => JSON.parse(stdout),
      (error: Error & { stdout?: string; code?: unknown }) => {
        if (error.code === 'ENOENT') return { error: error.message }
        if (!error.stdout) throw error
        return JSON.parse(error.stdout) // what the script itself says
      },
    )
    const missing = `no Python with ${module} here: ${answer.error}`
    if (answer.error !== undefined) return t.pass(missing, { skip: missing })
    t.equal(answer.selftest, true, JSON.stringify(answer))
  })
}
