/**
 * A report as one self-contained HTML page: no scripts, no network, images embedded. A content security policy in its head
 * enforces that, and allows the style sheet by its digest. Pure; any thread.
 */
import { createHash } from 'node:crypto'
import { type Html, type HtmlValue, html, verbatim } from './html.js'
import type { Report, RunReport } from './report.js'
import { columnsSection } from './sections/columns.js'
import { comparisonSection } from './sections/comparison.js'
import { courseOf, curvesSection } from './sections/curves.js'
import { activationsSection, mistakesSection } from './sections/gallery.js'
import { labelsSection } from './sections/labels.js'
import { digestsSection, experimentSection, machineSection } from './sections/origin.js'
import { targetsSection, worstRowsSection } from './sections/regression.js'
import { summarySection } from './sections/summary.js'
import { calibrationSection, classesSection, confusionSection } from './sections/test-set.js'
import { workersSection } from './sections/workers.js'
import { worstTableRows } from './sections/worst-rows.js'
import { STYLE } from './style.js'

interface Section {
  readonly id: string
  readonly title: string
  readonly content: HtmlValue
}

export function reportPage({ runs, comparison }: Report): string {
  const single = runs.length === 1
  const title = single ? `${runs[0].name}: report of a run` : `Report of ${runs.length} runs`
  const ids = runs.map((_, i) => (single ? 'run' : `run-${i + 1}`))
  const policy = `default-src 'none'; img-src data:; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'`
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${verbatim(STYLE)}</style>
</head>
<body>
<a class="skip" href="#main">To the content</a>
${single ? singleRun(runs[0]) : severalRuns(title, html`${comparison && comparisonSection(comparison, runs, ids)}`, runs, ids)}
</body>
</html>
`
  return page.text
}

function singleRun(run: RunReport): Html {
  const sections = sectionsOf(run, 'run', 3)
  return html`<header>
<p class="kind">gradloom · report of a run</p>
<h1>${run.name}</h1>
${run.run !== run.name && html`<p class="directory">${run.run}</p>`}
</header>
<nav aria-label="Sections"><ul>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
<main id="main">
${summarySection(run)}
${sections.map(
  ({ id, title, content }) => html`<section aria-labelledby="${id}">
<h2 id="${id}">${title}</h2>
${content}
</section>
`,
)}</main>`
}

function severalRuns(title: string, comparison: Html, runs: readonly RunReport[], ids: readonly string[]): Html {
  return html`<header>
<p class="kind">gradloom</p>
<h1>${title}</h1>
</header>
<nav aria-label="Runs"><ul><li><a href="#comparison">Comparison</a></li>${runs.map(({ run }, i) => html`<li><a href="#${ids[i]}">${run}</a></li>`)}</ul></nav>
<main id="main">
<section aria-labelledby="comparison">
<h2 id="comparison">Comparison</h2>
${comparison}
</section>
${runs.map(
  (run, i) => html`<section class="run" aria-labelledby="${ids[i]}">
<h2 id="${ids[i]}">${run.run}</h2>
${summarySection(run)}
${sectionsOf(run, ids[i], 4).map(
  ({ id, title, content }) => html`<details class="part"><summary><h3 id="${id}">${title}</h3></summary>
${content}
</details>
`,
)}</section>
`,
)}</main>`
}

/** Sections of one run; `level` is that of their headings. */
function sectionsOf(run: RunReport, id: string, level: 3 | 4): Section[] {
  const { curves, timeline } = run
  return [
    section('curves', 'Training', curvesSection(curves)),
    ...testSections(run, level),
    ...columnSections(run, level),
    section('workers', 'Workers', workersSection(timeline, courseOf(curves))),
    section('experiment', 'Experiment', experimentSection(run)),
    section('machine', 'Machine and digests', html`${machineSection(run)}${digestsSection(run)}`),
  ].map(each => ({ ...each, id: `${id}-${each.id}` }))
}

const section = (id: string, title: string, content: HtmlValue): Section => ({ id, title, content })

/** Predictions for the test split. */
function testSections({ test, table, experiment }: RunReport, level: 3 | 4): Section[] {
  const rows = table !== null && !('missing' in table) ? table : null
  if ('missing' in test) {
    const title = experiment.data.dataset === 'table' ? 'Test rows' : 'Test images'
    const note = html`<p class="note">There are no predictions to show: ${test.missing}.</p>`
    return [section('test', title, note), ...(rows ? [section('worst', 'Largest losses', worstTableRows(rows))] : [])]
  }
  if ('targets' in test) {
    return [
      section('targets', 'Test rows', targetsSection(test)),
      section('worst', 'Largest errors', rows ? worstTableRows(rows) : worstRowsSection(test)),
    ]
  }
  if ('labels' in test) {
    return [
      section('labels', 'Labels', labelsSection(test)),
      section('calibration', 'Calibration', calibrationSection({ ...test, unit: 'prediction' })),
      ...(rows ? [section('worst', 'Largest losses', worstTableRows(rows))] : []),
    ]
  }
  const common = [
    section('confusion', 'Confusion matrix', confusionSection(test)),
    section('classes', 'Classes', classesSection(test)),
    section('calibration', 'Calibration', calibrationSection(test)),
  ]
  if (rows) return [...common, section('worst', 'Largest losses', worstTableRows(rows))]
  return [
    ...common,
    section('mistakes', 'Worst mistakes', mistakesSection(test)),
    section('layers', 'Activations', activationsSection(test, level)),
  ]
}

/** Columns of a table. */
function columnSections({ table }: RunReport, level: 3 | 4): Section[] {
  if (table === null) return []
  const content =
    'missing' in table
      ? html`<p class="note">Importance of columns could not be computed: ${table.missing}.</p>`
      : columnsSection(table, level)
  return [section('columns', 'Columns', content)]
}
