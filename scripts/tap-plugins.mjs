/**
 * Makes tap use the plugins of .taprc. tap builds its test class from them inside node_modules, where a fresh install has
 * the default ones: among those its TypeScript plugin, which fails on our compiler and which compiled tests do not need.
 * `npm test` runs this; it takes a moment where there is nothing to do, and ten seconds after an install.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

const built = new URL('../../test-built/dist/esm/index.js', import.meta.resolve('@tapjs/test'))
const unwanted = /@tapjs\/(typescript|mock)/
if (!existsSync(built) || unwanted.test(readFileSync(built, 'utf8'))) {
  const { status, stdout, stderr } = spawnSync('npx --no-install tap build', { shell: true, encoding: 'utf8' })
  if (status !== 0) {
    process.stderr.write(`tap build: exit code is ${status}, expected 0\n${stdout}${stderr}`)
    process.exitCode = 1
  }
}
