/**
 * Prints the compiled test files that start no process, no browser and no native library, for `npm run test:quick`.
 *
 * Decided by what a test imports, directly or through other files of test/: whoever needs one of MARKS is left out, and so are
 * SLOW ones, which train for seconds. Everything else is quick; the whole suite is `npm test`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Imports that a quick test does without. */
const MARKS = [
  /^node:child_process$/,
  /^playwright-core$/,
  /^autocannon$/,
  /^@tensorflow\//,
  /^onnxruntime/,
  /\/helpers\/native/,
]
/** Tests that are left out for the time they take: each takes more than 4 s of processor time. */
const SLOW = []

const root = 'dist/test'
const needs = new Map()

/** True where a file imports one of MARKS, or imports a file of test/ that does. */
function needsMore(file) {
  if (needs.has(file)) return needs.get(file)
  needs.set(file, false)
  const specifiers = [...readFileSync(file, 'utf8').matchAll(/(?:\bfrom|\bimport|\bimport\()\s*['"]([^'"]+)['"]/g)].map(
    match => match[1],
  )
  const found = specifiers.some(specifier => {
    if (MARKS.some(mark => mark.test(specifier))) return true
    const path = join(dirname(file), specifier)
    return specifier.startsWith('.') && path.startsWith(root) && existsSync(path) && needsMore(path)
  })
  needs.set(file, found)
  return found
}

const files = readdirSync(root, { recursive: true })
  .map(path => join(root, path))
  .filter(path => path.endsWith('.test.js') && !SLOW.includes(path.slice(root.length + 1)))
  .filter(path => !needsMore(path))
  .sort()
process.stdout.write(`${files.join('\n')}\n`)
