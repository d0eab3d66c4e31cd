/** Report about the machine and the files of a run: native libraries, counts of one, resumes. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readReport, reportMarkdown, reportPage, resolveExperiment, train } from '../../src/index.js'
import { writeFixedRun } from './fixed-run.js'

const LIBRARY = { backend: 'onednn', path: '/lib/libdnnl.so.2', name: 'oneDNN', version: '2.6.3', detail: 'CPU' }

/** Page of a run whose manifest is changed by `change`. */
async function pageOf(t: Test, change: (manifest: Record<string, unknown>) => void): Promise<string> {
  const run = writeFixedRun(join(t.testdir(), 'run'))
  const file = join(run, 'manifest.json')
  const manifest = JSON.parse(readFileSync(file, 'utf8'))
  change(manifest)
  writeFileSync(file, JSON.stringify(manifest))
  const report = await readReport([run])
  t.notMatch(reportMarkdown(report), /\[object|undefined/)
  const page = reportPage(report)
  t.notMatch(page, /\[object|undefined/)
  return page
}

t.test('a native library with its bf16 kernel, or with the reason why it has none', async t => {
  const withKernel = await pageOf(t, manifest => {
    manifest.backend = {
      name: 'onednn',
      reason: 'fastest',
      library: { ...LIBRARY, bf16: { kernel: 'brg:avx512_core_bf16' } },
    }
  })
  t.match(withKernel, 'oneDNN 2.6.3, /lib/libdnnl.so.2, CPU, bf16 by brg:avx512_core_bf16')
  const without = await pageOf(t, manifest => {
    manifest.backend = {
      name: 'onednn',
      reason: 'fastest',
      library: { ...LIBRARY, bf16: { obstacle: 'the CPU has no bf16' } },
    }
  })
  t.match(without, 'CPU, no bf16: the CPU has no bf16')
})

t.test('a manifest of an older version, whose library has fewer fields', async t => {
  const page = await pageOf(t, manifest => {
    manifest.backend = { name: 'blas', reason: 'asked for', library: { name: 'OpenBLAS', version: '0.3.21' } }
  })
  t.match(page, '>OpenBLAS 0.3.21<')
})

t.test('one file and one worker are written in the singular', async t => {
  const page = await pageOf(t, manifest => {
    manifest.resumes = [
      { at: '2026-01-31T13:00:00.000Z', step: 20, workers: 1, changes: [], machine: { cpu: { model: 'Example' } } },
    ]
  })
  t.match(page, '1 data file<')
  t.match(page, 'after step 20, with 1 worker on Example')
})

t.test('a report without the data says so, and a later one with the data has the scores', async t => {
  const rows = Array.from({ length: 60 }, (_, row) => `${row % 2},${row},${row % 2 ? 'odd' : 'even'}`)
  const dir = t.testdir({ 'data.csv': `a,b,label\n${rows.join('\n')}\n` })
  const runDir = join(dir, 'run')
  const experiment = resolveExperiment({
    name: 'away',
    data: { dataset: 'table', path: join(dir, 'data.csv') },
    model: { hidden: [4] },
    train: { epochs: 1, batchSize: 8 },
    compute: { workers: 1, backend: 'wasm' },
  })
  await train(experiment, { runDir })
  renameSync(join(dir, 'data.csv'), join(dir, 'elsewhere.csv'))
  const [without] = (await readReport([runDir])).runs
  t.match(without.test, { missing: /data\.csv/ })
  t.match(reportPage(await readReport([runDir])), 'data.csv')
  renameSync(join(dir, 'elsewhere.csv'), join(dir, 'data.csv'))
  const [later] = (await readReport([runDir])).runs
  t.match(later.test, { accuracy: Number })
})
