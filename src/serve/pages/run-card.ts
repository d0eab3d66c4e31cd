/** Card of a run on `Watch`: progress, speed, and mistakes. Browser. */
import { formatCount, formatDuration, formatEta, formatLoss, formatPercent } from '../../format.js'
import type { MistakesResponse, RunEntry } from '../protocol.js'
import { qualityOf, RunCurves } from './curves.js'
import { element, messageOf, request } from './dom.js'
import { bytesOf, drawImage } from './heatmap.js'

const MISTAKES = 12
const UNKNOWN = '–'

export class RunCard {
  readonly curves = new RunCurves()
  readonly root: HTMLElement
  readonly #badge = element('span', { className: 'badge' })
  readonly #facts = element('p', { className: 'faint small' })
  readonly #done = element('div', { className: 'done' })
  readonly #progress = element('div', { className: 'progress' }, this.#done)
  readonly #numbers = element('dl', { className: 'numbers' })
  readonly #workers = element('table', { className: 'workers', hidden: true })
  readonly #button = element('button', { type: 'button', textContent: 'Show current mistakes', ariaExpanded: 'false' })
  readonly #note = element('span', { className: 'faint small', role: 'status' })
  readonly #mistakes = element('ul', { className: 'mistakes', hidden: true })
  #entry: RunEntry
  #looking = false

  constructor(entry: RunEntry, colourVariable: string) {
    this.#entry = entry
    this.#progress.role = 'progressbar'
    this.#progress.ariaLabel = `Progress of ${entry.id}`
    this.#progress.ariaValueMin = '0'
    this.#progress.ariaValueMax = '100'
    this.#button.addEventListener('click', () => this.#toggle())
    this.root = element(
      'article',
      { className: 'card run' },
      element('h2', {}, entry.id, ' ', this.#badge),
      ...[this.#facts, this.#progress, this.#numbers, this.#workers],
      element('p', { className: 'row' }, this.#button, this.#note),
      this.#mistakes,
    )
    this.root.style.setProperty('--mark', `var(${colourVariable})`)
  }

  get entry(): RunEntry {
    return this.#entry
  }

  set entry(entry: RunEntry) {
    const hasNewWeights = entry.checkpoint !== this.#entry.checkpoint
    this.#entry = entry
    if (hasNewWeights && !this.#mistakes.hidden) void this.#look()
    this.render()
  }

  render(): void {
    const { curves } = this
    const { status, dataset, hidden, checkpoint } = this.#entry
    const { start, summary } = curves
    this.#badge.className = `badge ${status}`
    this.#badge.textContent = status === 'weights' ? 'a checkpoint' : status
    this.#facts.textContent = start
      ? `${dataset} · ${start.network ?? start.widths.join('-')} · ${formatCount(start.parameters)} parameters · ${start.backend}, ${start.workers} ${start.workers === 1 ? 'worker' : 'workers'}`
      : `${dataset} · hidden layers ${hidden.join('-')}`
    const percent = 100 * curves.done
    this.#done.style.width = `${percent}%`
    this.#progress.ariaValueNow = percent.toFixed(0)
    this.#progress.ariaValueText = formatPercent(curves.done, 0)
    this.#progress.hidden = status === 'weights'
    this.#button.hidden = curves.isRegression || dataset === 'table' // rows of numbers have no picture
    this.#button.disabled = checkpoint === null
    this.#button.title = checkpoint === null ? 'There is no checkpoint yet' : `By ${checkpoint}`
    const epochs = start?.experiment.train.epochs
    const epoch = start ? curves.step / start.stepsPerEpoch : 0
    const held = summary?.test ?? null
    const quality = curves.isRegression ? 'R²' : 'accuracy'
    this.#numbers.replaceChildren(
      ...numbers([
        ['epoch', start ? `${epoch.toFixed(Number.isInteger(epoch) ? 0 : 1)} of ${formatCount(epochs ?? 0)}` : UNKNOWN],
        [curves.isRegression ? 'loss' : 'loss, nats', shown(curves.loss, formatLoss)],
        [quality, shown(curves.accuracy, formatPercent)],
        ...(curves.validation ? ([[`validation ${quality}`, score(qualityOf(curves.validation))]] as const) : []),
        ...(held ? ([[`test ${quality}`, score(qualityOf(held))]] as const) : []),
        ['samples/s', shown(curves.samplesPerSecond, formatCount)],
        ...(curves.exchangeShares.length > 0
          ? [['ranks in exchanges', curves.exchangeShares.map(share => formatPercent(share)).join(', ')] as const]
          : []),
        summary
          ? ['time of training', formatDuration(summary.seconds)]
          : ['time left', status === 'running' ? shown(curves.etaSeconds, formatEta) : UNKNOWN],
        ...(curves.restarts > 0 ? ([['restarts of workers', formatCount(curves.restarts)]] as const) : []),
        ...(curves.leftOut > 0 ? ([['not finite, left out', formatCount(curves.leftOut)]] as const) : []),
      ]),
    )
    this.#showWorkers()
  }

  #showWorkers(): void {
    const { workers } = this.curves
    this.#workers.hidden = workers.length === 0
    if (workers.length === 0) return
    const cell = (textContent: string) => element('td', { textContent })
    const head = (textContent: string) => element('th', { scope: 'col', textContent })
    this.#workers.replaceChildren(
      element('caption', { className: 'hidden', textContent: `Workers of ${this.#entry.id}` }),
      element('thead', {}, element('tr', {}, head('worker'), head('samples/s'), head('computing'))),
      element(
        'tbody',
        {},
        ...workers.map(({ samplesPerSecond, busy }, i) =>
          element(
            'tr',
            {},
            element('th', { scope: 'row', textContent: String(i + 1) }),
            cell(formatCount(samplesPerSecond)),
            cell(formatPercent(busy, 0)),
          ),
        ),
      ),
    )
  }

  #toggle(): void {
    const open = this.#mistakes.hidden
    this.#mistakes.hidden = !open
    this.#button.ariaExpanded = String(open)
    this.#button.textContent = open ? 'Hide mistakes' : 'Show current mistakes'
    this.#note.textContent = ''
    if (open) void this.#look()
  }

  /** Loads mistakes on request only, because it costs the server a pass over a thousand images. */
  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      const found = await request<MistakesResponse>(
        `/runs/${encodeURIComponent(this.#entry.id)}/mistakes?count=${MISTAKES}`,
      )
      const { looked, wrong, mistakes, checkpoint } = found
      this.#note.textContent = `${formatCount(wrong)} of the first ${formatCount(looked)} test images are wrong, by ${checkpoint}`
      this.#mistakes.replaceChildren(
        ...mistakes.map(({ pixels, className, predicted, index }) => {
          const canvas = element('canvas', { className: 'pixels' })
          canvas.setAttribute('role', 'img')
          canvas.ariaLabel = `Test image ${index}`
          drawImage(canvas, bytesOf(pixels), found)
          const says = `predicted ${predicted.className}, ${formatPercent(predicted.confidence, 0)}`
          return element('li', {}, canvas, says, element('br'), `is ${className}`)
        }),
      )
    } catch (error) {
      this.#note.textContent = messageOf(error)
    } finally {
      this.#looking = false
    }
  }
}

const score = (value: number | string): string => (typeof value === 'number' ? formatPercent(value) : value)
const shown = (value: number | null, text: (value: number) => string): string =>
  value === null ? UNKNOWN : text(value)

const numbers = (rows: readonly (readonly [name: string, value: string])[]): HTMLElement[] =>
  rows.map(([name, value]) =>
    element('div', {}, element('dt', { textContent: name }), element('dd', { textContent: value })),
  )
