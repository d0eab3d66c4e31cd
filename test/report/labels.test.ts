/** The report of yes/no labels: scores by hand, and a run whose page, Markdown and JSON say what `evaluate` does. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { evaluate, readReport, reportMarkdown, reportPage, resolveExperiment, train } from '../../src/index.js'
import { compareRuns } from '../../src/report/comparison.js'
import { type LabelReport, labelReport } from '../../src/report/labels.js'
import { axeFindings, launchChromium, noChromium, openPage } from './chromium.js'

const dir = t.testdir()
const path = join(dir, 'shapes.csv')
/** A label with a name that is markup. */
const WIDE = '<i>wide</i>'
writeFileSync(
  path,
  `x,y,${WIDE},tall\n${Array.from({ length: 200 }, (_, i) => {
    const [x, y] = [(i * 37) % 100, (i * 53) % 90]
    return [x, y, x + (i % 7) > 50 ? 'yes' : 'no', y > 40].join(',')
  }).join('\n')}\n`,
)
const trained = async (seed: number) => {
  const runDir = join(dir, `run-${seed}`)
  const experiment = resolveExperiment({
    ...{ seed, data: { dataset: 'table', path, target: [WIDE, 'tall'] }, model: { hidden: [8] } },
    ...{ train: { epochs: 20, batchSize: 16 }, optimizer: { learningRate: 0.03 } },
    compute: { workers: 1, backend: 'wasm' },
  })
  await train(experiment, { runDir })
  return runDir
}
const run = await trained(1)

t.test('label scores by hand: two labels of four rows; undefined scores are empty', t => {
  const report = labelReport({
    ...{ weightsSha256: '', checkpoint: '', note: null, labelNames: ['a', 'b'] },
    targets: Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0),
    probabilities: Float32Array.of(0.9, 0.1, 0.6, 0.2, 0.4, 0.5, 0.3, 0.4),
  })
  t.match(report, { rows: 4, right: 6, accuracy: 0.75, exact: 2 })
  const [a, b] = report.labels
  t.match(a, { name: 'a', support: 2, predicted: 2, right: 2, precision: 0.5, recall: 0.5, f1: 0.5, rocAuc: 0.75 })
  t.match(b, { support: 0, predicted: 0, right: 4, precision: null, recall: null, f1: null, rocAuc: null })
  t.equal(b.averagePrecision, null)
  const near = (got: number, want: number) => t.ok(Math.abs(got - want) < 1e-6, `${got} is ${want}`)
  const { threshold, ...best } = a.best!
  near(threshold, 0.35)
  t.strictSame(best, { precision: 2 / 3, recall: 1, f1: 0.8 })
  t.equal(b.best, null)
  near(a.brier, 0.205)
  near(a.expectedError, 0.4)
  t.end()
})

t.test('rows of one probability have one answer: the threshold does not divide them', t => {
  const of = (targets: number[], probabilities: number[]) =>
    labelReport({
      ...{ weightsSha256: '', checkpoint: '', note: null, labelNames: ['a'] },
      ...{ targets: Float32Array.from(targets), probabilities: Float32Array.from(probabilities) },
    }).labels[0].best
  t.strictSame(of([1, 0, 1], [0.5, 0.5, 0.5]), { threshold: 0.25, precision: 2 / 3, recall: 1, f1: 0.8 })
  t.strictSame(of([1, 0, 0], [0.75, 0.5, 0.25]), { threshold: 0.625, precision: 1, recall: 1, f1: 1 })
  t.equal(of([1], [0]), null)
  t.end()
})

t.test('JSON has what evaluate has; page and Markdown show it; stored predictions give the same bytes', async t => {
  const report = await readReport([run])
  const test = report.runs[0].test as LabelReport
  const scored = await evaluate(run)
  t.match(test, { rows: scored.rows, right: scored.correct, accuracy: scored.accuracy })
  t.equal(test.exact / test.rows, scored.exactMatch)
  const mean = (of: 'f1' | 'rocAuc') => (test.labels[0][of]! + test.labels[1][of]!) / 2
  t.ok(Math.abs(mean('f1') - scored.macroF1!) < 1e-12 && Math.abs(mean('rocAuc') - scored.rocAuc!) < 1e-12)
  const page = reportPage(report)
  for (const id of ['run-labels', 'run-calibration', 'run-worst']) t.ok(page.includes(`id="${id}"`), id)
  t.ok(page.includes('&lt;i&gt;wide&lt;/i&gt;') && !page.includes(WIDE), 'names are text')
  t.match(reportMarkdown(report), /\d+ of 80 labels of 40 rows are right/)
  t.match(report.runs[0].table, { importance: { score: { title: 'accuracy' } } })

  const stored = readFileSync(join(run, 'test-results.json'), 'utf8')
  t.equal(reportPage(await readReport([run])), page)
  const warnings: string[] = []
  writeFileSync(join(run, 'test-results.json'), stored.replace(/"probabilities":".{8}/, '"probabilities":"'))
  t.equal(reportPage(await readReport([run], { onWarning: text => warnings.push(text) })), page)
  t.match(warnings, [/test-results\.json: is damaged and will be computed again/])
  t.equal(readFileSync(join(run, 'test-results.json'), 'utf8'), stored)
})

t.test('compare: the scores of labels, side by side', async t => {
  const { runs } = await compareRuns([run, await trained(2)])
  const { exactMatch, macroF1 } = await evaluate(run)
  t.match(runs[0].results, { 'test exact match': exactMatch, 'test macro F1': macroF1 })
  t.equal(typeof runs[1].results['test exact match'], 'number')
})

t.test('in chromium: axe finds nothing', { skip: noChromium }, async t => {
  const browser = await launchChromium()
  t.teardown(() => browser.close())
  const file = join(dir, 'page.html')
  writeFileSync(file, reportPage(await readReport([run])))
  const { page, complaints } = await openPage(browser, file, 'light', 1000)
  t.same([await axeFindings(page), complaints], [[], []])
})
