/** scripts/check-imports.mjs finds what it is for: upward imports, circles, long files. `npm run lint` runs it over src/. */
import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'

/** Exit code and messages of the check over the files of `tree`. */
function check(t: Test, tree: Parameters<Test['testdir']>[0]): { code: number | null; text: string } {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/check-imports.mjs', t.testdir(tree)], {
    encoding: 'utf8',
  })
  return { code: status, text: stderr }
}

t.test('imports that go downwards pass', async t => {
  const { code, text } = check(t, {
    'errors.ts': 'export class A extends Error {}\n',
    data: { 'csv.ts': "import { A } from '../errors.js'\nexport const a = new A()\n" },
    coordinator: { 'train.ts': "import { a } from '../data/csv.js'\nexport const b = a\n" },
  })
  t.strictSame({ code, text }, { code: 0, text: '' })
})

t.test('an upward import is an error, a type alone and a dynamic import too', async t => {
  for (const line of [
    "import { b } from '../coordinator/train.js'",
    "import type { b } from '../coordinator/train.js'",
    "const late = import('../coordinator/train.js')",
    "export { b } from '../coordinator/train.js'",
  ]) {
    const { code, text } = check(t, {
      data: { 'csv.ts': `${line}\n` },
      coordinator: { 'train.ts': 'export const b = 1\n' },
    })
    t.equal(code, 1, line)
    t.match(text, /data\/csv\.ts: imports coordinator\/train\.ts, which is above it/, line)
  }
})

t.test('folders of one level do not import each other', async t => {
  const { text } = check(t, {
    files: { 'cache.ts': "import { c } from '../tensor/arena.js'\nexport const d = c\n" },
    tensor: { 'arena.ts': 'export const c = 1\n' },
  })
  t.match(text, /files\/cache\.ts: imports tensor\/arena\.ts, which is beside it/)
})

t.test('a circle of files in one folder is named with its members', async t => {
  const { code, text } = check(t, {
    run: {
      'a.ts': "import { b } from './b.js'\nexport const a = b\n",
      'b.ts': "import { c } from './c.js'\nexport const b = c\n",
      'c.ts': "import type { a } from './a.js'\nexport const c = 1 as typeof a\n",
    },
  })
  t.equal(code, 1)
  t.match(text, /circle of files: run\/a\.ts, run\/b\.ts, run\/c\.ts/)
})

t.test('a file of 401 lines and one outside every level are errors', async t => {
  const { text } = check(t, { run: { 'long.ts': '//\n'.repeat(401) }, elsewhere: { 'x.ts': '' } })
  t.match(text, /run\/long\.ts: has 401 lines, expected at most 400/)
  t.match(text, /elsewhere\/x\.ts: belongs to no level/)
})
