/** Page `Draw`: input from paper or test images, output of probabilities and layers. Browser. */
import { formatCount, formatPercent } from '../../format.js'
import { mapsTitle, mosaicOf } from '../../picture/mosaic.js'
import type {
  ClassPredictionJson,
  ImagesResponse,
  LayerJson,
  ModelFacts,
  PredictResponse,
  TestImageJson,
} from '../protocol.js'
import { Board } from './board.js'
import { byId, element, messageOf, request } from './dom.js'
import { bytesOf, columnsFor, drawImage, drawMaps, drawUnits } from './heatmap.js'
import { type Photo, takePhotos } from './photo.js'
import { lineOf, RunPicker, showTrouble } from './pick-run.js'

/** Delay after the last change before a screen reader announces the prediction. */
const SAY_MS = 700
/** Delay between the highlights of two layers. */
const LIGHT_MS = 180
const IMAGES = 30
/** Side of a unit's square in a layer, in pixels; smaller for more units. */
const UNIT = { most: 22, least: 3, room: 460 } as const

interface Shown {
  readonly image: string | readonly number[]
  /** Details of a test image. */
  readonly truth: string | null
}

class DrawPage {
  readonly #board: Board
  readonly #picker = new RunPicker({
    prefers: () => true,
    onChoose: () => {
      this.#model = null
    },
    onModel: model => this.#choose(model),
  })
  #model: ModelFacts | null = null
  #turn = 0
  #shown: Shown | null = null
  /** Changes since the last request. */
  #dirty = false
  #asking = false
  #light = false
  #sayTimer = 0

  constructor() {
    this.#board = new Board(byId('board'), byId('pen'), {
      onChange: () => this.#drawn(),
      onStroke: () => {
        this.#light = true
        this.#changed()
      },
    })
    byId('clear').addEventListener('click', () => this.#board.clear())
    byId('undo').addEventListener('click', () => this.#board.undo())
    takePhotos(byId<HTMLInputElement>('photo'), { onPhoto: photo => this.#takePhoto(photo), onTrouble: showTrouble })
    byId('others').addEventListener('click', () => void this.#showExamples(this.#turn + 1))
    const width = byId<HTMLInputElement>('width')
    width.addEventListener('input', () => {
      this.#board.penWidth = width.valueAsNumber
    })
  }

  async start(): Promise<void> {
    await this.#picker.start()
  }

  async #choose(model: ModelFacts): Promise<void> {
    if (model.input !== 'image' || model.task !== 'classification') {
      this.#forget()
      const instead = model.table === null ? 'POST /predict answers for it' : 'Form has its columns'
      throw new Error(`${this.#picker.run} is no network of images and their classes: ${instead}, Watch shows it`)
    }
    this.#model = model
    this.#showModel(model)
    this.#changed()
    await this.#showExamples(0)
  }

  #showModel(model: ModelFacts): void {
    const { dataset, classNames, height, width, channels } = model
    const digits = dataset === 'mnist' || dataset === 'digits'
    byId('title').textContent = digits ? 'Draw a digit' : 'Show it an image'
    byId('facts').textContent = lineOf(model)
    byId('seen-size').textContent = `${width} × ${height} pixels${channels === 3 ? ', in colour' : ''}`
    byId('bars').replaceChildren(
      ...classNames.map(name =>
        element(
          'tr',
          {},
          element('th', { scope: 'row', textContent: name }),
          element('td', {}, element('div', { className: 'track' }, element('div', { className: 'fill' }))),
          element('td', { textContent: '–' }),
        ),
      ),
    )
    byId('layers').replaceChildren()
    const seen = byId<HTMLCanvasElement>('seen')
    drawImage(seen, new Uint8Array(height * width * channels), model)
  }

  /** Clears what the page shows of the previously chosen network. */
  #forget(): void {
    for (const id of ['bars', 'layers', 'steps', 'examples']) byId(id).replaceChildren()
    for (const id of ['facts', 'verdict', 'seen-size', 'examples-note']) byId(id).textContent = ''
    window.clearTimeout(this.#sayTimer)
  }

  /** Makes the paper the current input. */
  #drawn(): void {
    this.#pressed(null)
    byId('photo-name').textContent = ''
    this.#shown = this.#board.isEmpty ? null : { image: this.#board.picture(), truth: null }
    this.#changed()
  }

  #takePhoto({ data, bitmap, name }: Photo): void {
    this.#pressed(null)
    this.#board.showPhoto(bitmap)
    byId('photo-name').textContent = name
    this.#shown = { image: data, truth: null }
    this.#light = true
    this.#changed()
  }

  #changed(): void {
    this.#dirty = true
    byId('verdict').ariaBusy = 'true' // until the answer is for the current input
    if (!this.#asking) void this.#ask()
  }

  /** Sends one request at a time, each for the current input. */
  async #ask(): Promise<void> {
    this.#asking = true
    while (this.#dirty && this.#model) {
      this.#dirty = false
      const shown = this.#shown
      if (shown === null) {
        this.#empty()
        continue
      }
      const { run } = this.#picker
      try {
        const { predictions } = await request<PredictResponse>('/predict', { run, image: shown.image, layers: true })
        if (run !== this.#picker.run) continue // the answer of a network that is no longer chosen
        const [prediction] = predictions
        if (this.#shown !== null && 'label' in prediction) this.#show(prediction, shown.truth)
        showTrouble(null)
      } catch (error) {
        showTrouble(messageOf(error))
        byId('verdict').ariaBusy = 'false'
      }
    }
    this.#asking = false
  }

  #empty(): void {
    if (this.#model) this.#showModel(this.#model)
    byId('steps').replaceChildren()
    byId('seen').ariaLabel = 'Nothing yet'
    window.clearTimeout(this.#sayTimer)
    byId('verdict').textContent = 'Draw something.'
    byId('verdict').ariaBusy = 'false'
  }

  #show(prediction: ClassPredictionJson, truth: string | null): void {
    const model = this.#model!
    const { height, width } = model
    const { className, confidence, probabilities, label, pixels = [], preprocessing, layers = [] } = prediction
    const seen = byId<HTMLCanvasElement>('seen')
    drawImage(seen, pixels, model)
    seen.ariaLabel = `The image as the network sees it, ${width} by ${height} pixels`
    byId('steps').replaceChildren(...preprocessing.map(step => element('li', { textContent: step })))
    for (const [i, row] of [...byId<HTMLTableSectionElement>('bars').rows].entries()) {
      row.className = i === label ? 'best' : ''
      row.querySelector<HTMLElement>('.fill')!.style.width = `${100 * probabilities[i]}%`
      row.cells[2].textContent = formatPercent(probabilities[i], 1)
    }
    this.#showLayers(layers)
    window.clearTimeout(this.#sayTimer)
    this.#sayTimer = window.setTimeout(() => this.#say(className, confidence, truth), truth === null ? SAY_MS : 0)
  }

  #say(className: string, confidence: number, truth: string | null): void {
    const right = truth === className
    byId('verdict').replaceChildren(
      element('strong', { textContent: className }),
      `with ${formatPercent(confidence, 1)} `,
      ...(truth === null
        ? []
        : [
            element('span', {
              className: right ? 'right' : 'wrong',
              textContent: right ? '✓ right' : `✗ wrong, it is ${truth}`,
            }),
          ]),
    )
    byId('verdict').ariaBusy = String(this.#asking)
  }

  #showLayers(layers: readonly LayerJson[]): void {
    const panels = byId('layers')
    const shown = layers.filter(({ kind }) => kind !== 'input')
    if (panels.childElementCount !== shown.length) panels.replaceChildren(...shown.map(panelFor))
    for (const [i, layer] of shown.entries()) {
      const panel = panels.children[i] as HTMLElement
      const canvas = panel.querySelector('canvas')!
      const { least, most } = layer.maps ? drawMaps(canvas, layer.values, layer.maps) : drawUnits(canvas, layer.values)
      const active = layer.kind === 'output' ? 'probabilities' : `${formatPercent(layer.active, 0)} active`
      panel.querySelector('.note')!.textContent = `${active}, colours from ${short(least)} to ${short(most)}`
      canvas.ariaLabel = `${titleOf(layer)}: ${active}`
      if (this.#light) this.#lightUp(panel, i)
    }
    this.#light = false
  }

  #lightUp(panel: HTMLElement, place: number): void {
    panel.classList.remove('lit')
    void panel.offsetWidth // an animation begins anew only after a layout
    panel.querySelector('canvas')!.style.animationDelay = `${place * LIGHT_MS}ms`
    panel.classList.add('lit')
  }

  async #showExamples(turn: number): Promise<void> {
    this.#turn = turn
    const run = this.#picker.run
    const note = byId('examples-note')
    try {
      const found = await request<ImagesResponse>(
        `/runs/${encodeURIComponent(run)}/images?count=${IMAGES}&turn=${turn}`,
      )
      if (this.#picker.run !== run) return
      byId('examples').replaceChildren(...found.images.map(image => this.#exampleFor(image, found)))
      note.textContent = `Choose one of ${formatCount(found.rows)} to show it to the network. None of them was trained on.`
    } catch (error) {
      byId('examples').replaceChildren()
      note.textContent = messageOf(error)
    }
  }

  #exampleFor({ index, className, pixels }: TestImageJson, shape: ImagesResponse): HTMLElement {
    const canvas = element('canvas', { className: 'pixels' })
    const bytes = bytesOf(pixels)
    drawImage(canvas, bytes, shape)
    const button = element('button', { type: 'button', title: className, ariaPressed: 'false' }, canvas)
    button.ariaLabel = `Test image ${index}: ${className}`
    button.addEventListener('click', () => {
      this.#pressed(button)
      byId('photo-name').textContent = ''
      this.#shown = { image: [...bytes], truth: className }
      this.#light = true
      this.#changed()
    })
    return button
  }

  #pressed(button: HTMLElement | null): void {
    for (const other of byId('examples').children) other.ariaPressed = String(other === button)
  }
}

const titleOf = ({ kind, layer, units, maps }: LayerJson): string =>
  kind === 'output'
    ? `Output, ${units} classes`
    : `Hidden layer ${layer}, ${maps ? mapsTitle(maps) : `${formatCount(units)} units`}`

function panelFor(layer: LayerJson): HTMLElement {
  const canvas = element('canvas', { className: 'pixels' })
  canvas.setAttribute('role', 'img')
  const panel = element(
    'figure',
    { className: 'layer' },
    element('figcaption', {}, titleOf(layer), element('br'), element('span', { className: 'note faint' })),
    canvas,
  )
  const columns = layer.maps ? mosaicOf(layer.maps).width : columnsFor(layer.units)
  const side = Math.max(UNIT.least, Math.min(UNIT.most, Math.floor(UNIT.room / columns)))
  panel.style.width = `min(100%, ${Math.max(columns * side, 300)}px)`
  canvas.style.maxWidth = `${columns * side}px`
  return panel
}

const short = (value: number): string => (value === 0 ? '0' : value.toPrecision(2))

await new DrawPage().start()
