/** HTML and SVG as tagged templates that escape interpolated values. Pure; any thread. */

/** Markup that is not escaped again. */
export class Html {
  readonly text: string

  constructor(parts: readonly string[], values: readonly HtmlValue[]) {
    this.text = parts.map((part, i) => (i === 0 ? part : textOf(values[i - 1]) + part)).join('')
  }

  toString(): string {
    return this.text
  }
}

/** Interpolated value; null, undefined and false produce nothing. */
export type HtmlValue = Html | string | number | null | undefined | false | readonly HtmlValue[]

/** Marks trusted text as markup, for places without escaping such as the content of a style element. */
export const verbatim = (text: string): Html => new Html([text], [])

export const html = (parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html => new Html(parts, values)

/** Formatted number, with the exact value in a `data` element for programs. */
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
