/**
 * Runs test files, each in a process of its own, some at a time.
 *
 *   node scripts/run-tests.mjs [--jobs 3] [FILE …]        all of dist/test without FILEs
 *
 * The files are tap's, and each prints TAP. They are not run by the command `tap`: it loads a tracer and source maps into every
 * process, also into the programs that tests start, and the suite then takes twice the processor time. Prints a line a file, the
 * reports of what failed, and last `# { total: …, pass: …, fail: …, skip: …, todo: … }`. TAP_OUTPUT_FILE, where set, gets the TAP.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

/** Time for one file, in seconds: short enough to find a hang, long enough for a busy machine. */
const TIMEOUT = 900
const ROOT = 'dist/test'
const COUNTS = ['total', 'pass', 'fail', 'skip', 'todo']

export function allTests() {
  const files = readdirSync(ROOT, { recursive: true }).filter(path => path.endsWith('.test.js'))
  return files.map(path => join(ROOT, path)).sort()
}

/**
 * Runs `files`; true if all of them passed. One more at a time than there are cores: a fifth of the time they wait, for files, timers and
 * each other.
 */
export async function runTests(files, jobs = availableParallelism() + 1) {
  const { TAP_OUTPUT_FILE: output } = process.env
  const tap = output ? openSync(output, 'w') : null
  const write = text => void (tap !== null && writeSync(tap, text))
  write('TAP version 14\n')
  const totals = Object.fromEntries(COUNTS.map(name => [name, 0]))
  const failures = []
  const skips = []
  const queue = [...files.entries()]
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [index, file] = next
      const result = await runFile(file)
      const passed = result.problem === null
      for (const name of COUNTS) totals[name] += result.counts[name]
      // A file that ends in any other way than by failed assertions has failed too, and is counted as one.
      if (!passed && result.counts.fail === 0) {
        totals.fail++
        totals.total++
      }
      if (!passed) failures.push({ file, ...result })
      for (const [, reason] of result.stdout.matchAll(/^ *ok \d+ - (.* # SKIP.*)$/gm)) skips.push(`${file}: ${reason}`)
      const { pass, skip } = result.counts
      const skipped = skip > 0 ? `, ${skip} skipped` : ''
      const name = relative(ROOT, file).replace('.test.js', '')
      process.stdout.write(
        `${passed ? 'ok' : 'FAILED'} ${name} ${pass} passed${skipped} (${result.seconds.toFixed(1)} s)${passed ? '' : `: ${result.problem}`}\n`,
      )
      write(`# Subtest: ${file}\n${result.stdout.replaceAll(/^(?=.)/gm, '    ')}`)
      write(`${passed ? 'ok' : 'not ok'} ${index + 1} - ${file} # time=${(result.seconds * 1000).toFixed(0)}ms\n`)
    }
  }
  await Promise.all(Array.from({ length: Math.min(jobs, files.length) }, work))
  process.stdout.write(skips.map(skip => `\nskipped ${skip}`).join(''))
  for (const { file, problem, stdout, stderr } of failures) {
    process.stdout.write(`\nFAILED ${file}: ${problem}\n${reportsOf(stdout)}${stderr.slice(-4000)}\n`)
  }
  const last = `# { ${COUNTS.map(name => `${name}: ${totals[name]}`).join(', ')} }\n`
  process.stdout.write(`\n${last}`)
  write(`1..${files.length}\n${last}`)
  if (tap !== null) closeSync(tap)
  return failures.length === 0 && files.length > 0
}

/** Runs one file. `problem` is null where all is well: every assertion passed, and the process ended by itself with 0. */
async function runFile(file) {
  const started = performance.now()
  // A trial would let the choice of a backend, and so bits, depend on what else the machine is doing; its own tests turn it on.
  const env = { GRADLOOM_TRIAL: '0', ...process.env, TAP: '1', TAP_TIMEOUT: String(TIMEOUT) }
  const child = spawn(process.execPath, [file], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const late = setTimeout(() => child.kill('SIGKILL'), (TIMEOUT + 60) * 1000)
  const [stdout, stderr, [code, signal]] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    new Promise((resolve, reject) => child.on('close', (...ended) => resolve(ended)).on('error', reject)),
  ])
  clearTimeout(late)
  const counts = countsOf(stdout)
  let problem = null
  if (counts === null) problem = `ended without a count, ${signal ?? `exit code ${code}`}`
  else if (counts.fail > 0) problem = `${counts.fail} failed`
  else if (code !== 0) problem = `exit code is ${code ?? signal}, expected 0`
  else if (counts.total === 0) problem = 'has no assertion'
  const none = Object.fromEntries(COUNTS.map(name => [name, 0]))
  return { seconds: (performance.now() - started) / 1000, stdout, stderr, counts: counts ?? none, problem }
}

async function textOf(stream) {
  stream.setEncoding('utf8')
  let text = ''
  for await (const chunk of stream) text += chunk
  return text
}

/** Counts of a whole file, from tap's last line such as `# { total: 87, pass: 86, fail: 1 }`; null without one. */
function countsOf(tap) {
  const line = [...tap.matchAll(/^# \{ (total: .*) \}$/gm)].at(-1)?.[1]
  if (line === undefined) return null
  return Object.fromEntries(COUNTS.map(name => [name, Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0)]))
}

/** Every "not ok" of a file, with the indented report from `---` to `...` where one follows it. */
function reportsOf(tap) {
  const kept = []
  let state = 'out'
  for (const line of tap.split('\n')) {
    if (/^ *not ok /.test(line)) {
      kept.push(line)
      state = 'due'
    } else if (state === 'due' && /^ *---$/.test(line)) {
      state = 'in'
      kept.push(line)
    } else if (state === 'in') {
      kept.push(line)
      if (/^ *\.\.\.$/.test(line)) state = 'out'
    } else state = 'out'
  }
  return kept.map(line => `${line}\n`).join('')
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { jobs: { type: 'string' } } })
  const files = positionals.length > 0 ? positionals : allTests()
  if (!(await runTests(files, values.jobs === undefined ? undefined : Number(values.jobs)))) process.exitCode = 1
}
