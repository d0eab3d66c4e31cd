/** Images: the surest mistakes, and what the layers do with one. Pure; any thread. */
import { formatPercent } from '../../cli/format.js'
import { MOST_NAMED } from '../../inference/layers.js'
import { data, type Html, html } from '../html.js'
import { grayPixels, image, unitPixels } from '../images.js'
import type { ReportedExample, TestReport } from '../report.js'

const share = (value: number) => data(value, value => formatPercent(value, 1))

export function mistakesSection({ mistakes, right, images, height, width }: TestReport): Html {
  if (mistakes.length === 0) return html`<p>There are none: all ${images} images are right.</p>`
  return html`<p>The ${mistakes.length} of ${images - right} mistakes that the network was surest of.</p>
<ul class="gallery">
${mistakes.map(({ index, truth, top: [first, ...others], pixels }) => {
  const alt = `Image ${index}: is ${truth.className}, taken for ${first.className}`
  return html`<li>${image('pixels thumb', alt, grayPixels(pixels, height, width))}
<p class="said">${first.className} ${share(first.probability)}</p>
<p class="truth">is ${truth.className}</p>
<p class="then">${others.map(({ className, probability }, i) => html`${i > 0 && ', '}${className} ${share(probability)}`)}</p>
<p class="then">#${data(index, String)}</p></li>
`
})}</ul>
`
}

export function activationsSection({ examples, height, width, classes }: TestReport): Html {
  const shape = { height, width }
  return html`${examples.map(example => exampleFigure(example, shape, classes))}`
}

function exampleFigure(
  { index, truth, layers }: ReportedExample,
  shape: { height: number; width: number },
  classes: TestReport['classes'],
): Html {
  const output = layers.find(({ kind }) => kind === 'output')
  const best = output ? classes[output.values.indexOf(output.most)]?.className : undefined
  const right = best === truth.className
  return html`<h4>Image #${index}, ${truth.className}${right ? ', right' : `, taken for ${best}`}</h4>
<ul class="layers">
${layers.map(({ layer, kind, units, active, least, most, values }) => {
  const name = kind === 'hidden' ? `Layer ${layer}` : kind === 'input' ? 'Input' : 'Output'
  const alt = `${name}: activations of ${units} ${kind === 'input' ? 'pixels' : 'units'}`
  return html`<li><h5>${name}</h5>
${
  kind === 'output' && units <= MOST_NAMED
    ? outputBars(values, classes, truth.label)
    : image(
        kind === 'input' ? 'pixels layer' : 'pixels layer units',
        alt,
        kind === 'input'
          ? grayPixels(
              Uint8Array.from(values, value => Math.round(255 * value)),
              shape.height,
              shape.width,
            )
          : unitPixels(values, null),
      )
}
<p class="then">${kind === 'input' ? html`${shape.height} × ${shape.width} pixels` : html`${units} ${kind === 'output' ? 'classes' : 'units'}, ${data(active, value => formatPercent(value, 0))} active`}<br>from ${data(least, short)} to ${data(most, short)}</p></li>
`
})}</ul>
`
}

const short = (value: number): string => String(Number(value.toPrecision(3)))

function outputBars(values: Float32Array, classes: TestReport['classes'], truth: number): Html {
  return html`<table class="output"><caption>Probability of each class</caption><tbody>${[...values].map(
    (value, label) =>
      html`<tr${label === truth && html` class="is"`}><th scope="row">${classes[label].className}</th><td><svg class="meter" viewBox="0 0 60 8" aria-hidden="true"><rect class="track" width="60" height="8" rx="2"/><rect class="bar" width="${Math.round(600 * Math.min(1, Math.max(0, value))) / 10}" height="8" rx="2"/></svg>${share(value)}</td></tr>`,
  )}</tbody></table>`
}
