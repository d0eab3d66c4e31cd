/** Helpers for the DOM and for requests to the server. Browser. Text is inserted as text, never as HTML. */

/** Element of the page's HTML, by id. */
export function byId<E extends HTMLElement>(id: string): E {
  const found = document.getElementById(id)
  if (!found) throw new Error(`page: #${id} is missing`)
  return found as E
}

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Partial<HTMLElementTagNameMap[Tag]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

/** Error response of the server. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

/** Requests JSON from the server. Throws Refused, or a TypeError where there is no server. */
export async function request<Answer>(address: string, body?: object): Promise<Answer> {
  const response = await fetch(
    address,
    body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
  )
  const answer = await response.json()
  if (!response.ok) throw new Refused(response.status, answer.message ?? response.statusText)
  return answer as Answer
}

export const messageOf = (error: unknown): string =>
  error instanceof Refused ? error.message : 'the server does not answer; is it still running?'
