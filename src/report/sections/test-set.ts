/** Quality on the test images or rows: confusion matrix, scores by class, and calibration. Pure; any thread. */
import { formatCount, formatPercent } from '../../format.js'
import type { Colour } from '../../picture/canvas.js'
import { BLUE, VERMILION, WHITE } from '../../picture/colours.js'
import { confidenceChart, reliabilityChart } from '../charts/calibration-chart.js'
import { data, type Html, html } from '../html.js'
import { image } from '../images.js'
import type { TestReport } from '../report.js'
import type { ClassScores } from '../scores.js'
import { folded, table } from '../table.js'

/** Classes up to which the matrix is written out; a larger one is drawn, and the classes with most mistakes are written out. */
const MOST_CLASSES = 20
const HARDEST = 12
const MOST_CONFUSIONS = 15
/** Number of shades of a cell, as in the style sheet. */
const SHADES = 9

const percent = (value: number) => formatPercent(value)
const count = (value: number) => data(value, formatCount)
const share = (value: number | null) => data(value, percent)

export function confusionSection(test: TestReport): Html {
  const { classes, confusion, unit } = test
  const written = classes.length <= MOST_CLASSES
  return html`<p>${count(test.right)} of ${count(test.images)} are correct: ${share(test.accuracy)}, on new ${unit}s like these between ${share(test.interval[0])} and ${share(test.interval[1])} (95 % confidence interval).${test.note !== null && html` <span class="note">Note: ${test.note}.</span>`}</p>
<div class="sides">
${
  written
    ? matrixTable(
        confusion,
        classes.map(({ className }) => className),
      )
    : html`${picture(test)}${hardest(test)}`
}
${confusionTable(test)}
</div>
`
}

function matrixTable(confusion: readonly (readonly number[])[], names: readonly string[], note = ''): Html {
  const shade = (images: number, row: readonly number[]) => {
    const all = row.reduce((sum, each) => sum + each, 0)
    // Shades follow a logarithm, so that a single mistake among a thousand is visible.
    return images === 0 ? 0 : Math.max(1, Math.round((SHADES * Math.log1p((999 * images) / all)) / Math.log(1000)))
  }
  return html`<div class="scroll" role="group" aria-label="Confusion matrix" tabindex="0">
<table class="matrix">
<caption><span>Confusion matrix: rows are true classes, columns are predicted classes.${note} Shades are logarithmic; blue is right, orange is wrong.</span></caption>
<thead><tr><th scope="col"><span class="corner">true ↓ predicted →</span></th>${names.map(name => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>
${confusion.map((row, truth) => html`<tr><th scope="row">${names[truth]}</th>${row.map((images, predicted) => html`<td class="${truth === predicted ? 'right' : 'wrong'}${shade(images, row)}">${count(images)}</td>`)}</tr>\n`)}</tbody>
</table>
</div>
`
}

/** Draws the whole matrix, one pixel per cell. */
function picture({ confusion, classes, unit }: TestReport): Html {
  const colour = (truth: number, predicted: number): Colour => {
    const images = confusion[truth][predicted]
    if (images === 0) return WHITE
    const strength = 0.35 + 0.65 * Math.min(1, Math.log1p(images) / Math.log1p(Math.max(1, classes[truth].support)))
    const full = truth === predicted ? BLUE : VERMILION
    return [0, 1, 2].map(c => Math.round(255 + strength * (full[c] - 255))) as unknown as Colour
  }
  const size = classes.length
  const alt = `Confusion matrix of ${size} classes: rows are true classes, columns are predicted classes; blue is right, orange is wrong`
  return html`<figure class="picture">${image('pixels large', alt, { width: size, height: size, colourOf: (column, row) => colour(row, column) })}
<figcaption>All ${size} classes: rows are true classes, columns are predicted classes, the first, ${classes[0].className}, at the top left. Blue is right, orange is wrong; the stronger, the more ${unit}s.</figcaption></figure>
`
}

