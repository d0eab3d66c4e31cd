/**
 * Checks the structure of src/: imports between folders go one way, files form no circles, files stay short.
 *
 *   node scripts/check-imports.mjs [--counts] [folder]
 *
 * Circles of files are looked for in bench/ and test/ too, where these lie beside the folder.
 * Type-only imports count as well: who needs another's types has to read the other. `--counts` prints the numbers and exits 0.
 * Part of `npm run lint`; test/structure.test.ts shows that it finds what it is for.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * Levels of src/, lowest first. A file imports from its own level or from lower ones. A level is a list of folders or files;
 * the longest entry that a path begins with decides. Entries of one level may not import each other.
 */
export const LEVELS = [
  ['errors.ts', 'format.ts', 'version.ts'],
  ['files', 'tensor', 'ffi'],
  ['formats', 'machines'],
  ['config'],
  ['picture'],
  ['model'],
  ['augment'],
  ['data'],
  ['kernels'],
  ['run'],
  ['import'],
  ['worker/plan'],
  ['worker/network'],
  ['worker/program'],
  ['worker/threads'],
  ['coordinator'],
  ['inference'],
  ['export'],
  ['report'],
  ['sweep'],
  ['serve'],
  ['cli', 'index.ts'],
]

/** Pairs that may name each other because a process lies between them: one spawns the other and reads its answer's type. */
const PROCESS_BOUNDARIES = [['kernels/native/probe.ts', 'kernels/native/probe-child.ts']]

/** Folders whose files are in another language (AssemblyScript). */
const SKIPPED = ['kernels/module/assembly', 'data/table/plain/assembly']

const MAX_LINES = 400
/** Files that are tables from top to bottom: rows of one form, read by looking things up. */
const TABLES = []

/** Imports of every TypeScript file below `root`: path -> paths, both relative to root with `/`. */
export function importsBelow(root) {
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => relative(root, join(entry.parentPath ?? entry.path, entry.name)).replaceAll('\\', '/'))
    .filter(path => !SKIPPED.some(folder => path.startsWith(`${folder}/`)) && !path.includes('node_modules/'))
    .sort()
  const known = new Set(files)
  const imports = new Map()
  const lines = new Map()
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8')
    lines.set(file, text.split('\n').length - 1)
    const found = new Set()
    for (const [, specifier] of withoutComments(text).matchAll(
      /(?:\bfrom|\bimport|\bimport\()\s*['"](\.{1,2}\/[^'"]+)['"]/g,
    )) {
      const target = relative(root, resolve(root, dirname(file), specifier))
        .replaceAll('\\', '/')
        .replace(/\.js$/, '.ts')
      if (known.has(target)) found.add(target)
    }
    imports.set(file, [...found].sort())
  }
  return { imports, lines }
}

/** Source without comments, so that an import in an example does not count. Strings that hold `//` keep their line's start. */
function withoutComments(text) {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '')
}

/** Level of a file, or -1 where no entry names it. */
function levelOf(file) {
  let level = -1
  let length = -1
  LEVELS.forEach((entries, index) => {
    for (const entry of entries) {
      const fits = entry.endsWith('.ts') ? file === entry : file.startsWith(`${entry}/`)
      if (fits && entry.length > length) {
        level = index
        length = entry.length
      }
    }
  })
  return level
}

const entryOf = file => LEVELS[levelOf(file)]?.find(entry => file === entry || file.startsWith(`${entry}/`))

/** Circles of files: strongly connected components of more than one file (Tarjan 1972). */
export function circlesOf(imports) {
  const index = new Map()
  const low = new Map()
  const stack = []
  const onStack = new Set()
  const circles = []
  const visit = file => {
    index.set(file, index.size)
    low.set(file, index.get(file))
    stack.push(file)
    onStack.add(file)
    for (const target of imports.get(file) ?? []) {
      if (isProcessBoundary(file, target)) continue
      if (!index.has(target)) {
        visit(target)
        low.set(file, Math.min(low.get(file), low.get(target)))
      } else if (onStack.has(target)) low.set(file, Math.min(low.get(file), index.get(target)))
    }
    if (low.get(file) !== index.get(file)) return
    const circle = stack.splice(stack.indexOf(file))
    for (const member of circle) onStack.delete(member)
    if (circle.length > 1) circles.push(circle.sort())
  }
  for (const file of imports.keys()) if (!index.has(file)) visit(file)
  return circles
}

const isProcessBoundary = (a, b) => PROCESS_BOUNDARIES.some(pair => pair.includes(a) && pair.includes(b))

/** Everything that breaks a rule, as lines of text, and the counts. */
export function problemsOf(root, { tables = TABLES } = {}) {
  const { imports, lines } = importsBelow(root)
  const problems = []
  let upward = 0
  for (const [file, targets] of imports) {
    const level = levelOf(file)
    if (level < 0) problems.push(`${file}: belongs to no level; add its folder to LEVELS in scripts/check-imports.mjs`)
    for (const target of targets) {
      const sideways = levelOf(target) === level && entryOf(target) !== entryOf(file)
      if (levelOf(target) <= level && !sideways) continue
      upward++
      problems.push(`${file}: imports ${target}, which is ${sideways ? 'beside it' : 'above it'}; imports go downwards`)
    }
  }
  const circles = circlesOf(imports)
  for (const circle of circles) problems.push(`circle of files: ${circle.join(', ')}`)
  let long = 0
  for (const [file, count] of lines) {
    if (count <= MAX_LINES || tables.includes(file)) continue
    long++
    problems.push(`${file}: has ${count} lines, expected at most ${MAX_LINES}; split it by concept`)
  }
  return { problems, counts: { files: imports.size, circles: circles.length, upward, long } }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const root = process.argv.slice(2).find(arg => !arg.startsWith('--')) ?? 'src'
  const { problems, counts } = problemsOf(root)
  for (const beside of ['bench', 'test'].filter(name => root === 'src' && existsSync(name))) {
    for (const circle of circlesOf(importsBelow(beside).imports)) {
      counts.circles++
      problems.push(`circle of files in ${beside}: ${circle.join(', ')}`)
    }
  }
  const { files, circles, upward, long } = counts
  const summary = `${files} files, ${circles} circles, ${upward} upward imports, ${long} files over ${MAX_LINES} lines`
  if (process.argv.includes('--counts')) process.stdout.write(`${summary}\n${problems.join('\n')}\n`)
  else if (problems.length > 0) {
    process.stderr.write(`${problems.join('\n')}\n${summary}\n`)
    process.exitCode = 1
  }
}
