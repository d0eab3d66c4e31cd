/** HTML and SVG as tagged templates that escape whatever is put into them. Pure; any thread. */

/** Text that is markup already. */
export class Html {
  readonly text: string

  constructor(parts: readonly string[], values: readonly HtmlValue[]) {
    this.text = parts.map((part, i) => (i === 0 ? part : textOf(values[i - 1]) + part)).join('')
  }

  toString(): string {
    return this.text
  }
}

/** Nothing is written for null, undefined and false. */
export type HtmlValue = Html | string | number | null | undefined | false | readonly HtmlValue[]

/** Our own text in a place where nothing is escaped, as the content of a style element. */
export const verbatim = (text: string): Html => new Html([text], [])

export const html = (parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html => new Html(parts, values)

/** A number as people read it, with the number itself for programs. */
export const data = (value: number | null | undefined, format: (value: number) => string): Html =>
  value === null || value === undefined
    ? html`<span class="none">none</span>`
    : html`<data value="${String(value)}">${format(value)}</data>`

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, character => ENTITIES[character])

function textOf(value: HtmlValue): string {
  if (value === null || value === undefined || value === false) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(textOf).join('')
  return escapeHtml(String(value))
}