/** Selects the classes with most mistakes; all others become one row. */
function hardest({ confusion, classes }: TestReport): Html {
  const mistakes = ({ support, predicted, right }: ClassScores) => support + predicted - 2 * right
  const chosen = [...classes]
    .sort((a, b) => mistakes(b) - mistakes(a) || a.label - b.label)
    .slice(0, HARDEST)
    .map(({ label }) => label)
    .sort((a, b) => a - b)
  const others = classes.map(({ label }) => label).filter(label => !chosen.includes(label))
  const groups = [...chosen.map(label => [label]), others]
  const folded = groups.map(rows =>
    groups.map(columns => rows.reduce((sum, t) => sum + columns.reduce((part, p) => part + confusion[t][p], 0), 0)),
  )
  const names = [...chosen.map(label => classes[label].className), 'others']
  return matrixTable(folded, names, ` The ${HARDEST} classes with most mistakes; the other ${others.length} are one.`)
}

function confusionTable({ confusions, classes, unit }: TestReport): Html {
  if (confusions.length === 0) return html`<p>No ${unit} is predicted as another class.</p>`
  return table({
    name: 'Most frequent confusions',
    caption: `The most frequent of ${formatCount(confusions.length)} confusions`,
    head: ['true', 'predicted', `${unit}s`, 'of the class'],
    kind: 'words-2',
    rows: confusions
      .slice(0, MOST_CONFUSIONS)
      .map(({ truth, predicted, images }) => [
        classes[truth].className,
        classes[predicted].className,
        count(images),
        share(images / classes[truth].support),
      ]),
  })
}

export function classesSection({ classes, macro, weighted, images, unit }: TestReport): Html {
  const rows = classes.map(of => [
    of.className,
    ...[count(of.support), count(of.predicted)],
    ...[share(of.precision), share(of.recall), html`${bar(of.f1 ?? 0)}${share(of.f1)}`],
  ])
  const means = (name: string, of: typeof macro) => [
    ...[name, count(images), null],
    ...[share(of.precision), share(of.recall), html`${bar(of.f1)}${share(of.f1)}`],
  ]
  const content = table({
    name: 'Scores of each class',
    caption: `Precision: fraction of the ${unit}s predicted as the class that belong to it. Recall: fraction of its ${unit}s that are predicted as it. F1: their harmonic mean.`,
    head: ['class', `${unit}s (support)`, 'predicted', 'precision', 'recall', 'F1'],
    kind: 'classes',
    rows: [...rows, means('mean over classes', macro), means(`mean over ${unit}s`, weighted)],
  })
  return classes.length <= MOST_CLASSES ? content : folded(`Scores of all ${classes.length} classes`, content)
}

/** Bar beside a number; hidden from screen readers, which read the number. */
const bar = (value: number): Html =>
  html`<svg class="meter" viewBox="0 0 60 8" aria-hidden="true"><rect class="track" width="60" height="8" rx="2"/><rect class="bar" width="${Math.round(600 * value) / 10}" height="8" rx="2"/></svg>`

/** `unit`: the noun of what is predicted. */
export function calibrationSection({
  calibration,
  unit,
}: Pick<TestReport, 'calibration'> & { readonly unit: string }): Html {
  const { bins, expectedError, largestError, meanConfidence } = calibration
  return html`<p>Expected calibration error ${share(expectedError)}: the mean difference between the confidence of predictions and their accuracy, over ${bins.length} bins; in the worst bin ${share(largestError)}. The mean confidence is ${share(meanConfidence)}.</p>
<div class="charts">
${reliabilityChart(calibration, unit)}${confidenceChart(calibration, unit)}</div>
${folded(
  'The numbers of each bin',
  table({
    name: 'Calibration by confidence',
    caption: 'Predictions by confidence: how confident the network is, and how often it is correct',
    head: ['confidence', `${unit}s`, 'mean confidence', 'accuracy'],
    rows: bins.map(({ from, to, images, confidence, accuracy }) => [
      `${formatPercent(from, 1)} to ${formatPercent(to, 1)}`,
      ...[count(images), share(confidence), share(accuracy)],
    ]),
  }),
)}`
}
