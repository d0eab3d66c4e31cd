/** The report of a run on a table, end to end: importance, dependence and worst rows of a target that one column decides. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ExperimentInput, readReport, reportMarkdown, reportPage, train } from '../../src/index.js'
import type { TableResults } from '../../src/report/table-results.js'
import { axeFindings, launchChromium, noChromium, openPage } from './chromium.js'

const dir = t.testdir()
/** Column that decides, with a name that is markup. */
const SIZE = '<b>size</b> & "more"'

const rows = Array.from({ length: 240 }, (_, i) => {
  const size = (i * 37) % 240
  return {
    size,
    colour: ['red', 'blue', ''][(i * 7) % 3],
    seen: `2024-0${1 + (i % 9)}-11`,
    same: 'one',
    kind: size < 120 ? 'small' : 'large',
    price: 3 * size + 5,
  }
})
type Row = (typeof rows)[number]

/** Writes the table, and trains on it; `target`: `kind` or `price`. */
async function trained(name: string, target: 'kind' | 'price', more: { validation?: number } = {}) {
  const path = join(dir, `${name}.csv`)
  const head = `"${SIZE.replaceAll('"', '""')}",colour,seen,same,${target}`
  const line = (row: Row) => [row.size, row.colour, row.seen, row.same, row[target]].join(',')
  writeFileSync(path, `${[head, ...rows.map(line)].join('\n')}\n`)
  const runDir = join(dir, name)
  await train(
    {
      name,
      data: { dataset: 'table', path, ...more },
      model: { hidden: [8] },
      optimizer: { type: 'adam', learningRate: 0.03 },
      train: { epochs: 25, batchSize: 16 },
      compute: { workers: 1, backend: 'wasm' },
    } as ExperimentInput,
    { runDir },
  )
  return { path, runDir }
}

const classes = await trained('classes', 'kind', { validation: 0.2 })
const numbers = await trained('numbers', 'price')

async function tableOf(runDir: string): Promise<TableResults> {
  const [{ table }] = (await readReport([runDir])).runs
  if (table === null || 'missing' in table) throw new Error(`no table: ${table?.missing}`)
  return table
}

t.test('classes: the only relevant column has all the importance, on the validation rows', async t => {
  const found = await tableOf(classes.runDir)
  const { importance, dependence, unused } = found
  t.match(found, { split: 'validation', available: 38, outputs: ['large', 'small'], columns: [SIZE] })
  t.match(importance, { rows: 38, score: { title: 'accuracy' } })
  t.ok(importance.base > 0.9)
  const [first, ...others] = importance.columns
  t.equal(first.column, SIZE)
  t.ok(first.mean > 0.3)
  for (const { column, mean } of others) t.ok(Math.abs(mean) < 0.1, `${column}: ${mean}`)
  t.same(unused, [{ column: 'same', reason: 'the same value in every row' }])
  const probability = dependence[0].points.map(({ outputs }) => outputs[1])
  t.ok(probability[0] > 0.9 && probability.at(-1)! < 0.1, 'the smaller, the more probable is small')
  t.same(
    new Set(dependence.find(({ column }) => column === 'colour')!.points.map(({ text }) => text)),
    new Set(['red', 'blue', null]),
  )
})

t.test('numbers: importance on the test rows where there are no validation rows', async t => {
  const found = await tableOf(numbers.runDir)
  t.match(found, { split: 'test', available: 48, outputs: ['price'] })
  t.match(found.importance, { score: { title: 'R²' } })
  t.ok(found.importance.columns[0].mean > 0.8)
  t.equal(found.importance.columns[0].column, SIZE)
})

t.test('worst rows: fields as in the table, largest losses first', async t => {
  for (const { runDir } of [classes, numbers]) {
    const { worst, columns } = await tableOf(runDir)
    t.equal(worst.length, 20)
    t.same(
      worst.map(({ loss }) => loss),
      worst.map(({ loss }) => loss).sort((a, b) => b - a),
    )
    for (const { fileRow, fields, answer } of worst) {
      const row = rows[fileRow]
      t.same(Object.fromEntries(columns.map((name, i) => [name, fields[i]])), {
        ...{ [SIZE]: String(row.size), colour: row.colour || null, seen: row.seen },
      })
      if ('values' in answer) t.equal(answer.values[0].truth, row.price)
      else t.equal(answer.truth, row.kind)
    }
  }
})

