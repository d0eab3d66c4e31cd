/** Fields of a form, one for each column of a table, by its kind. Browser. Names and values are inserted as text. */
import type {
  BooleanEncoding,
  CategoryEncoding,
  ColumnEncoding,
  DateEncoding,
  EmbeddedEncoding,
  NumberEncoding,
} from '../../data/table/encoding.js'
import { element } from './dom.js'
import { sliderOf, toStep } from './slider.js'

/** Value of a field as `POST /predict` takes it; null: missing. */
export type FieldValue = string | number | boolean | null

export interface Field {
  readonly column: string
  readonly element: HTMLElement
  /** Throws an Error that says what is wrong with what was typed. */
  value(): FieldValue
  /** Sets what is usual in the training rows. */
  reset(): void
}

/** Categories up to which a list is shown; more are suggested while one types. */
const MOST_LISTED = 200
const DAY = 86_400

/** `onChange` is called after every change by the user. `id` begins the ids of the field's elements. */
export function fieldOf(encoding: ColumnEncoding, id: string, onChange: () => void): Field {
  const made = controlOf(encoding, id)
  const { column } = encoding
  const name = element('label', { htmlFor: id, textContent: nameOf(column), title: column, className: 'name' })
  const row = element('div', { className: `field ${made.kind}` }, name, ...made.elements)
  row.addEventListener('input', onChange)
  made.reset()
  return { column, element: row, value: made.value, reset: made.reset }
}

/** Name of a column, where it is shown. */
export const nameOf = (column: string): string => (column.trim() === '' ? '(no name)' : column)

interface Control extends Pick<Field, 'value' | 'reset'> {
  readonly kind: 'number' | 'boolean' | 'date' | 'category' | 'text'
  readonly elements: readonly HTMLElement[]
}

function controlOf(encoding: ColumnEncoding, id: string): Control {
  switch (encoding.kind) {
    case 'number':
      return numberControl(encoding, id)
    case 'boolean':
      return booleanControl(encoding, id)
    case 'date':
      return dateControl(encoding, id)
    case 'category':
    case 'embedding':
      return encoding.categories.length > MOST_LISTED ? textControl(encoding, id) : listControl(encoding, id)
  }
}

/** A slider over the values of the training rows, and beside it an input for any number; an empty one is missing. */
function numberControl(encoding: NumberEncoding, id: string): Control {
  const range = sliderOf(encoding)
  const attributes = { min: String(range.min), max: String(range.max), step: String(range.step) }
  const slider = element('input', { type: 'range', ...attributes })
  slider.ariaLabel = `${nameOf(encoding.column)}, slider from ${range.min} to ${range.max}`
  slider.title = `${range.min} to ${range.max}`
  const number = element('input', { type: 'number', id, step: attributes.step, placeholder: 'missing' })
  const usual = toStep(encoding.fill, range)
  const missing = missingBox(encoding.column, number, {
    usual: () => String(usual),
    onChange: () => slider.classList.toggle('off', number.value === ''),
  })
  const follow = () => {
    if (number.value !== '') slider.value = number.value
    missing.follow()
  }
  slider.addEventListener('input', () => {
    number.value = slider.value
    missing.follow()
  })
  number.addEventListener('input', follow)
  return {
    kind: 'number',
    elements: [slider, number, missing.element],
    value: () => {
      if (number.validity.badInput) throw new Error(`${nameOf(encoding.column)} is not a number`)
      return number.value === '' ? null : Number(number.value)
    },
    reset: () => {
      number.value = String(usual)
      follow()
    },
  }
}

function booleanControl({ column, fill }: BooleanEncoding, id: string): Control {
  const box = element('input', { type: 'checkbox', id })
  const missing = element('input', { type: 'checkbox' })
  const shown = element('span', { className: 'faint', ariaHidden: 'true' })
  const follow = () => {
    box.disabled = missing.checked
    shown.textContent = missing.checked ? 'missing' : box.checked ? 'yes' : 'no'
  }
  for (const each of [box, missing]) each.addEventListener('input', follow)
  return {
    kind: 'boolean',
    elements: [element('span', { className: 'tick' }, box, shown), missingLabel(column, missing)],
    value: () => (missing.checked ? null : box.checked),
    reset: () => {
      box.checked = fill === 1
      missing.checked = false
      follow()
    },
  }
}

