/**
 * The report of a run that was made by hand, to the byte. Where a change is wanted, look at the new page, then:
 * GRADLOOM_GOLDEN=write node dist/test/report/golden.test.js
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { readReport, reportJson, reportMarkdown, reportPage } from '../../src/index.js'
import { gradloom } from '../cli/run-cli.js'
import { writeFixedRun } from './fixed-run.js'

const GOLDEN = resolve('test/report/golden')
const dir = t.testdir()
const run = writeFixedRun(join(dir, 'fixed-run'), {
  events: [{ type: 'restart', step: 60, from: 'memory', error: 'worker 1 died', restarts: 1 }],
})

async function report(path: string, format: string): Promise<string> {
  const out = join(dir, `out.${format}`)
  const { code, stderr } = await gradloom(['report', path, '--format', format, '--out', out])
  t.same({ code, stderr }, { code: 0, stderr: '' })
  return readFileSync(out, 'utf8')
}

/** Renders the page in this process. */
async function rendered(path: string, format: 'html' | 'md' | 'json'): Promise<string> {
  const read = await readReport([path])
  return { html: reportPage, md: reportMarkdown, json: reportJson }[format](read)
}

for (const format of ['html', 'md']) {
  t.test(`${format}: the report is unchanged, byte for byte`, async t => {
    const file = join(GOLDEN, `report.${format}`)
    const text = await report(run, format)
    if (process.env.GRADLOOM_GOLDEN === 'write') writeFileSync(file, text)
    t.equal(text, readFileSync(file, 'utf8'))
  })
}

t.test('the same bytes from a copy elsewhere, written at another time', async t => {
  mkdirSync(join(dir, 'elsewhere'))
  const copy = join(dir, 'elsewhere', 'fixed-run')
  cpSync(run, copy, { recursive: true })
  for (const name of readdirSync(copy)) utimesSync(join(copy, name), 0, 0)
  for (const format of ['html', 'md', 'json'] as const)
    t.equal(await rendered(copy, format), await rendered(run, format), format)
})

t.test('stored predictions of other weights are not shown, and damaged ones are reported', async t => {
  const other = writeFixedRun(join(dir, 'other'))
  const file = join(other, 'test-results.json')
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll('abababab', 'cdcdcdcd'))
  const stale = await gradloom(['report', other, '--format', 'json'])
  t.match(JSON.parse(stale.stdout).runs[0].test, { missing: /run has no checkpoint|cannot be read/ })
  writeFileSync(file, '{"format":"gradloom test results","version":1}')
  const damaged = await gradloom(['report', other, '--format', 'json'])
  t.match(damaged.stderr, /test-results\.json: is damaged/)
  t.equal(damaged.code, 0)
  rmSync(file)
})

t.test('a path that is not a run is an error of usage', async t => {
  const { code, stderr } = await gradloom(['report', dir])
  t.match({ code, stderr }, { code: 2, stderr: /has no resolved\.json/ })
})
