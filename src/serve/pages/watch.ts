/** Page `Watch`: cards and charts from the server's live messages. Browser. */
import type { LiveMessages, RunEntry } from '../protocol.js'
import { Charts, colourVariable } from './charts.js'
import { byId } from './dom.js'
import { RunCard } from './run-card.js'

/** Delay before reconnecting after a refusal, where a browser does not reconnect by itself. */
const RETRY_MS = 3000

class WatchPage {
  readonly #cards = new Map<string, RunCard>()
  readonly #charts = new Charts(byId('charts'))
  /** Parts to be drawn with the next frame. */
  #stale = new Set<RunCard>()
  #anew = false
  #frame = 0

  connect(): void {
    // Starts over: present curves belong to another connection.
    for (const { curves } of this.#cards.values()) curves.reset()
    const source = new EventSource('/events')
    source.addEventListener('open', () => this.#say('live', 'live'))
    source.addEventListener('error', () => {
      const over = [...this.#cards.values()].every(({ curves }) => curves.summary !== null)
      this.#say('lost', over && this.#cards.size > 0 ? 'the server has ended' : 'no connection; trying again')
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.connect(), RETRY_MS)
    })
    const on = <Name extends keyof LiveMessages>(name: Name, handle: (message: LiveMessages[Name]) => void) =>
      source.addEventListener(name, event => handle(JSON.parse((event as MessageEvent<string>).data)))
    on('status', entry => this.#status(entry))
    on('reset', ({ run }) => this.#change(run, card => card.curves.reset()))
    on('metrics', ({ run, events }) => this.#change(run, card => card.curves.add(events)))
    on('progress', ({ run, event }) => this.#change(run, card => card.curves.progress(event)))
  }

  #status(entry: RunEntry): void {
    byId('waiting').hidden = true
    const card = this.#cards.get(entry.id)
    if (card) {
      card.entry = entry
      return
    }
    const made = new RunCard(entry, colourVariable(this.#cards.size))
    this.#cards.set(entry.id, made)
    byId('cards').append(made.root)
    byId('title').textContent = this.#cards.size === 1 ? `Watch ${entry.name}` : `Watch ${this.#cards.size} runs`
    this.#anew = true
    this.#draw(made)
  }

  #change(run: string, change: (card: RunCard) => void): void {
    const card = this.#cards.get(run)
    if (!card) return
    change(card)
    this.#draw(card)
  }

  #draw(card: RunCard): void {
    this.#stale.add(card)
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#render())
  }

  #render(): void {
    this.#frame = 0
    for (const card of this.#stale) card.render()
    this.#stale = new Set()
    const runs = [...this.#cards].map(([id, { curves }]) => ({ id, curves }))
    this.#charts.show(runs, this.#anew)
    this.#anew = false
  }

  #say(kind: 'live' | 'lost', text: string): void {
    const place = byId('connection')
    place.className = `connection ${kind}`
    if (place.textContent !== text) place.textContent = text
  }
}

new WatchPage().connect()
