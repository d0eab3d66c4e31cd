/**
 * Structure of the tree. scripts/check-imports.mjs finds what it is for: upward imports, circles, long files (`npm run lint` runs
 * it over src/). Files that pages and comments name exist. Test files do all waiting of their own before their first test.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
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

/**
 * Lines of a test file that wait at its top level after its first test. While such a line waits, the tests before it may all
 * end; tap then ends the file, and the tests after the line are not run. Reads the indentation that the formatter gives.
 */
function lateAwaits(source: string): string[] {
  const first = source.search(/^( {2})?t\.test\(/m)
  const later = first < 0 ? [] : source.slice(first).split('\n')
  return later.filter(
    line => /^[^\s*/].*\bawait\b|^await\b/.test(line) && !/^(await )?t\.test\(|=>|\bfunction\b/.test(line),
  )
}

t.test('test files have no top-level await after their first test', t => {
  t.same(lateAwaits("t.test('a', async t => {\n  await b()\n})\nconst c = await d()\n"), ['const c = await d()'])
  t.same(lateAwaits('if (a) {\n  t.test(b, async t => {\n    await c()\n  })\n}\nawait d()\n'), ['await d()'])
  t.same(lateAwaits("const c = await d()\nt.test('a', async t => {\n  await b()\n})\n"), [])
  const files = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.test.ts'))
  t.ok(files.length > 150, `${files.length} files`)
  for (const file of files) t.same(lateAwaits(readFileSync(`test/${file}`, 'utf8')), [], file)
  t.end()
})

/** Pages that name files of the repository, and the folder that their paths are relative to if the repository has none. */
const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync('docs')
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
]

/** A file or a folder of the repository in backticks: it has a slash, and begins with a folder that exists. */
const namedPaths = (page: string): string[] => {
  const roots = [...readdirSync('.'), ...readdirSync('src')]
  return [...page.matchAll(/`([\w.-]+(?:\/[\w.-]+)*\/?)`/g)]
    .map(([, path]) => path)
    .filter(path => (path.includes('/') || path.endsWith('.ts')) && roots.includes(path.split('/')[0]))
}

t.test('paths that the pages name exist', async t => {
  let paths = 0
  for (const page of PAGES) {
    for (const path of namedPaths(readFileSync(page, 'utf8'))) {
      if (/^(runs|dist|node_modules)\/|^configs\/mine/.test(path)) continue // made by the reader
      paths++
      t.ok(existsSync(path) || existsSync(`src/${path}`), `${page}: ${path} exists, here or under src/`)
    }
  }
  t.ok(paths > 250, `${paths} paths were looked at`)
})

t.test('docs/code-map.md: names in brackets behind a file are in that file', async t => {
  let names = 0
  for (const [, path, list] of readFileSync('docs/code-map.md', 'utf8').matchAll(/`([\w/.-]+\.ts)` \((`[^)]*`)\)/g)) {
    const source = readFileSync(existsSync(path) ? path : `src/${path}`, 'utf8')
    for (const [, name] of list.matchAll(/`(\w+)`/g)) {
      names++
      t.ok(new RegExp(`\\b${name}\\b`).test(source), `${path} has ${name}`)
    }
  }
  t.ok(names > 25, `${names} names were looked at`)
})

/** True if a path in a comment exists, seen from the file, from a folder above it, from `src` or from `test`. */
function existsFrom(file: string, path: string): boolean {
  const folders = ['src', 'test']
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    folders.push(folder)
    if (folder === '.') return folders.some(folder => existsSync(join(folder, path)))
  }
}

t.test('source files that comments name exist', async t => {
  let paths = 0
  for (const root of ['src', 'test', 'bench', 'scripts']) {
    for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      if (!/\.(ts|mjs)$/.test(name) || name.includes('node_modules')) continue
      const file = join(root, name)
      const comments = readFileSync(file, 'utf8').match(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm) ?? []
      const text = comments.join('\n').replaceAll(/https?:\S+/g, '')
      for (const [path] of text.matchAll(/(?<![\w@.*/-])(?:\.\.\/)*[\w-]+(?:\/[\w-]+)*\.(?:ts|mjs)\b/g)) {
        paths++
        t.ok(existsFrom(file, path), `${file}: ${path} exists`)
      }
    }
  }
  t.ok(paths > 100, `${paths} paths were looked at`)
})

t.test('README.md: the source tree has every folder of src', async t => {
  const [, tree] = /## Source tree[\s\S]*?```text\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? []
  const folders = readdirSync('src', { withFileTypes: true }).filter(entry => entry.isDirectory())
  t.ok(folders.length > 15, `${folders.length} folders were looked at`)
  for (const { name } of folders) t.match(tree, new RegExp(`^  ${name}/ `, 'm'), `src/${name}`)
})

t.test('the first comment of a file says which thread runs it, within ten lines', async t => {
  const runsOn = /\b(threads?|workers?|browser|process)\b|\b(Pure|Types|Data|Names|Constants|Interfaces)\b/i
  let files = 0
  for (const name of readdirSync('src', { recursive: true, encoding: 'utf8' })) {
    if (!/(?<!\.d)\.ts$/.test(name) || name.includes('assembly')) continue
    files++
    const begin = readFileSync(join('src', name), 'utf8').split('\n').slice(0, 10).join('\n')
    const [comment] = /\/\*\*[\s\S]*?(\*\/|$)/.exec(begin) ?? ['']
    t.match(comment, runsOn, `src/${name}`)
  }
  t.ok(files > 400, `${files} files were looked at`)
})
