/** Page `Form`: input of a table's columns, output of the prediction while they change. Browser. */
import { formatCounted } from '../../format.js'
import type { ModelFacts, PredictResponse } from '../protocol.js'
import { prepareAnswer, showAnswer } from './answer.js'
import { byId, element, messageOf, request } from './dom.js'
import { type Field, type FieldValue, fieldOf, nameOf } from './fields.js'
import { lineOf, RunPicker, showTrouble } from './pick-run.js'

/** Delay after the first change of several, which are then asked together. */
const COLLECT_MS = 30
/** Delay after the last change before a screen reader announces the prediction. */
const SAY_MS = 700
/** Columns from which on they can be searched. */
const SEARCHED = 10

class FormPage {
  #model: ModelFacts | null = null
  #fields: readonly Field[] = []
  /** True if the fields have changed since the last request. */
  #dirty = false
  #asking = false
  #collectTimer = 0
  #sayTimer = 0
  readonly #picker = new RunPicker({
    prefers: ({ dataset }) => dataset === 'table',
    onChoose: () => this.#forget(),
    onModel: model => this.#choose(model),
  })

  constructor() {
    byId('usual').addEventListener('click', () => {
      for (const field of this.#fields) field.reset()
      this.#changed()
    })
    const find = byId<HTMLInputElement>('find')
    find.addEventListener('input', () => this.#find(find.value))
  }

  async start(): Promise<void> {
    await this.#picker.start()
  }

  #choose(model: ModelFacts): void {
    if (model.table === null) {
      const instead = model.input === 'image' ? 'Draw takes a picture' : 'POST /predict takes its features'
      throw new Error(`${this.#picker.run} is no network of a table with named columns: ${instead}`)
    }
    const { columns, targets, unused } = model.table
    this.#model = model
    byId('title').textContent = `Predict ${targets.map(nameOf).join(', ')}`
    byId('facts').textContent = lineOf(model, formatCounted(columns.length, 'column'))
    this.#fields = columns.map((column, i) => fieldOf(column, `field-${i}`, () => this.#changed()))
    byId('fields').replaceChildren(...this.#fields.map(field => field.element))
    byId('search').hidden = columns.length < SEARCHED
    byId<HTMLInputElement>('find').value = ''
    this.#find('')
    byId('unused-box').hidden = unused.length === 0
    byId('unused').replaceChildren(
      ...unused.map(({ column, reason }) => element('li', { textContent: `${nameOf(column)}: ${reason}` })),
    )
    byId('work').hidden = false
    prepareAnswer(model)
    this.#changed()
  }

  /** Clears what the page shows of the previously chosen network. */
  #forget(): void {
    this.#model = null
    this.#fields = []
    window.clearTimeout(this.#sayTimer)
    byId('work').hidden = true
    for (const id of ['fields', 'bars', 'unused']) byId(id).replaceChildren()
    for (const id of ['facts', 'verdict', 'said']) byId(id).textContent = ''
  }

  #find(text: string): void {
    const wanted = text.trim().toLowerCase()
    let found = 0
    for (const field of this.#fields) {
      const fits = nameOf(field.column).toLowerCase().includes(wanted)
      field.element.hidden = !fits
      if (fits) found++
    }
    byId('found').textContent = wanted === '' ? '' : `${found} of ${formatCounted(this.#fields.length, 'column')}`
  }

  #changed(): void {
    this.#dirty = true
    byId('verdict').ariaBusy = 'true' // until the answer is for the current fields
    window.clearTimeout(this.#sayTimer)
    if (this.#asking || this.#collectTimer !== 0) return
    this.#collectTimer = window.setTimeout(() => {
      this.#collectTimer = 0
      void this.#ask()
    }, COLLECT_MS)
  }

  /** Sends one request at a time, each for the current fields, so that the last answer is about the last change. */
  async #ask(): Promise<void> {
    this.#asking = true
    while (this.#dirty && this.#model) {
      this.#dirty = false
      const model = this.#model
      try {
        const row = rowOf(this.#fields)
        const body = { run: this.#picker.run, row }
        byId<HTMLTextAreaElement>('body').value = JSON.stringify(body, null, 1)
        const { predictions } = await request<PredictResponse>('/predict', body)
        if (this.#model !== model) continue // the answer of a network that is no longer chosen
        const sentence = showAnswer(predictions[0], model)
        this.#sayTimer = window.setTimeout(() => {
          byId('said').textContent = sentence
        }, SAY_MS)
        showTrouble(null)
      } catch (error) {
        if (this.#model !== model) continue
        prepareAnswer(model)
        showTrouble(error instanceof WrongField ? error.message : messageOf(error))
      }
      byId('verdict').ariaBusy = String(this.#dirty)
    }
    this.#asking = false
  }
}

/** A field that has no value that could be asked. */
class WrongField extends Error {}

/** By name, whatever the names are: `__proto__` too. */
function rowOf(fields: readonly Field[]): Record<string, FieldValue> {
  return Object.fromEntries(
    fields.map((field): [string, FieldValue] => {
      try {
        return [field.column, field.value()]
      } catch (error) {
        throw new WrongField((error as Error).message)
      }
    }),
  )
}

await new FormPage().start()
