/**
 * Prints the README's first commands, a line each, so that CI runs what readers are told to run. They are the lines of
 * the first `sh` block; it must hold nothing else.
 */
import { readFileSync } from 'node:fs'

const [, block] = /```sh\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? []
const commands = (block ?? '').split('\n').map(line => line.replace(/\s+#.*$/, '').trim())
const wanted = ['npm ci && npm start', 'npm ci && npm test']
const found = commands.filter(line => line !== '')
if (found.join('\n') !== wanted.join('\n')) {
  process.stderr.write(
    `README.md: the first sh block is ${JSON.stringify(found)}, expected ${JSON.stringify(wanted)}\n`,
  )
  process.exit(1)
}
process.stdout.write(`${found.join('\n')}\n`)
