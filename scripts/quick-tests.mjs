/**
 * Runs the tests that start no process, no browser and no native library: `npm run test:quick`, below a minute on two cores.
 *
 *   node scripts/quick-tests.mjs [--list]
 *
 * Which these are is decided by what a test imports, directly or through other files of test/: whoever needs one of MARKS is left
 * out, and so are SLOW ones, and those that measure their own process. Files without fixtures on disk share two processes, because
 * loading tap takes longer than most of them. The whole suite is `npm test`.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { allTests, runTests } from './run-tests.mjs'

/** Imports that a quick test does without. */
const MARKS = [
  /^node:child_process$/,
  /^playwright-core$/,
  /^autocannon$/,
  /^@tensorflow\//,
  /^onnxruntime/,
  /\/helpers\/native/,
]
/** Tests that are left out for the time they take: more than 4 s of processor time each. */
const SLOW = [
  'cli/reading-progress.test.js',
  'coordinator/accumulate.test.js',
  'coordinator/best.test.js',
  'coordinator/bits-augment.test.js',
  'coordinator/bits-settings.test.js',
  'coordinator/bits.test.js',
  'coordinator/class-weights.test.js',
  'coordinator/control.test.js',
  'coordinator/memory.test.js',
  'coordinator/new-run.test.js',
  'coordinator/non-finite.test.js',
  'coordinator/phases.test.js',
  'coordinator/score-faults.test.js',
  'coordinator/scores.test.js',
  'coordinator/streaming.test.js',
  'coordinator/table.test.js',
  'data/fetch.test.js',
  'data/table/access.test.js',
  'data/table/both-readers.test.js',
  'data/table/hostile.test.js',
  'data/table/plain-parquet.test.js',
  'data/table/plain.test.js',
  'data/table/types.test.js',
  'import/round-trip.test.js',
  'inference/other-data.test.js',
  'inference/pictures.test.js',
  'inference/predictor.test.js',
  'inference/table/lines-pool.test.js',
  'inference/table/parts.test.js',
  'kernels/bf16.test.js',
  'kernels/x64/kernels.test.js',
  'picture/prepare.test.js',
  'run/hostile-checkpoint.test.js',
  'serve/api.test.js',
]
/** Calls of a test that measures its process, or changes its working folder: left out. */
const MEASURES = /memoryUsage|process\.chdir|resourceUsage/
/** Calls of a test that needs a process for itself: tap has one folder of fixtures a process, which a second file would clear. */
const ALONE = /\btestdir\(|\btestdirName\b/
const PROCESSES = 2

const root = 'dist/test'
const sources = new Map()
const needs = new Map()

function sourceOf(file) {
  if (!sources.has(file)) sources.set(file, readFileSync(file, 'utf8'))
  return sources.get(file)
}

/** True where a file imports one of MARKS, or imports a file of test/ that does. */
function needsMore(file) {
  if (needs.has(file)) return needs.get(file)
  needs.set(file, false)
  const imports = [...sourceOf(file).matchAll(/(?:\bfrom|\bimport|\bimport\()\s*['"]([^'"]+)['"]/g)].map(
    match => match[1],
  )
  const found = imports.some(name => {
    if (MARKS.some(mark => mark.test(name))) return true
    const path = join(dirname(file), name)
    return name.startsWith('.') && path.startsWith(root) && existsSync(path) && needsMore(path)
  })
  needs.set(file, found)
  return found
}

/** True where a file, or one of test/ that it imports, has fixtures on disk. */
function usesFixtures(file) {
  if (ALONE.test(sourceOf(file))) return true
  return [...sourceOf(file).matchAll(/\bfrom\s*['"](\.[^'"]+)['"]/g)].some(([, name]) => {
    const path = join(dirname(file), name)
    return path.startsWith(root) && existsSync(path) && usesFixtures(path)
  })
}

const files = allTests().filter(
  path => !SLOW.includes(relative(root, path)) && !needsMore(path) && !MEASURES.test(sourceOf(path)),
)

if (process.argv.includes('--list')) process.stdout.write(`${files.join('\n')}\n`)
else {
  const folder = 'dist/quick'
  mkdirSync(folder, { recursive: true })
  const alone = files.filter(file => usesFixtures(file))
  const together = files.filter(file => !alone.includes(file))
  const shares = Array.from({ length: PROCESSES }, (_, share) => {
    const path = join(folder, `share-${share + 1}.test.js`)
    const imports = together.filter((_, index) => index % PROCESSES === share).map(file => `import '../../${file}'\n`)
    writeFileSync(path, imports.join(''))
    return path
  })
  if (!(await runTests([...shares, ...alone], PROCESSES))) process.exitCode = 1
}
