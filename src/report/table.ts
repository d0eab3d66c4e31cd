/** Tables with captions; a table that is too wide scrolls. Pure; any thread. */
import { type Html, type HtmlValue, html } from './html.js'

export interface Table {
  readonly caption: HtmlValue
  /** Accessible name of the scrolling region. */
  readonly name: string
  readonly head: readonly HtmlValue[]
  /** Rows; the first cell of each is its heading. */
  readonly rows: readonly (readonly HtmlValue[])[]
  /** Class of the table: `text` where cells are words; numbers are right-aligned. */
  readonly kind?: string
}

export function table({ caption, name, head, rows, kind = '' }: Table): Html {
  return html`<div class="scroll" role="group" aria-label="${name}" tabindex="0">
<table class="${kind}">
<caption><span>${caption}</span></caption>
<thead><tr>${head.map(cell => html`<th scope="col">${cell}</th>`)}</tr></thead>
<tbody>
${rows.map(([first, ...cells]) => html`<tr><th scope="row">${first}</th>${cells.map(cell => html`<td>${cell}</td>`)}</tr>\n`)}</tbody>
</table>
</div>
`
}

/** Content that is collapsed until the reader opens it. */
export const folded = (summary: HtmlValue, content: HtmlValue): Html =>
  html`<details><summary>${summary}</summary>\n${content}</details>\n`
