/**
 * Runs the smoke experiment many times, with 1 to 8 workers in turn: every run must end by itself, with the same digest.
 *
 *     node scripts/hangs.mjs [--runs 200] [--backend wasm]
 *
 * A run that takes longer than a minute counts as a hang. Needs `npm run build`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '200' }, backend: { type: 'string', default: 'wasm' } },
})
const LIMIT_MS = 60_000
const root = mkdtempSync(join(tmpdir(), 'gradloom-hangs-'))
const digests = new Map()
let hangs = 0
let failures = 0
let longest = 0
for (let run = 0; run < Number(values.runs); run++) {
  const runDir = join(root, String(run))
  const args = ['train', 'configs/smoke.json', '--run-dir', runDir, '--quiet', '--backend', values.backend]
  const started = Date.now()
  const child = spawn(process.execPath, ['bin/gradloom.js', ...args, '--workers', String(1 + (run % 8))], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const timer = setTimeout(() => {
    hangs++
    child.kill('SIGKILL')
  }, LIMIT_MS)
  const [code] = await once(child, 'close')
  clearTimeout(timer)
  longest = Math.max(longest, Date.now() - started)
  if (code === 0) {
    const { weightsSha256 } = JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8'))
    digests.set(weightsSha256, (digests.get(weightsSha256) ?? 0) + 1)
  } else failures++
  rmSync(runDir, { recursive: true, force: true })
}
rmSync(root, { recursive: true })
for (const [digest, count] of digests) process.stdout.write(`${count} times ${digest}\n`)
process.stdout.write(
  `${values.runs} runs: ${hangs} hangs, ${failures} failures, ${digests.size} digests, longest ${(longest / 1000).toFixed(1)} s\n`,
)
if (hangs + failures > 0 || digests.size !== 1) process.exitCode = 1
