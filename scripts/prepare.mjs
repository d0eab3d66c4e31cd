/**
 * npm runs this at the end of `npm ci`: it builds. In a checkout npx runs it too, npm 10's before every command, which
 * would cost seconds each time; and a failure there, as before the install, would spoil npx's cache for good.
 */
import { spawnSync } from 'node:child_process'

const underNpx = process.env.npm_command === 'exec'
if (!underNpx) {
  const { status } = spawnSync('npm run --silent build', { shell: true, stdio: 'inherit' })
  process.exitCode = status ?? 1
}