/** A date, a time of day, or both, by the training rows; an empty one is missing. */
function dateControl({ column, fill, seen }: DateEncoding, id: string): Control {
  const isTime = seen !== undefined && seen.min >= 0 && seen.max < DAY
  const isDay = seen?.step === DAY
  const type = isTime ? 'time' : isDay ? 'date' : 'datetime-local'
  const input = element('input', { type, id, ...(!isDay && { step: seen?.step === 60 ? '60' : '1' }) })
  const text = new Date(Math.round(fill) * 1000).toISOString().replace('.000Z', '')
  const usual = isTime ? text.slice(11) : isDay ? text.slice(0, 10) : text
  const missing = missingBox(column, input, { usual: () => usual, onChange: () => {} })
  input.addEventListener('input', missing.follow)
  return {
    kind: 'date',
    elements: [input, missing.element],
    value: () => {
      if (input.validity.badInput) throw new Error(`${nameOf(column)} is not a whole date`)
      return input.value === '' ? null : input.value
    },
    reset: () => {
      input.value = usual
      missing.follow()
    },
  }
}

type Category = CategoryEncoding | EmbeddedEncoding

/** A list of the categories, another value, which can be typed, and a missing one. */
function listControl({ column, categories, usual, ...encoding }: Category, id: string): Control {
  const [other, missing] = [categories.length, categories.length + 1].map(String)
  const options = categories.map((name, i) => element('option', { value: String(i), textContent: name }))
  const select = element('select', { id }, ...options)
  select.append(
    element('option', { value: other, textContent: 'another value …' }),
    element('option', { value: missing, textContent: 'missing' }),
  )
  const typed = element('input', { type: 'text', hidden: true, placeholder: 'any other', autocomplete: 'off' })
  typed.ariaLabel = `Another value of ${nameOf(column)}`
  const follow = () => {
    typed.hidden = select.value !== other
  }
  select.addEventListener('input', follow)
  const isHashed = encoding.kind === 'category' && encoding.buckets > 0
  typed.title = isHashed
    ? 'Values that are not in the list share a few features'
    : 'All values that are not in the list are equal'
  return {
    kind: 'category',
    elements: [select, typed],
    value: () => {
      if (select.value === missing) return null
      return select.value === other ? typed.value.trim() || stranger(categories) : categories[Number(select.value)]
    },
    reset: () => {
      select.value = String(Math.max(0, categories.indexOf(usual ?? '')))
      follow()
    },
  }
}

/** Many categories: a text, with suggestions; an empty one is missing. */
function textControl({ column, categories, usual }: Category, id: string): Control {
  const list = element('datalist', { id: `${id}-list` }, ...categories.map(value => element('option', { value })))
  const input = element('input', { type: 'text', id, placeholder: 'missing', autocomplete: 'off' })
  input.setAttribute('list', list.id)
  const first = usual ?? categories[0]
  const missing = missingBox(column, input, { usual: () => first, onChange: () => {} })
  input.addEventListener('input', missing.follow)
  return {
    kind: 'text',
    elements: [input, list, missing.element],
    value: () => input.value.trim() || null,
    reset: () => {
      input.value = first
      missing.follow()
    },
  }
}

/** A value that is none of the categories. */
function stranger(categories: readonly string[]): string {
  let name = 'another value'
  while (categories.includes(name)) name += ' '
  return name
}

/** A box that empties an input, and fills it again; `follow` sets it by the input. */
function missingBox(
  column: string,
  input: HTMLInputElement,
  { usual, onChange }: { readonly usual: () => string; readonly onChange: () => void },
): { readonly element: HTMLElement; readonly follow: () => void } {
  const box = element('input', { type: 'checkbox' })
  let before = usual()
  const follow = () => {
    if (input.value !== '') before = input.value
    box.checked = input.value === '' && !input.validity.badInput
    onChange()
  }
  box.addEventListener('input', () => {
    input.value = box.checked ? '' : before
    onChange()
  })
  return { element: missingLabel(column, box), follow }
}

function missingLabel(column: string, box: HTMLInputElement): HTMLElement {
  box.ariaLabel = `${nameOf(column)} is missing`
  return element('label', { className: 'missing faint small' }, box, 'missing')
}
