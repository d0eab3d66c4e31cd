/** Small words for the page's tree, and requests to the server. Browser. Text goes in as text, never as HTML. */

/** An element that the page's HTML has. */
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

/** The server said no, in these words. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

/** A JSON answer of the server. Throws Refused, or a TypeError where there is no server. */
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
