/**
 * npm runs this at the end of `npm ci`: it builds. npx runs it too, in a checkout and with npm 10 before every command;
 * what is built already then stays as it is.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const underNpx = process.env.npm_command === 'exec'
if (!underNpx || !existsSync('dist/src/cli/main.js')) {
  const { status } = spawnSync('npm run --silent build', { shell: true, stdio: 'inherit' })
  process.exitCode = status ?? 1
}
