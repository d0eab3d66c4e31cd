/** encodings.json beside what the assembler of this machine makes of it, where there is one. */
import { spawnSync } from 'node:child_process'
import t from 'tap'

const has = spawnSync('as', ['--version']).status === 0

t.test('the stored bytes are those of the system assembler', { skip: !has && 'no `as`; binutils has it' }, async t => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/x64-encodings.mjs'], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
  t.match(stdout, /^\d+ rows, 0 differ/)
})
