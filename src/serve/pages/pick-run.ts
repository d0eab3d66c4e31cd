/** Choice of a page's network among the server's runs. Browser. */
import type { ModelFacts, RunEntry } from '../protocol.js'
import { byId, element, messageOf, request } from './dom.js'

export interface PickRunEvents {
  /** True for runs that the page begins with, if they have weights. */
  prefers(run: RunEntry): boolean
  /** Called as soon as another run is chosen. */
  onChoose(): void
  /** Called with the chosen network. Throws an Error that says why the page has nothing for it. */
  onModel(model: ModelFacts): void | Promise<void>
}

/** Fills `#run`, follows it, and shows what is wrong in `#trouble`. */
export class RunPicker {
  /** Id of the chosen run. */
  run = ''
  readonly #events: PickRunEvents

  constructor(events: PickRunEvents) {
    this.#events = events
  }

  async start(): Promise<void> {
    const select = byId<HTMLSelectElement>('run')
    select.addEventListener('change', () => void this.#choose(select.value))
    try {
      const runs = await request<RunEntry[]>('/runs')
      select.append(...runs.map(({ id }) => element('option', { value: id, textContent: id })))
      const ready = runs.filter(({ checkpoint }) => checkpoint !== null)
      const first = ready.find(run => this.#events.prefers(run)) ?? ready[0] ?? runs[0]
      if (!first) throw new Error('no run has begun yet')
      select.value = first.id
      await this.#choose(first.id)
    } catch (error) {
      showTrouble(textOf(error))
    }
  }

  async #choose(run: string): Promise<void> {
    this.run = run
    this.#events.onChoose()
    showTrouble(null)
    try {
      const { model } = await request<{ model: ModelFacts | null }>(`/runs/${encodeURIComponent(run)}`)
      if (this.run !== run) return
      if (!model) throw new Error(`${run} has no checkpoint yet: its first one is written after an epoch`)
      await this.#events.onModel(model)
    } catch (error) {
      if (this.run === run) showTrouble(textOf(error))
    }
  }
}

const textOf = (error: unknown): string =>
  error instanceof TypeError || !(error instanceof Error) ? messageOf(error) : error.message

/** Shows a message in `#trouble`; null: none. */
export function showTrouble(message: string | null): void {
  const place = byId('trouble')
  place.hidden = message === null
  if (message !== null && place.textContent !== message) place.textContent = message
}

/** Facts about a network in one line. */
export const lineOf = ({ widths, dataset, checkpoint, note }: ModelFacts, trainedOn = dataset): string =>
  [`${widths.join('-')}, trained on ${trainedOn}`, checkpoint, note].filter(text => text !== null).join(' · ')