t.test('the same bytes: computed again, and from what the first report stored, without data', async t => {
  for (const { runDir, path } of [classes, numbers]) {
    const page = reportPage(await readReport([runDir]))
    const text = reportMarkdown(await readReport([runDir]))
    const stored = readFileSync(join(runDir, 'table-results.json'))
    rmSync(join(runDir, 'table-results.json'))
    rmSync(join(runDir, 'test-results.json'))
    t.equal(reportPage(await readReport([runDir])), page)
    t.same(readFileSync(join(runDir, 'table-results.json')), stored)
    renameSync(path, `${path}.moved`)
    t.equal(reportPage(await readReport([runDir])), page)
    t.equal(reportMarkdown(await readReport([runDir])), text)
    rmSync(join(runDir, 'table-results.json'))
    const without = reportPage(await readReport([runDir]))
    t.match(without, /Importance of columns could not be computed: .*data of the run are not there/)
    t.match(without, runDir === classes.runDir ? 'Confusion matrix' : 'Largest errors', 'the rest is as before')
    writeFileSync(path, 'other,colour,seen,same,kind\n1,red,2024-01-01,one,small\n')
    t.match(reportPage(await readReport([runDir])), /Importance of columns could not be computed: .*has no column/)
    renameSync(`${path}.moved`, path)
  }
})

t.test('a table that has changed since is refused', async t => {
  const { path, runDir } = numbers
  const before = readFileSync(path, 'utf8')
  rmSync(join(runDir, 'table-results.json'), { force: true })
  writeFileSync(path, before.replace('red', 'blue'))
  const [{ table }] = (await readReport([runDir])).runs
  t.match(table, { missing: /MD5/ })
  writeFileSync(path, before)
})

t.test('a stored file that is damaged is computed again, with a warning', async t => {
  const { runDir } = classes
  const page = reportPage(await readReport([runDir]))
  for (const text of [
    '{}',
    'x',
    readFileSync(join(runDir, 'table-results.json'), 'utf8').replace('"mean"', '"main"'),
  ]) {
    writeFileSync(join(runDir, 'table-results.json'), text)
    const warnings: string[] = []
    t.equal(reportPage(await readReport([runDir], { onWarning: warning => warnings.push(warning) })), page)
    t.match(warnings, [/table-results\.json: is damaged and will be computed again/])
  }
})

t.test('names of columns are escaped in the page and in Markdown; the text speaks of rows, not images', async t => {
  const report = await readReport([classes.runDir])
  const page = reportPage(report)
  t.notMatch(page, '<b>size')
  t.match(page, '&lt;b&gt;size&lt;/b&gt; &amp; &quot;more&quot;')
  t.notMatch(page, / images/)
  const text = reportMarkdown(report)
  t.match(text, '&lt;b>size&lt;/b> &amp; "more"')
  t.match(text, '## Test rows')
})

t.test('100 columns: the chart has 20, the tables have all', async t => {
  const path = join(dir, 'wide.csv')
  const names = Array.from({ length: 100 }, (_, i) => `column ${i} of a hundred`)
  const line = (i: number) => [...names.map((_, k) => (i * (k + 3) * 7919) % 107), i % 2 ? 'odd' : 'even'].join(',')
  writeFileSync(path, `${[[...names, 'y'].join(','), ...Array.from({ length: 60 }, (_, i) => line(i))].join('\n')}\n`)
  const runDir = join(dir, 'wide')
  await train(
    {
      data: { dataset: 'table', path },
      model: { hidden: [4] },
      train: { epochs: 1, batchSize: 16 },
      compute: { workers: 1, backend: 'wasm' },
    } as ExperimentInput,
    { runDir },
  )
  const page = reportPage(await readReport([runDir]))
  t.equal(page.match(/class="spread"/g)?.length, 20)
  t.match(page, 'The chart shows the 20 most important of 100 columns')
  t.match(page, 'All 100 columns of these rows')
})

t.test('in chromium: axe finds nothing', { skip: noChromium }, async t => {
  const browser = await launchChromium()
  t.teardown(() => browser.close())
  const file = join(dir, 'page.html')
  for (const [runs, scheme, width] of [
    [[classes.runDir], 'light', 1200] as const,
    [[numbers.runDir], 'dark', 400] as const,
    [[classes.runDir, numbers.runDir], 'light', 700] as const,
  ]) {
    writeFileSync(file, reportPage(await readReport([...runs])))
    const { page, complaints } = await openPage(browser, file, scheme, width)
    t.same(await axeFindings(page), [])
    t.same(complaints, [])
    await page.close()
  }
})
