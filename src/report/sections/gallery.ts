/** Images: the most confident mistakes, and the activations of every layer for one image. Pure; any thread. */
import { formatPercent } from '../../format.js'
import { type LayerSummary, MOST_NAMED } from '../../inference/layers.js'
import { mapsTitle } from '../../picture/mosaic.js'
import type { InputShape } from '../../tensor/input-shape.js'
import { data, type Html, html } from '../html.js'
import { bytePixels, image, keyPixels, unitPixels } from '../images.js'
import type { ReportedExample, TestReport } from '../report.js'

const share = (value: number) => data(value, value => formatPercent(value, 1))

export function mistakesSection({ mistakes, right, images, ...shape }: TestReport): Html {
  if (mistakes.length === 0) return html`<p>There are none: all ${images} images are classified correctly.</p>`
  return html`<p>The ${mistakes.length} of ${images - right} most confident mistakes: the prediction, the true class, and the next predictions.</p>
<ul class="gallery">
${mistakes.map(({ index, truth, top: [first, ...others], pixels }) => {
  const alt = `Image ${index}: true class ${truth.className}, predicted as ${first.className}`
  return html`<li>${image('pixels thumb', alt, bytePixels(pixels, shape))}
<p class="said">${first.className}, ${share(first.probability)}</p>
<p class="truth">is ${truth.className}</p>
<p class="then">${others.map(({ className, probability }) => html`${className}, ${share(probability)}<br>`)}image ${data(index, String)}</p></li>
`
})}</ul>
`
}

/** Gallery of mistakes and activations; `level` is that of the headings. */
export function activationsSection({ examples, height, width, channels, classes }: TestReport, level: 3 | 4): Html {
  const heading = (text: string) => (level === 3 ? html`<h3>${text}</h3>` : html`<h4>${text}</h4>`)
  return html`${examples.map(example => exampleFigure(example, { height, width, channels }, classes, heading))}`
}

function exampleFigure(
  { index, truth, layers, pixels }: ReportedExample,
  shape: InputShape,
  classes: TestReport['classes'],
  heading: (text: string) => Html,
): Html {
  const output = layers.find(({ kind }) => kind === 'output')
  const best = output ? classes[output.values.indexOf(output.most)]?.className : undefined
  const verdict = best === truth.className ? 'right' : `predicted as ${best}`
  return html`${heading(`Image ${index}: ${truth.className}, ${verdict}`)}
<ul class="layers">
${layers.map(layer => layerPanel(layer, pixels, shape, classes, truth.label))}</ul>
`
}

function layerPanel(
  { layer, kind, units, active, least, most, values, maps }: LayerSummary,
  pixels: Uint8Array | null,
  shape: InputShape,
  classes: TestReport['classes'],
  truth: number,
): Html {
  const name = kind === 'hidden' ? `Layer ${layer}` : kind === 'input' ? 'Input' : 'Output'
  const drawn = () =>
    html`${image('pixels layer', `${name}: activations of ${maps ? mapsTitle(maps) : `${units} units`}`, unitPixels(values, null, maps))}${image('key', '', keyPixels(values))}`
  const input = () => {
    const bytes = pixels ?? Uint8Array.from(values, value => Math.round(255 * value))
    return image('pixels layer', `The image: ${shape.height} by ${shape.width} pixels`, bytePixels(bytes, shape))
  }
  const named = kind === 'output' && units <= MOST_NAMED
  const what =
    kind === 'input'
      ? `${shape.height} × ${shape.width} pixels${shape.channels === 3 ? ' of three colours' : ''}`
      : html`${maps ? mapsTitle(maps) : `${units} ${kind === 'output' ? 'classes' : 'units'}`}, ${data(active, value => formatPercent(value, 0))} above 0`
  return html`<li><p class="layer-name">${name}</p>
${kind === 'input' ? input() : named ? outputBars(values, classes, truth) : drawn()}
<p class="then">${what}<br>from ${data(least, short)} to ${data(most, short)}</p></li>
`
}

const short = (value: number): string => String(Number(value.toPrecision(3)))

function outputBars(values: Float32Array, classes: TestReport['classes'], truth: number): Html {
  return html`<table class="output"><caption>Probability of each class</caption><tbody>${[...values].map(
    (value, label) =>
      html`<tr${label === truth && html` class="is"`}><th scope="row">${classes[label].className}</th><td><svg class="meter" viewBox="0 0 60 8" aria-hidden="true"><rect class="track" width="60" height="8" rx="2"/><rect class="bar" width="${Math.round(600 * Math.min(1, Math.max(0, value))) / 10}" height="8" rx="2"/></svg>${share(value)}</td></tr>`,
  )}</tbody></table>`
}
